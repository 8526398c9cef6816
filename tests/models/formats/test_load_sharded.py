"""Weights on devices: pieces of any size, each device's part, and the peak of memory."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax.sharding import PartitionSpec

from papo_jax import mesh_rules
from papo_jax.models.formats import (
    hf_directory,
    hf_weight_map,
    load_sharded,
    safetensors_read,
    safetensors_write,
)
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.param_axes import LOGICAL_AXES
from papo_jax.models.policy import make_abstract_model
from tests.support.checkpoints import CONFIG, make_params, read_contents
from tests.support.forced_devices import device_environment


@pytest.mark.parametrize("entries", [1, 100, 500])
def test_pieces_of_any_size_make_the_same_parameters(tmp_path, monkeypatch, entries):
    monkeypatch.setattr(load_sharded, "PIECE_ENTRIES", entries)
    config = ModelConfig(
        "llama", vocabulary_size=7, width=4, layers=2, heads=4, kv_heads=2, head_dim=6, mlp_width=10
    )
    hf_directory.write_directory(tmp_path, {}, make_params(config=config), dtype=None)
    params = hf_directory.read_params(tmp_path, make_abstract_model(config)[1])
    jax.tree.map(np.testing.assert_array_equal, params, make_params(config=config))


def test_no_more_is_read_at_once_than_a_piece(tmp_path, monkeypatch):
    # A query head, the most that is never taken apart, is 6 * 16.
    monkeypatch.setattr(load_sharded, "PIECE_ENTRIES", 100)
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype=None)
    source = safetensors_read.open_directory(tmp_path)
    read = {name: [] for name in source.shapes}

    def read_rows(name, start, stop):
        values = source.read_rows(name, start, stop)
        read[name].append((start, stop, values.size))
        return values

    load_sharded.load_params(make_abstract_model(CONFIG)[1], source._replace(read_rows=read_rows))
    assert max(size for spans in read.values() for *_, size in spans) <= 100
    assert read["model.norm.weight"] == [(0, 16, 16)]
    # 100 // 16 = 6 rows of the embedding at a time, and the 97th by itself.
    assert read["model.embed_tokens.weight"] == [(n, n + 6, 96) for n in range(0, 96, 6)] + [
        (96, 97, 16)
    ]


def test_how_slices_lie_in_the_file():
    output = hf_weight_map.find_layout(("blocks", "attention", "output"), 3)
    shape = (4, 6, 8)  # ours [heads, head_dim, width]
    stored = np.arange(8 * 24).reshape(8, 24)  # [width, heads head_dim]
    ours = output.to_ours(stored, shape)
    assert output.stored_shape(shape) == (8, 24) and output.rows_per_head(shape) == 1
    assert ours[1, 2, 5] == stored[5, 1 * 6 + 2]
    # Heads 2 and 3, the second of two parts, are columns 12 to 23; width 0 to 3 is rows 0 to 3.
    np.testing.assert_array_equal(ours[2:, :, :4], output.to_ours(stored[:4, 12:], (2, 6, 4)))
    np.testing.assert_array_equal(output.to_stored(ours), stored)
    by_heads = output.stored_spec(PartitionSpec("tensor", None, "fsdp"))
    assert by_heads == PartitionSpec("fsdp", "tensor")
    bias = hf_weight_map.find_layout(("blocks", "attention", "query_bias"), 2)
    assert bias.stored_shape((4, 6)) == (24,)
    assert bias.stored_spec(PartitionSpec("tensor")) == PartitionSpec("tensor")
    np.testing.assert_array_equal(
        hf_weight_map.find_layout(("embedding",), 2).to_ours(stored, (8, 24)), stored
    )
    with pytest.raises(ValueError, match="no range of rows or columns"):
        output.stored_spec(PartitionSpec(None, "tensor", None))


# Below: what needs devices or a peak of its own runs in a process of its own.


def run_alone(devices, task, *arguments):
    environment = device_environment(devices)
    command = [sys.executable, __file__, task, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_get_their_parts_and_rows_are_read_once(tmp_path):
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype="bfloat16", shard_bytes=20_000)
    for found in run_alone(8, "measure_split", tmp_path):
        assert found == {
            "equal": True,
            "placed": True,
            "split": True,
            "rows_read_once": True,
            "same_bytes": True,
        }


def cast_tree(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def measure_split(directory):
    """Reads and writes a directory on several meshes."""
    found = []
    for mesh, held, entries in (((1, 4, 2), "float32", 2**23), ((2, 2, 2), "bfloat16", 700)):
        load_sharded.PIECE_ENTRIES = entries
        shapes = make_abstract_model(CONFIG, held)[1]
        shardings = mesh_rules.param_shardings(mesh_rules.make_mesh(*mesh), shapes, LOGICAL_AXES)
        source = safetensors_read.open_directory(directory)
        counts = {name: np.zeros(shape[0], int) for name, shape in source.shapes.items()}

        def read_rows(name, start, stop, source=source, counts=counts):
            counts[name][start:stop] += 1
            return source.read_rows(name, start, stop)

        params = load_sharded.load_params(shapes, source._replace(read_rows=read_rows), shardings)
        expected = cast_tree(cast_tree(make_params(), "bfloat16"), held)
        query, gate = params["blocks"]["attention"]["query"], params["blocks"]["mlp"]["gate"]
        hf_directory.write_directory(
            directory / "again", {}, params, dtype="bfloat16", shard_bytes=20_000
        )
        pairs = list(zip(jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True))
        fsdp, tensor = mesh[1:]

        def shard(leaf):
            return leaf.addressable_shards[-1].data.shape

        found.append(
            {
                "equal": all(
                    map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(expected))
                ),
                "placed": all(leaf.sharding == sharding for leaf, sharding in pairs),
                "split": shard(query) == (3, 16 // fsdp, 8 // tensor, 6)
                and shard(gate) == (3, 16 // fsdp, 32 // tensor),
                "rows_read_once": all((count == 1).all() for count in counts.values()),
                "same_bytes": read_contents(directory / "again") == read_contents(directory),
            }
        )
    return found


# 12 layers of width 1024 over a vocabulary of 150,000 are 298 million parameters, 597 MB of
# bfloat16 in three shards.
LARGE = ModelConfig(
    "qwen2",
    vocabulary_size=150_000,
    width=1024,
    layers=12,
    heads=16,
    kv_heads=4,
    head_dim=64,
    mlp_width=3072,
    qkv_bias=True,
    tied=True,
)
# The same at a third of the depth and vocabulary, 0.2 GB.
MEDIUM = ModelConfig(**{**vars(LARGE), "vocabulary_size": 50_000, "layers": 4})


def write_random_checkpoint(directory, config, shard_bytes):
    """Writes repeated random numbers without ever making parameters."""
    numbers = np.random.default_rng(0).normal(size=2**20).astype(jnp.dtype("bfloat16"))
    tensors = []
    for path, leaf in flatten_dict(make_abstract_model(config)[1]).items():
        shape = leaf.shape[hf_weight_map.is_stacked(path) :]
        stored = hf_weight_map.find_layout(path, len(shape)).stored_shape(shape)

        def fetch(stored=stored):
            return np.resize(numbers, stored)

        tensors += [
            safetensors_write.LazyTensor(n, stored, "bfloat16", fetch)
            for n in hf_weight_map.tensor_names(path, leaf.shape)
        ]
    with safetensors_write.stage_files(directory) as stage:
        safetensors_write.write_tensors(stage, tensors, shard_bytes=shard_bytes)


@pytest.mark.parametrize(
    "size, held, devices, entries",
    [
        pytest.param("MEDIUM", "bfloat16", 8, 2**20, marks=pytest.mark.slow),
        pytest.param("LARGE", "float32", 1, None, marks=pytest.mark.slow),
        pytest.param("LARGE", "float32", 1, 2**22, marks=pytest.mark.slow),
        pytest.param("LARGE", "bfloat16", 1, 2**22, marks=pytest.mark.slow),
        pytest.param("LARGE", "float32", 8, 2**22, marks=pytest.mark.slow),
        pytest.param("LARGE", "bfloat16", 8, 2**22, marks=pytest.mark.slow),
    ],
)
def test_peak_memory(tmp_path, size, held, devices, entries):
    write_random_checkpoint(tmp_path, globals()[size], 200 * 2**20)
    found = run_alone(
        devices, "measure_peak", tmp_path, size, held, *([entries] if entries else [])
    )
    # Whatever the size of the model: four copies of a piece of float32 numbers, as much again that
    # malloc keeps of those it has freed, and what compiling the programs takes.
    bound = 8 * 4 * (entries or load_sharded.PIECE_ENTRIES) + 150e6
    assert bound < found["parameters"]  # so a copy of the checkpoint would show
    assert found["peak"] - found["parameters"] < bound, found
    assert found["anonymous"] - found["parameters"] < bound, found


def measure_peak(directory, size, held, entries=None):
    """Bytes that reading a checkpoint took at most, those that stay, and those of the parameters.

    Pieces are of the size that is shipped where `entries` is left out.
    """
    if entries:
        load_sharded.PIECE_ENTRIES = int(entries)
    shapes = make_abstract_model(globals()[size], held)[1]
    mesh = mesh_rules.make_mesh(1, 4, 2) if jax.device_count() == 8 else None
    shardings = mesh_rules.param_shardings(mesh, shapes, LOGICAL_AXES) if mesh else None
    resident, anonymous = read_memory("status", "VmRSS"), read_memory("smaps_rollup", "Anonymous")
    params = hf_directory.read_params(directory, shapes, shardings)
    return {
        # Not getrusage's peak, which begins with that of the process before it.
        "peak": read_memory("status", "VmHWM") - resident,
        "anonymous": read_memory("smaps_rollup", "Anonymous") - anonymous,
        "parameters": sum(leaf.nbytes for leaf in jax.tree.leaves(params)),
    }


def read_memory(file, field):
    """Bytes that the kernel says this process has."""
    lines = pathlib.Path("/proc/self", file).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])))
