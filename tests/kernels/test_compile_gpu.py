"""Tests that compile the Triton kernels ahead of time for an H100, at the size of a real model.

No GPU is needed. The compiler refuses blocks over the shared memory that the hardware has. It does
not say whether the numbers are right (test_token_stats.py does, in the interpreter or on a GPU),
how fast they come, or whether registers spill. The environment has to be set before jax starts, so
this file runs itself.
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
        importlib.util.find_spec("jax_plugins") is None
        or importlib.util.find_spec("jax_plugins.xla_cuda13") is None,
        reason="needs jax-cuda13-pjrt and jax-cuda13-plugin (requirements-aot.txt)",
    ),
]

FORMS = ["logits forward", "logits backward", "linear forward", "linear backward"]
TOKENS, VOCABULARY, WIDTH = 4096, 151_936, 2048
NAIVE = 2 * TOKENS * VOCABULARY * 2  # bytes: logits and their gradient in bfloat16

H100 = "NVIDIA H100 80GB HBM3"
# What the compiler needs to know of the device; the versions at the end are guesses that change
# nothing here.
TARGET = f"""
gpu_device_info {{ threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
 shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
 memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
 device_memory_size: 84929347584
 shared_memory_per_block_optin: 232448 cuda_compute_capability {{ major: 9 }}
 registers_per_core_limit: 65536 registers_per_block_limit: 65536 }}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 13 minor: 0 patch: 0 }}
device_description_str: "{H100}"
"""


@pytest.fixture(scope="module")
def compiled():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    root = str(pathlib.Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("form", FORMS)
def test_compiles_with_a_small_part_of_the_logits(compiled, form):
    assert compiled[form] < NAIVE / 10  # bytes


def test_naive_needs_the_logits(compiled):
    assert compiled["naive"] > NAIVE * 0.95


def test_float32_and_widths_that_no_block_divides(compiled):
    assert compiled["linear backward, float32, D = 1000, V = 5000"] < NAIVE / 10


def test_the_compiler_refuses_blocks_over_the_shared_memory(compiled):
    assert "shared memory" in compiled["blocks over the shared memory"].lower()


def measure() -> dict:
    """Compiles every program, in the process that may load the compiler."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies

    from kernels.token_stats import linear_token_stats, token_stats
    from kernels.token_stats.pallas_gpu import gpu_blocks

    device = topologies.get_topology_desc(
        platform="cuda", topology_name="1x1x1", topology="1x1x1", target_config=TARGET
    ).devices[0]
    sharding = jax.sharding.SingleDeviceSharding(device)
    # The lowering of a Triton kernel asks which GPU it is for.
    abstract = jax.sharding.AbstractDevice(device_kind=H100, num_cores=132, platform="gpu")
    mesh = jax.sharding.AbstractMesh((), (), abstract_device=abstract)
    forms = {"logits": token_stats, "linear": linear_token_stats}

    def operand_shapes(width=WIDTH, vocabulary=VOCABULARY, dtype=jnp.bfloat16):
        def make_shape(*shape, dtype=dtype):
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

        ids = make_shape(TOKENS, dtype=jnp.int32)
        return {
            "logits": (make_shape(TOKENS, vocabulary), ids),
            "linear": (make_shape(TOKENS, width), make_shape(vocabulary, width), ids),
        }

    def temporary_bytes(form, operands, implementation="pallas_gpu"):
        kind, direction = form.split()
        forward = functools.partial(forms[kind], implementation=implementation)

        def scalar(*operands):
            stats = forward(*operands)
            return stats.logprob.sum() + 0.1 * stats.entropy.sum()

        backward = jax.value_and_grad(scalar, argnums=(0,) if kind == "logits" else (0, 1))
        function = forward if direction == "forward" else backward
        with jax.sharding.use_abstract_mesh(mesh):
            return jax.jit(function).lower(*operands).compile().memory_analysis().temp_size_in_bytes

    # The temporary memory of every form.
    shapes = operand_shapes()
    out = {form: temporary_bytes(form, shapes[form.split()[0]]) for form in FORMS}
    out["naive"] = temporary_bytes("linear backward", shapes["linear"], "reference")
    ragged = operand_shapes(width=1000, vocabulary=5000, dtype=jnp.float32)["linear"]
    out["linear backward, float32, D = 1000, V = 5000"] = temporary_bytes("linear backward", ragged)

    # What the compiler says of blocks that are too large.
    too_large = gpu_blocks.BlockConfig(rows=1024, columns=512, depth=256, warps=8, stages=3)
    gpu_blocks.choose_linear_block = lambda dtype, width: too_large
    try:
        message = str(temporary_bytes("linear forward", shapes["linear"]))
    except Exception as error:  # the compiler's, of several types
        message = str(error)
    out["blocks over the shared memory"] = message
    return out


if __name__ == "__main__":
    print(json.dumps(measure()))
