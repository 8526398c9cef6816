"""Benchmark of the token statistics against naive JAX, in one run.

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

from kernels.token_stats import api, reference, token_loss
from kernels.token_stats.reference import TokenStats

FORWARD, BOTH = "forward", "forward + backward"


class Program(NamedTuple):
    """One line of the table."""

    name: str
    group: str  # programs of a group do the same work and are compared with the group's "naive"
    function: Callable
    arguments: tuple[jax.Array, ...]


class Measurement(NamedTuple):
    """Figures of one program: seconds of CPU and wall time, and bytes."""

    name: str
    group: str
    cpu: float
    wall: float
    moved_bytes: int
    temporary_bytes: int


def make_programs(tokens: int, vocabulary: int, width: int, dtype: str) -> list[Program]:
    """Makes all programs that run on this backend."""
    # Draw the operands.
    keys = jax.random.split(jax.random.key(0), 3)
    hidden = jax.random.normal(keys[0], (tokens, width), dtype)
    unembedding = (0.2 * jax.random.normal(keys[1], (vocabulary, width))).astype(dtype)
    ids = jax.random.randint(keys[2], (tokens,), 0, vocabulary)
    arguments = hidden, unembedding, ids

    # Naive programs, forward and with gradients.
    groups: dict[str, dict[str, Callable]] = {
        FORWARD: {"naive": reference.linear_token_stats},
        BOTH: {
            "naive": _with_gradient(reference.linear_token_stats),
            "naive, log-probability alone": jax.grad(_naive_loss, argnums=(0, 1)),
        },
    }

    # One-pass programs of this backend.
    names = ["chunked", *filter(None, [api.KERNEL_OF_PLATFORM.get(jax.default_backend())])]
    one_pass = {
        name: functools.partial(api.linear_token_stats, implementation=name) for name in names
    }
    groups[FORWARD] |= one_pass
    for name, function in one_pass.items():
        logprob_function = functools.partial(_select_logprob, function)
        groups[FORWARD][f"{name}, log-probability alone"] = logprob_function
        groups[BOTH][name] = _with_gradient(function)
    groups[BOTH]["linear_token_loss"] = jax.grad(_fused_loss, argnums=(0, 1), has_aux=True)
    return [
        Program(name=name, group=group, function=function, arguments=arguments)
        for group, functions in groups.items()
        for name, function in functions.items()
    ]


def _with_gradient(function: Callable[..., TokenStats]) -> Callable:
    def loss_and_stats(hidden, unembedding, ids):
        stats = function(hidden, unembedding, ids)
        return _stats_loss(stats), stats

    return jax.grad(loss_and_stats, argnums=(0, 1), has_aux=True)


def _stats_loss(stats: TokenStats) -> jax.Array:
    return stats.logprob.mean() + 0.1 * stats.entropy.mean()


def _fused_loss(hidden, unembedding, ids):
    def chunk_loss(stats, _):
        return _stats_loss(stats) * stats.logprob.size / ids.size

    return token_loss.linear_token_loss(chunk_loss, hidden, unembedding, ids, ())


def _naive_loss(hidden, unembedding, ids) -> jax.Array:
    """Computes the mean log-probability alone, the least that any training step computes."""
    log_p = jax.nn.log_softmax(reference.compute_logits(hidden, unembedding))
    return jnp.take_along_axis(log_p, ids[:, None], axis=1)[:, 0].mean()


def _select_logprob(function: Callable[..., TokenStats], *arguments: jax.Array) -> jax.Array:
    return function(*arguments).logprob


def measure_programs(programs: list[Program], rounds: int) -> list[Measurement]:
    """Compiles every program, calls them in turn and returns the figures of each."""
    compiled = [
        jax.jit(program.function).lower(*program.arguments).compile() for program in programs
    ]

    # (CPU, wall) seconds of each call; the first round warms up.
    times: list[list[tuple[float, float]]] = [[] for _ in programs]
    for number in range(rounds + 1):
        for program, call, seconds in zip(programs, compiled, times, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(call(*program.arguments))
            if number:
                seconds.append((time.process_time() - cpu, time.perf_counter() - wall))

    measurements = []
    for program, call, seconds in zip(programs, compiled, times, strict=True):
        cpu, wall = (statistics.median(each) for each in zip(*seconds, strict=True))
        memory = call.memory_analysis()
        assert memory is not None
        inputs = sum(leaf.nbytes for leaf in program.arguments)
        measurements.append(
            Measurement(
                name=program.name,
                group=program.group,
                cpu=cpu,
                wall=wall,
                moved_bytes=inputs + memory.output_size_in_bytes,
                temporary_bytes=memory.temp_size_in_bytes,
            )
        )
    return measurements


def format_table(measurements: list[Measurement]) -> str:
    """Formats the figures as a table, with ratios to the naive program of the same group."""
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    naive = {each.group: each for each in measurements if each.name == "naive"}
    lines = []
    for group, base in naive.items():
        lines.append(
            f"{group:34} {'CPU s':>8} {'wall s':>8} {'MB':>8} {'GB/s':>7}"
            f" {'temp MB':>8} {'time':>6} {'temp':>6}"
        )
        for each in (each for each in measurements if each.group == group):
            time_ratio = getattr(each, clock) / getattr(base, clock)
            memory_ratio = each.temporary_bytes / base.temporary_bytes
            lines.append(
                f"  {each.name:32} {each.cpu:8.2f} {each.wall:8.3f} {each.moved_bytes / 1e6:8.0f}"
                f" {each.moved_bytes / each.wall / 1e9:7.2f} {each.temporary_bytes / 1e6:8.0f}"
                f" {time_ratio:6.2f} {memory_ratio:6.3f}"
            )
    return "\n".join([*lines, "time and temp: ratio to the naive program of the same group"])


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line; defaults depend on the backend."""
    on_cpu = jax.default_backend() == "cpu"
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(
        prog="python -m kernels.token_stats.bench", description=summary
    )
    parser.add_argument("--tokens", type=int, default=2048 if on_cpu else 4096)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--width", type=int, default=256 if on_cpu else 2048)
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32" if on_cpu else "bfloat16"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parsed = parser.parse_args(arguments)
    for name in ("tokens", "vocabulary", "width", "rounds"):
        if getattr(parsed, name) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(parsed, name)}")
    return parsed


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, measures and prints."""
    parsed = parse_arguments(arguments)
    device = jax.devices()[0]
    print(
        f"{device.device_kind} ({device.platform}), jax {jax.__version__};"
        f" {parsed.tokens} tokens, vocabulary {parsed.vocabulary}, width {parsed.width},"
        f" {parsed.dtype}; medians of {parsed.rounds} rounds\n"
    )
    programs = make_programs(parsed.tokens, parsed.vocabulary, parsed.width, parsed.dtype)
    print(format_table(measure_programs(programs, parsed.rounds)))


if __name__ == "__main__":
    main()
