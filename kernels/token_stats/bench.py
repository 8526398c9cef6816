"""Times the token statistics against naive JAX, in one run.

    python -m kernels.token_stats.bench [--tokens=2048 --vocabulary=151936 --width=256
    --dtype=float32 --rounds=5]

Each program is compiled once and then called in turn with the others, round by round, so that a
noisy machine is noisy to all; figures are medians. "naive" is `reference.py`: all logits,
differentiated by JAX. MB are those that must move, each operand read once and each output written
once; GB/s is that over the wall time, so what a program moves besides makes it look slow. Ratios
are of the process's CPU time on CPU, of wall time elsewhere.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats import api, loss, reference
from kernels.token_stats.reference import TokenStats


class Program(NamedTuple):
    """One line of the table."""

    name: str
    group: str  # programs of a group do the same work and are compared with the group's "naive"
    function: Callable
    arguments: tuple[jax.Array, ...]


def naive_logprob(hidden: jax.Array, unembedding: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probability alone, the least that any training step computes."""
    log_p = jax.nn.log_softmax(reference.head(hidden, unembedding))
    return jnp.take_along_axis(log_p, tokens[:, None], axis=1)[:, 0]


def programs(tokens: int, vocabulary: int, width: int, dtype: str) -> list[Program]:
    """All programs that run on this backend."""
    keys = jax.random.split(jax.random.key(0), 3)
    hidden = jax.random.normal(keys[0], (tokens, width), dtype)
    unembedding = (0.2 * jax.random.normal(keys[1], (vocabulary, width))).astype(dtype)
    ids = jax.random.randint(keys[2], (tokens,), 0, vocabulary)
    names = ["chunked", *filter(None, [api.FOR_PLATFORM.get(jax.default_backend())])]
    linear = {
        name: functools.partial(api.linear_token_stats, implementation=name) for name in names
    }

    def trained(function):
        def scalar(hidden, unembedding, ids):
            stats = function(hidden, unembedding, ids)
            return _of_stats(stats), stats

        return jax.grad(scalar, argnums=(0, 1), has_aux=True)

    def on_the_way(hidden, unembedding, ids):
        def of_chunk(stats, _):
            return _of_stats(stats) * stats.logprob.size / tokens

        return loss.linear_token_loss(of_chunk, hidden, unembedding, ids, ())

    def logprob(hidden, unembedding, ids):
        return naive_logprob(hidden, unembedding, ids).mean()

    given = (hidden, unembedding, ids)
    forward, both = "forward", "forward + backward"
    return [
        Program("naive", forward, reference.linear_token_stats, given),
        *(Program(name, forward, function, given) for name, function in linear.items()),
        *(
            Program(
                f"{name}, log-probability alone",
                forward,
                functools.partial(_logprob_of, function),
                given,
            )
            for name, function in linear.items()
        ),
        Program("naive", both, trained(reference.linear_token_stats), given),
        Program("naive, log-probability alone", both, jax.grad(logprob, argnums=(0, 1)), given),
        *(Program(name, both, trained(function), given) for name, function in linear.items()),
        Program(
            "linear_token_loss", both, jax.grad(on_the_way, argnums=(0, 1), has_aux=True), given
        ),
    ]


def _of_stats(stats: TokenStats) -> jax.Array:
    return stats.logprob.mean() + 0.1 * stats.entropy.mean()


def _logprob_of(function, *arguments) -> jax.Array:
    return function(*arguments).logprob


def measure(chosen: list[Program], rounds: int) -> list[dict]:
    """Compiles every program, calls them in turn and returns a row of figures for each."""
    compiled = [jax.jit(program.function).lower(*program.arguments).compile() for program in chosen]
    times: list[list[tuple[float, float]]] = [[] for _ in chosen]
    for number in range(rounds + 1):
        for program, call, kept in zip(chosen, compiled, times, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(call(*program.arguments))
            if number:  # the first call warms up
                kept.append((time.process_time() - cpu, time.perf_counter() - wall))
    rows = []
    for program, call, kept in zip(chosen, compiled, times, strict=True):
        cpu, wall = (statistics.median(each) for each in zip(*kept, strict=True))
        moved = (
            sum(leaf.nbytes for leaf in program.arguments)
            + call.memory_analysis().output_size_in_bytes
        )
        temporary = call.memory_analysis().temp_size_in_bytes
        rows.append(
            {
                "name": program.name,
                "group": program.group,
                "cpu": cpu,
                "wall": wall,
                "bytes": moved,
                "temporary": temporary,
            }
        )
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    naive = {row["group"]: row for row in rows if row["name"] == "naive"}
    return [
        row
        | {
            "ratio": row[clock] / naive[row["group"]][clock],
            "temporary_ratio": row["temporary"] / naive[row["group"]]["temporary"],
        }
        for row in rows
    ]


def table(rows: list[dict]) -> str:
    """Lays the figures out as text."""
    lines = []
    for group in dict.fromkeys(row["group"] for row in rows):
        lines.append(
            f"{group:34} {'CPU s':>8} {'wall s':>8} {'MB':>8} {'GB/s':>7} {'temp MB':>8} {'time':>6} {'temp':>6}"
        )
        for row in (row for row in rows if row["group"] == group):
            lines.append(
                f"  {row['name']:32} {row['cpu']:8.2f} {row['wall']:8.3f} {row['bytes'] / 1e6:8.0f}"
                f" {row['bytes'] / row['wall'] / 1e9:7.2f} {row['temporary'] / 1e6:8.0f}"
                f" {row['ratio']:6.2f} {row['temporary_ratio']:6.3f}"
            )
    return "\n".join([*lines, "time and temp: ratio to the naive program of the same group"])


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, measures and prints."""
    on_cpu = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(
        prog="python -m kernels.token_stats.bench", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--tokens", type=int, default=2048 if on_cpu else 4096)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--width", type=int, default=256 if on_cpu else 2048)
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32" if on_cpu else "bfloat16"
    )
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    for name in ("tokens", "vocabulary", "width", "rounds"):
        if getattr(asked, name) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(asked, name)}")
    device = jax.devices()[0]
    shape = (
        f"{asked.tokens} tokens, vocabulary {asked.vocabulary}, width {asked.width}, {asked.dtype}"
    )
    print(
        f"{device.device_kind} ({device.platform}), jax {jax.__version__}; {shape}; medians of {asked.rounds} rounds\n"
    )
    print(
        table(
            measure(
                programs(asked.tokens, asked.vocabulary, asked.width, asked.dtype), asked.rounds
            )
        )
    )


if __name__ == "__main__":
    main()
