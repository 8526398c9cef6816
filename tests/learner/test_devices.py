"""Eight devices compute what one does: same loss, gradients, statistics and tokens, all split.

The devices have to be asked for before jax starts, so `eight_devices.py` measures, in a process for
each mesh.
"""

import functools
import json
import pickle
import subprocess
import sys

import pytest

from tests.support import eight_devices
from tests.support.eight_devices import MESHES, PLACED, WEIGHED
from tests.support.forced_devices import device_environment

# Of the largest entry: sums of thousands of terms of both signs, each rounded by eps = 6e-8 of its
# size, in another order. Seen: 5e-6. A part that is left out or counted twice is far above it.
ROUNDING = 1e-4
MESH = pytest.mark.parametrize(
    "mesh",
    [
        pytest.param(name, marks=() if name == "data4_tensor2" else pytest.mark.slow)
        for name in MESHES
    ],
)


@pytest.fixture(scope="module")
def measured(small, tmp_path_factory):
    """A function from a mesh's name to what a process of its own measured there, once."""
    # 1,024 rows, so that a share of 99.9 % means something.
    made = small(
        {
            "rollout.prompts": 32,
            "rollout.samples": 32,
            "training.minibatches": 4,
            "training.steps": 2,
        }
    )
    # Without LLVM's optimization programs are made in half the time.
    environment = device_environment(8, "--xla_backend_optimization_level=0")

    @functools.cache
    def run(mesh: str) -> dict:
        place = tmp_path_factory.mktemp(mesh)
        (place / "settings").write_bytes(pickle.dumps(made))
        done = subprocess.run(
            [sys.executable, eight_devices.__file__, mesh, place],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads((place / "found.json").read_text())

    return run


@MESH
def test_everything_is_that_of_one_device(measured, mesh):
    found = measured(mesh)
    assert found["loss_apart"] < 1e-5
    for name in ("gradient", "statistics", "directional", "parameter_polarity"):
        assert found[f"{name}_apart"] < ROUNDING, name
    assert found["realized_apart"] < 5e-5  # nats: a difference of two entropies
    # One draw in some millions is within a rounding of turning out otherwise: 3 rows may.
    assert found["same_rows"] >= 1 - 3 / 1024


@MESH
def test_methods_are_those_of_one_device(measured, mesh):
    apart = measured(mesh)["methods"]
    assert sorted(apart) == sorted(PLACED[mesh])
    for name, (gradient, loss) in apart.items():
        assert gradient < ROUNDING and loss < 1e-5, name  # the loss is a mean of numbers around 1


@MESH
def test_weights_are_those_of_one_device(measured, mesh):
    apart = measured(mesh)["weighed"]
    assert sorted(apart) == sorted(WEIGHED[mesh])
    for name, fields in apart.items():
        assert all(difference < ROUNDING for difference in fields.values()), (name, fields)


@MESH
def test_batch_and_parameters_are_really_split(measured, mesh):
    data, fsdp, tensor = MESHES[mesh]
    assert measured(mesh)["shards"] == {
        "action": [1024 // (data * fsdp), 8],
        "evaluated": [32 * 4 // (data * fsdp), 8],
        "embedding": [100 // tensor, 32 // fsdp],
        "query": [2, 32 // fsdp, 4 // tensor, 8],
        "down": [2, 64 // tensor, 32 // fsdp],
        "second_moment": [2, 64 // tensor, 32 // fsdp],
        "final_norm": [32],
    }


@pytest.mark.slow
def test_adapters_are_split_and_train_as_on_one_device(measured):
    lora = measured("data2_fsdp2_tensor2")["lora"]
    assert lora["shards"] == [
        [2, 64 // 2, 2],
        [2, 2, 32 // 2],
    ]  # [L, inner width, rank] and [L, rank, width]
    assert len(lora["split"]) == 2 and lora["split"][0] != lora["split"][1]
    for split, whole in zip(lora["split"], lora["whole"], strict=True):
        assert split == pytest.approx(whole, rel=1e-3)  # a token in a thousand rows may differ


@pytest.mark.slow
def test_run_and_its_checkpoint_on_another_mesh(measured):
    run = measured("data2_fsdp2_tensor2")["run"]
    assert run["rows"] == [0, 1]
    assert run["same_parameters"] and run["all_finite"]
    assert run["shard_after"] == [100, 4]  # width 32 over fsdp = 8
