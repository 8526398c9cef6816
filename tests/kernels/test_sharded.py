"""Token statistics with the vocabulary split over devices: the same numbers, and no part is ever
gathered.

The devices have to be asked for before jax starts, so this file runs itself in a process of its
own.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.support.seeds import make_rng

CASES = [
    *[(name, True) for name in ("reference", "forward", "chunked", "loss")],
    *[(name, False) for name in ("chunked", "pallas_tpu", "pallas_gpu", "loss")],
]
IDS = [f"{name}-{'checked' if checked else 'unchecked'}" for name, checked in CASES]


@pytest.fixture(scope="module")
def found():
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    environment["PYTHONPATH"] = str(pathlib.Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", IDS)
def test_values_and_gradients_are_those_of_one_device(found, case):
    assert found[case]["apart"] < 5e-6  # of the largest entry of each output


@pytest.mark.parametrize("case", IDS)
def test_what_is_exchanged_is_numbers_of_tokens(found, case):
    # A device's part of the unembedding is 1024 / 4 x 16 numbers: none of them is exchanged but as
    # a gradient, summed # over `data`; what the shards tell each other of the statistics is a
    # number of each of the 32 tokens at most.
    assert "all-gather" not in found[case]["collectives"]
    assert found[case]["largest_forward"] <= 64 // 2


def measure() -> dict:
    """Runs in the process with eight devices: data = 2 x tensor = 4, the vocabulary over
    `tensor`."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import AxisType
    from jax.sharding import PartitionSpec as P

    from kernels.token_stats import linear_token_loss, linear_token_stats

    mesh = jax.make_mesh((2, 4), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)
    draw = make_rng(0)
    hidden, head = (
        draw.normal(size=(64, 16)).astype(np.float32),
        draw.normal(size=(1024, 16)).astype(np.float32),
    )
    tokens, mask, weight = (
        draw.integers(1000, size=64),
        draw.random(64) < 0.6,
        draw.normal(size=64).astype(np.float32),
    )
    given = dict(temperature=0.7, vocabulary_size=1000)  # the last shard has 24 columns of padding

    def of_tokens(stats, weight):
        return (
            weight * stats.logprob
            - 0.3 * weight**2 * stats.entropy
            + 0.1 * weight * stats.logsumexp
        ).sum()

    def alone(hidden, head):
        stats = linear_token_stats(
            hidden, head, tokens, mask=mask, implementation="reference", **given
        )
        return of_tokens(stats, weight), stats

    def spread(name, checked):
        def on_device(hidden, head, tokens, mask, weight):
            if name == "loss":
                total, stats = linear_token_loss(
                    of_tokens, hidden, head, tokens, weight, mask=mask, axis_name="tensor", **given
                )
            else:
                stats = linear_token_stats(
                    hidden,
                    head,
                    tokens,
                    mask=mask,
                    axis_name="tensor",
                    implementation=name,
                    interpret=name.startswith("pallas"),
                    **given,
                )
                total = of_tokens(stats, weight)
            return jax.lax.psum(total, "data"), stats

        specs = (P("data"), P("tensor"), P("data"), P("data"), P("data"))
        # The Pallas interpreter mixes its own loop counters with values that differ between
        # devices, which the check # of types refuses; compiled kernels pass it
        # (tests/test_kernels_compile.py).
        mapped = jax.shard_map(
            on_device, mesh=mesh, in_specs=specs, out_specs=(P(), P("data")), check_vma=checked
        )
        return lambda hidden, head: mapped(hidden, head, tokens, mask, weight)

    def place(array, spec):
        return jax.device_put(array, jax.NamedSharding(mesh, spec))

    operands = place(hidden, P("data")), place(head, P("tensor"))
    want = jax.tree.leaves(
        jax.value_and_grad(alone, argnums=(0, 1), has_aux=True)(
            jnp.asarray(hidden), jnp.asarray(head)
        )
    )
    out = {}
    for (name, checked), key in zip(CASES, IDS, strict=True):
        function = spread(name, checked)
        both = (
            jax.jit(jax.value_and_grad(function, argnums=(0, 1), has_aux=True))
            .lower(*operands)
            .compile()
        )
        got = jax.tree.leaves(both(*operands))
        apart = max(
            float(np.abs(np.asarray(a) - b).max() / np.abs(b).max())
            for a, b in zip(got, want, strict=True)
        )
        forward = _collectives(jax.jit(function).lower(*operands).compile().as_text())
        collectives = list(_collectives(both.as_text()))
        out[key] = {
            "apart": apart,
            "collectives": collectives,
            "largest_forward": max(forward.values()),
        }
    return out


def _collectives(text: str) -> dict[str, int]:
    """Kind of collective -> the most numbers that one array of it has."""
    import re

    found: dict[str, int] = {}
    for shapes, kind in re.findall(
        r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute)(?:-start)?\(", text
    ):
        for shape in re.findall(r"\w+\[([\d,]*)\]", shapes):
            size = 1
            for part in shape.split(","):
                size *= int(part or 1)
            found[kind] = max(found.get(kind, 0), size)
    return found


if __name__ == "__main__":
    print(json.dumps(measure()))
