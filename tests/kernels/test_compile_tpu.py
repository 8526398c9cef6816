"""Tests that compile the TPU kernels ahead of time, at the size of a real model.

Shapes: 4,096 tokens, V = 151,936, D = 2,048.

No TPU is needed. The compiler refuses what the hardware would: misaligned blocks, and blocks over
the on-chip memory. It does not say whether the numbers are right (the interpreter does,
test_token_stats.py) or how fast they come. Compiled, never run. The environment has to be set
before jax starts, so this file runs itself, a process for each generation.
"""

import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.aot,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None, reason="needs libtpu (requirements-aot.txt)"
    ),
]

TOPOLOGIES = {"v5e": "v5e:2x4", "v6e": "v6e:2x4", "v5p": "v5p:2x2x1", "v4": "v4:2x2x1"}
FORMS = ["logits forward", "logits backward", "linear forward", "linear backward"]
TOKENS, VOCABULARY, WIDTH = 4096, 151_936, 2048
NAIVE = 2 * TOKENS * VOCABULARY * 2  # bytes: logits and their gradient in bfloat16


@pytest.fixture(scope="module")
def compiled():
    """Returns a function from a generation to the findings of a process of its own, cached."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    root = str(pathlib.Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    )

    @functools.cache
    def run(generation: str) -> dict:
        done = subprocess.run(
            [sys.executable, __file__, generation], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("generation", TOPOLOGIES)
def test_compiles_with_little_temporary_memory(compiled, generation, form):
    assert compiled(generation)[form] < 64e6  # bytes


@pytest.mark.parametrize("generation", TOPOLOGIES)
def test_naive_needs_the_logits(compiled, generation):
    assert compiled(generation)["naive"] > NAIVE * 0.95


@pytest.mark.parametrize("generation", TOPOLOGIES)
def test_the_compiler_refuses_what_cannot_run(compiled, generation):
    assert "vmem" in compiled(generation)["blocks over the memory allowed"].lower()
    assert "divisible by 8 and 128" in compiled(generation)["blocks of 200 columns"]


def test_float32_and_widths_that_no_block_divides(compiled):
    assert compiled("v5e")["linear backward, float32, D = 1000, V = 5000"] < 64e6


def test_a_vocabulary_split_over_four_chips_is_never_gathered(compiled):
    found = compiled("v5e")["split"]
    assert (
        found["kernels"] == 3
        and "all-gather" not in found["collectives"]
        and "all-reduce" in found["collectives"]
    )


def measure(generation: str) -> dict:
    """Compiles every program, in the process that may load the compiler."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies

    from kernels.token_stats import linear_token_stats, token_stats
    from kernels.token_stats.pallas_tpu import tpu_blocks

    devices = topologies.get_topology_desc(
        platform="tpu", topology_name=TOPOLOGIES[generation]
    ).devices
    kind = devices[0].device_kind
    abstract = jax.sharding.AbstractDevice(device_kind=kind, num_cores=None, platform="tpu")
    mesh = jax.sharding.AbstractMesh((), (), abstract_device=abstract)
    sharding = jax.sharding.SingleDeviceSharding(devices[0])
    forms = {"logits": token_stats, "linear": linear_token_stats}

    def operand_shapes(width=WIDTH, vocabulary=VOCABULARY, dtype=jnp.bfloat16):
        def make_shape(*shape, dtype=dtype):
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

        ids = make_shape(TOKENS, dtype=jnp.int32)
        return {
            "logits": (make_shape(TOKENS, vocabulary), ids),
            "linear": (make_shape(TOKENS, width), make_shape(vocabulary, width), ids),
        }

    def make_program(form: str, implementation: str):
        kind, direction = form.split()
        forward = functools.partial(forms[kind], implementation=implementation)
        if direction == "forward":
            return forward

        def scalar(*operands):
            stats = forward(*operands)
            return stats.logprob.sum() + 0.1 * stats.entropy.sum()

        return jax.value_and_grad(scalar, argnums=(0,) if kind == "logits" else (0, 1))

    def compile_program(form, operands, implementation="pallas_tpu"):
        with jax.sharding.use_abstract_mesh(mesh):
            return jax.jit(make_program(form, implementation)).lower(*operands).compile()

    def temporary_bytes(form, operands, implementation="pallas_tpu"):
        compiled = compile_program(form, operands, implementation)
        return compiled.memory_analysis().temp_size_in_bytes

    def get_refusal(rows, columns, form):
        choose_largest = tpu_blocks._choose_largest
        sizes = tpu_blocks.BlockSizes(rows=rows, columns=columns, vmem=4 * tpu_blocks.MIB)
        tpu_blocks._choose_largest = lambda *_: sizes
        try:
            compile_program(form, shapes[form.split()[0]])
        except Exception as error:  # the compiler's, of several types
            return str(error)
        finally:
            tpu_blocks._choose_largest = choose_largest
        return "compiled"

    # The temporary memory of every form.
    shapes = operand_shapes()
    out = {form: temporary_bytes(form, shapes[form.split()[0]]) for form in FORMS}
    out["naive"] = temporary_bytes("linear backward", shapes["linear"], "reference")

    # What the compiler says of blocks that cannot run: four blocks of 512 x 2,048 bfloat16 numbers
    # are 8 MiB, and 4 are allowed.
    out["blocks over the memory allowed"] = get_refusal(512, 512, "linear forward")
    out["blocks of 200 columns"] = get_refusal(256, 200, "logits forward")
    if generation == "v5e":
        ragged = operand_shapes(width=1000, vocabulary=5000, dtype=jnp.float32)["linear"]
        out["linear backward, float32, D = 1000, V = 5000"] = temporary_bytes(
            "linear backward", ragged
        )
        out["split"] = _compile_sharded(devices)
    return out


def _compile_sharded(devices) -> dict:
    """Compiles the linear form, forward and backward, on data = 2 x tensor = 4.

    The vocabulary is sharded over `tensor`.
    """
    import re

    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import AxisType, Mesh, NamedSharding
    from jax.sharding import PartitionSpec as P

    from kernels.token_stats import linear_token_stats

    mesh = Mesh(
        np.array(devices[:8]).reshape(2, 4), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2
    )
    specs = P("data"), P("tensor"), P("data")
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))
        for shape, dtype, spec in zip(
            ((TOKENS, WIDTH), (VOCABULARY, WIDTH), (TOKENS,)),
            (jnp.bfloat16, jnp.bfloat16, jnp.int32),
            specs,
            strict=True,
        )
    ]

    def on_device(hidden, unembedding, ids):
        stats = linear_token_stats(
            hidden, unembedding, ids, axis_name="tensor", implementation="pallas_tpu"
        )
        return jax.lax.psum(stats.logprob.sum() + 0.1 * stats.entropy.sum(), "data")

    mapped = jax.shard_map(on_device, mesh=mesh, in_specs=specs, out_specs=P())
    text = jax.jit(jax.grad(mapped, argnums=(0, 1))).lower(*shapes).compile().as_text()
    kinds = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
    return {
        "kernels": len(re.findall(r'custom_call_target="tpu_custom_call"', text)),
        "collectives": [k for k in kinds if k in text],
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
