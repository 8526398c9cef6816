"""Tests of the token statistics with the vocabulary sharded: same numbers, nothing is gathered.

The devices have to be asked for before jax starts, so this file runs itself in a process of its
own.
"""

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from kernels.token_stats import linear_token_loss, linear_token_stats
from tests.support.forced_devices import device_environment
from tests.support.seeds import make_rng

OPTIONS = dict(temperature=0.7, vocabulary_size=1000)  # the last shard has 24 columns of padding
CASES = [
    *[(name, True) for name in ("reference", "forward", "chunked", "loss")],
    *[(name, False) for name in ("chunked", "pallas_tpu", "pallas_gpu", "loss")],
]
IDS = [f"{name}-{'checked' if checked else 'unchecked'}" for name, checked in CASES]


@pytest.fixture(scope="module")
def found():
    environment = device_environment(8)
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", IDS)
def test_values_and_gradients_are_those_of_one_device(found, case):
    # Of the largest entry of each output, and of the loss's terms together.
    assert found[case]["error"] < 5e-6


@pytest.mark.parametrize("case", IDS)
def test_what_is_exchanged_is_numbers_of_tokens(found, case):
    # A device's shard of the unembedding is 1024 / 4 x 16 numbers: none of them is exchanged but as
    # a gradient, summed over `data`; what the shards exchange for the statistics is at most one
    # number for each of the 32 tokens.
    assert "all-gather" not in found[case]["collectives"]
    assert found[case]["largest_forward"] <= 64 // 2


def token_terms(stats, weight):
    terms = weight * stats.logprob - 0.3 * weight**2 * stats.entropy
    return terms + 0.1 * weight * stats.logsumexp


def token_loss(stats, weight):
    return token_terms(stats, weight).sum()


def make_problem():
    """Makes hidden states [64, 16], an unembedding [1024, 16], and (tokens, mask, weight) [64]."""
    draw = make_rng(0)
    hidden = draw.normal(size=(64, 16)).astype(np.float32)
    head = draw.normal(size=(1024, 16)).astype(np.float32)
    tokens, mask = draw.integers(1000, size=64), draw.random(64) < 0.6
    return hidden, head, (tokens, mask, draw.normal(size=64).astype(np.float32))


def make_sharded_loss(name, *, checked, mesh, rows):
    """Makes (hidden, head) -> (loss, stats) on a mesh; `checked` checks the varying axes."""

    def loss_on_device(hidden, head, tokens, mask, weight):
        options = dict(OPTIONS, mask=mask, axis_name="tensor")
        if name == "loss":
            total, stats = linear_token_loss(token_loss, hidden, head, tokens, weight, **options)
        else:
            options |= dict(implementation=name, interpret=name.startswith("pallas"))
            stats = linear_token_stats(hidden, head, tokens, **options)
            total = token_loss(stats, weight)
        return jax.lax.psum(total, "data"), stats

    # The Pallas interpreter mixes its own loop counters with values that differ between devices,
    # which the check of types refuses; compiled kernels pass it (test_compile_tpu.py).
    mapped = jax.shard_map(
        loss_on_device,
        mesh=mesh,
        in_specs=(P("data"), P("tensor"), P("data"), P("data"), P("data")),
        out_specs=(P(), P("data")),
        check_vma=checked,
    )
    return lambda hidden, head: mapped(hidden, head, *rows)


def measure() -> dict:
    """Compares every case with one device, in the process with eight devices.

    The mesh is data = 2 x tensor = 4, with the vocabulary over `tensor`.
    """
    hidden, head, rows = make_problem()

    # One device.
    def single_device_loss(hidden, head):
        tokens, mask, weight = rows
        stats = linear_token_stats(
            hidden, head, tokens, mask=mask, implementation="reference", **OPTIONS
        )
        return token_loss(stats, weight), stats

    single_device = jax.value_and_grad(single_device_loss, argnums=(0, 1), has_aux=True)
    wanted = single_device(jnp.asarray(hidden), jnp.asarray(head))
    (total, stats), _ = wanted
    want = jax.tree.leaves(wanted)
    assert want[0] is total
    # Terms of both signs may cancel: the sum's rounding is of the size of all of them.
    sizes = [float(np.abs(leaf).max()) for leaf in want]
    sizes[0] = float(np.abs(token_terms(stats, rows[2])).sum())

    # Eight devices.
    mesh = jax.make_mesh((2, 4), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)
    operands = (
        jax.device_put(hidden, jax.NamedSharding(mesh, P("data"))),
        jax.device_put(head, jax.NamedSharding(mesh, P("tensor"))),
    )
    found = {}
    for (name, checked), key in zip(CASES, IDS, strict=True):
        function = make_sharded_loss(name, checked=checked, mesh=mesh, rows=rows)
        with_gradient = jax.value_and_grad(function, argnums=(0, 1), has_aux=True)
        compiled = jax.jit(with_gradient).lower(*operands).compile()
        got = jax.tree.leaves(compiled(*operands))
        error = max(
            float(np.abs(np.asarray(a) - b).max()) / size
            for a, b, size in zip(got, want, sizes, strict=True)
        )
        forward = find_collectives(jax.jit(function).lower(*operands).compile().as_text())
        found[key] = {
            "error": error,
            "collectives": list(find_collectives(compiled.as_text())),
            "largest_forward": max(forward.values()),
        }
    return found


def find_collectives(text: str) -> dict[str, int]:
    """Maps each kind of collective to the size of its largest array."""
    found: dict[str, int] = {}
    kinds = "all-gather|all-reduce|all-to-all|collective-permute"
    for shapes, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        for shape in re.findall(r"\w+\[([\d,]*)\]", shapes):
            size = 1
            for part in shape.split(","):
                size *= int(part or 1)
            found[kind] = max(found.get(kind, 0), size)
    return found


if __name__ == "__main__":
    print(json.dumps(measure()))
