"""Weights streamed between safetensors and devices: every dtype to the bit, shards, splits over devices, and peak memory."""

import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax.sharding import PartitionSpec
from safetensors.numpy import load_file, save_file

from papo_jax import parallel
from papo_jax.errors import InputError
from papo_jax.models import huggingface, placing, safetensors_in, safetensors_out, weight_names
from papo_jax.models.architecture import ModelConfig
from papo_jax.models.layers import LOGICAL_AXES
from papo_jax.models.policy import abstract

# Every kind of parameter there is; 97 rows of the embedding leave a remainder in whatever pieces they are read.
CONFIG = ModelConfig(
    "qwen3", vocabulary_size=97, width=16, layers=3, heads=8, kv_heads=2, head_dim=6, mlp_width=32, qk_norm=True,
    qkv_bias=True, output_bias=True, mlp_bias=True,
)  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16")
# The smallest subnormals of float16 and bfloat16, which hardware likes to flush, a negative zero, and float16's largest.
EXTREMES = {"float16": [2**-24, -0.0, 65504.0], "bfloat16": [2**-133, -0.0, 2.0**127], "float32": [2**-149, -0.0, 1e38]}


def make_params(dtype="float32", config=CONFIG):
    rng = np.random.default_rng(0)
    shapes = abstract(config)[1]
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(jnp.dtype(dtype)), shapes)


def mixed_dtypes():
    """Every tensor's name -> a dtype, all three in turn."""
    flat = flatten_dict(abstract(CONFIG)[1])
    names = [name for path, leaf in flat.items() for name in weight_names.tensor_names(path, leaf.shape)]
    return {name: DTYPES[number % 3] for number, name in enumerate(names)}


def foreign(directory, dtypes, shards=1):
    """A directory as another program would write it, with the extremes of each dtype in each tensor."""
    huggingface.write(directory, {}, make_params(), dtype="float32")
    tensors = {}
    for name, values in load_file(directory / "model.safetensors").items():
        values.reshape(-1)[:3] = EXTREMES[dtypes[name]]
        tensors[name] = values.astype(jnp.dtype(dtypes[name]))
    (directory / "model.safetensors").unlink()
    files = [f"model-{n + 1:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors" for n in range(shards)]
    places = {name: files[number % shards] for number, name in enumerate(tensors)}
    for file in files:
        save_file({name: tensors[name] for name, place in places.items() if place == file}, directory / file)
    if shards > 1:
        (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return tensors


def contents(directory):
    """Every tensor's name -> (dtype, bytes), from all files, read by the library."""
    found = {}
    for file in directory.glob("*.safetensors"):
        found |= {name: (value.dtype.name, value.tobytes()) for name, value in load_file(file).items()}
    return found


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [*DTYPES, "mixed"])
def test_what_is_read_and_written_again_is_the_same_to_the_bit(tmp_path, dtype, shards):
    dtypes = mixed_dtypes() if dtype == "mixed" else dict.fromkeys(mixed_dtypes(), dtype)
    tensors = foreign(tmp_path / "first", dtypes, shards)
    stored = safetensors_in.stored_dtypes(tmp_path / "first")
    assert stored == dtypes
    _, shapes = abstract(CONFIG)
    params = huggingface.read_params(tmp_path / "first", shapes)
    huggingface.write(
        tmp_path / "second", {}, params, dtype=None, dtypes=stored, shard_bytes=2**30 if shards == 1 else 10_000
    )
    assert contents(tmp_path / "second") == {n: (t.dtype.name, t.tobytes()) for n, t in tensors.items()}
    assert safetensors_in.stored_dtypes(tmp_path / "second") == dtypes
    again = huggingface.read_params(tmp_path / "second", shapes)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize("held", ["float32", "bfloat16"])
@pytest.mark.parametrize("stored", DTYPES)
def test_values_are_those_of_the_file_rounded_once(tmp_path, stored, held):
    huggingface.write(tmp_path, {}, make_params(), dtype=stored)
    params = huggingface.read_params(tmp_path, abstract(CONFIG, held)[1])
    expected = jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(stored)).astype(jnp.dtype(held)), make_params())
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {held}
    jax.tree.map(np.testing.assert_array_equal, params, expected)


@pytest.mark.parametrize("entries", [1, 100, 500])
def test_pieces_of_any_size_make_the_same_parameters(tmp_path, monkeypatch, entries):
    monkeypatch.setattr(placing, "PIECE_ENTRIES", entries)
    config = ModelConfig("llama", vocabulary_size=7, width=4, layers=2, heads=4, kv_heads=2, head_dim=6, mlp_width=10)
    huggingface.write(tmp_path, {}, make_params(config=config), dtype=None)
    params = huggingface.read_params(tmp_path, abstract(config)[1])
    jax.tree.map(np.testing.assert_array_equal, params, make_params(config=config))


def test_how_slices_lie_in_the_file():
    output = weight_names.layout_of(("blocks", "attention", "output"), 3)  # ours [heads, head_dim, width]
    shape = (4, 6, 8)
    stored = np.arange(8 * 24).reshape(8, 24)  # [width, heads head_dim]
    ours = output.to_ours(stored, shape)
    assert output.stored_shape(shape) == (8, 24) and output.rows_together(shape) == 1
    assert ours[1, 2, 5] == stored[5, 1 * 6 + 2]
    # Heads 2 and 3, the second of two parts, are columns 12 to 23; width 0 to 3 is rows 0 to 3.
    np.testing.assert_array_equal(ours[2:, :, :4], output.to_ours(stored[:4, 12:], (2, 6, 4)))
    np.testing.assert_array_equal(output.to_stored(ours), stored)
    assert output.stored_spec(PartitionSpec("tensor", None, "fsdp")) == PartitionSpec("fsdp", "tensor")
    bias = weight_names.layout_of(("blocks", "attention", "query_bias"), 2)
    assert bias.stored_shape((4, 6)) == (24,) and bias.stored_spec(PartitionSpec("tensor")) == PartitionSpec("tensor")
    np.testing.assert_array_equal(weight_names.layout_of(("embedding",), 2).to_ours(stored, (8, 24)), stored)
    with pytest.raises(ValueError, match="no range of rows or columns"):
        output.stored_spec(PartitionSpec(None, "tensor", None))


def write_index(directory, weight_map):
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def edit_index(directory, **places):
    path = directory / "model.safetensors.index.json"
    names = {name.replace("__", "."): file for name, file in places.items()}
    write_index(directory, json.loads(path.read_text())["weight_map"] | names)


def damage_header(directory, old, new):
    """Changes a header without changing its length."""
    path = next(iter(sorted(directory.glob("*.safetensors"))))
    assert len(old) == len(new) and old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


def only_pickled(directory):
    for file in directory.glob("model*"):
        file.unlink()
    (directory / "pytorch_model.bin").write_bytes(b"")


def add_tensor(directory, value):
    path = directory / "model-00001-of-00002.safetensors"
    save_file({**load_file(path), "model.layers.0.mlp.up_proj.qweight": value}, path)
    edit_index(directory, model__layers__0__mlp__up_proj__qweight=path.name)


FIRST = "model-00001-of-00002.safetensors"
WRONG = {
    "shard missing": (lambda d: (d / FIRST).unlink(), f"{FIRST} does not exist, and model.safetensors.index.json names it"),
    "shard cut short": (lambda d: os.truncate(d / FIRST, 5000), f"{FIRST} is damaged or cut short"),
    "shard empty": (lambda d: os.truncate(d / FIRST, 0), f"{FIRST} is damaged or cut short"),
    "index no JSON": (lambda d: (d / "model.safetensors.index.json").write_text("{"), "index.json holds no weight_map"),
    "index a list": (lambda d: (d / "model.safetensors.index.json").write_text("[]"), "index.json holds no weight_map"),
    "no weight_map": (lambda d: (d / "model.safetensors.index.json").write_text("{}"), "index.json holds no weight_map"),
    "weight_map a list": (lambda d: write_index(d, ["a"]), "index.json holds no weight_map"),
    "weight_map of numbers": (lambda d: write_index(d, {"a": 3}), "the file 3, which must be the name of a file beside it"),
    "weight_map of lists": (lambda d: write_index(d, {"a": []}), "index.json holds no weight_map"),
    "weight_map leads away": (lambda d: write_index(d, {"a": f"../{d.name}/{FIRST}"}), "must be the name of a file beside it"),
    "weight_map leads to the root": (lambda d: write_index(d, {"a": "/etc/passwd"}), "must be the name of a file beside it"),
    "weight_map names the parent": (lambda d: write_index(d, {"a": ".."}), "must be the name of a file beside it"),
    "weight_map promises too much": (lambda d: edit_index(d, extra=FIRST), f"the tensor extra in {FIRST}, which does not"),
    "weight_map lacks a tensor": (lambda d: write_index(d, {}), r"the tensor \S+ is missing"),
    "int8": (lambda d: add_tensor(d, np.ones((2, 2), np.int8)), r"up_proj.qweight is stored as I8; supported are float32, bf"),
    "float8": (lambda d: damage_header(d, b'"dtype":"BF16"', b'"dtype":"F8_E"'), "is stored as F8_E; supported are float32"),
    "float64": (lambda d: damage_header(d, b'"dtype":"BF16"', b'"dtype":"F64" '), "is stored as F64; supported are float32"),
    "sizes that disagree": (lambda d: damage_header(d, b'"shape":[16]', b'"shape":[15]'), "makes no sense"),
    "negative size": (lambda d: damage_header(d, b'"shape":[16]', b'"shape":[-1]'), "makes no sense"),
    "only pickled weights": (only_pickled, "model.safetensors does not exist.*pytorch_model.bin cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_weights_are_refused_in_one_line(tmp_path, change, message):
    huggingface.write(tmp_path, {}, make_params(), dtype="bfloat16", shard_bytes=20_000)
    assert (tmp_path / FIRST).exists()
    change(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        huggingface.read_params(tmp_path, abstract(CONFIG)[1])
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("seed", range(6))
def test_garbage_in_a_header_never_escapes_as_another_error(tmp_path, seed):
    huggingface.write(tmp_path, {}, make_params(), dtype=None)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(8 * (seed % 2), 600, 20):
        content[at] = rng.integers(32, 127)
    path.write_bytes(content)
    with pytest.raises(InputError):
        huggingface.read_params(tmp_path, abstract(CONFIG)[1])


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    huggingface.write(tmp_path, {}, make_params(), dtype=None)
    source = safetensors_in.open_directory(tmp_path)
    os.truncate(tmp_path / "model.safetensors", 6000)
    with pytest.raises(InputError, match="cut short at the tensor lm_head.weight while it was read"):
        source.rows("lm_head.weight", 0, 97)


def test_shards_and_index_are_those_of_transformers(tmp_path):
    tensors = [
        safetensors_out.Tensor(name, (size,), "bfloat16", lambda size=size: np.ones(size, np.float32))
        for name, size in {"b": 3, "c": 1, "a": 5, "d": 1}.items()
    ]
    safetensors_out.write(tmp_path, tensors, shard_bytes=8)  # "a" is 10 bytes and gets a file of its own
    first, second, third = (f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3))
    assert json.loads((tmp_path / "model.safetensors.index.json").read_text()) == {
        "metadata": {"total_size": 20},
        "weight_map": {"b": first, "c": first, "a": second, "d": third},
    }
    content = (tmp_path / third).read_bytes()
    header = b'{"__metadata__":{"format":"pt"},"d":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    header += b" " * (-len(header) % 8)
    assert content == len(header).to_bytes(8, "little") + header + b"\x80\x3f"  # 1.0 in bfloat16 is 0x3f80


def test_an_export_replaces_the_weights_before_it_and_nothing_else(tmp_path):
    kept = ["adapter.safetensors", "model-1-of-2.safetensors", "pytorch_model.bin"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    write = lambda **options: huggingface.write(tmp_path, {"a": 1}, make_params(), dtype="float16", **options)  # noqa: E731
    there = lambda: sorted(file.name for file in tmp_path.iterdir())  # noqa: E731
    write(shard_bytes=20_000)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert there() == sorted([*kept, *files, "config.json"])
    write()
    assert there() == sorted([*kept, "model.safetensors", "config.json"])
    write(shard_bytes=20_000)
    assert there() == sorted([*kept, *files, "config.json"])
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": 1}


def test_an_export_that_fails_changes_nothing(tmp_path):
    huggingface.write(tmp_path, {}, make_params(), dtype=None)
    before = contents(tmp_path)
    params = make_params()
    params["blocks"]["mlp"]["down"][2, 3, 1] = 65520.0  # halfway to what would come after 65504, the largest
    with pytest.raises(InputError, match="layers.2.mlp.down_proj.weight holds values beyond 65504") as caught:
        huggingface.write(tmp_path, {}, params, dtype="float16", shard_bytes=20_000)
    assert "\n" not in str(caught.value)
    for wrong in ({"dtype": "int8"}, {"dtype": None, "dtypes": {"lm_head.weight": "float64"}}):
        with pytest.raises(InputError, match="it must be float32, bfloat16 or float16"):
            huggingface.write(tmp_path, {}, params, **wrong)
    assert contents(tmp_path) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    params["blocks"]["mlp"]["down"][2, 3, 1] = np.inf  # not ours to refuse: it was infinite before
    huggingface.write(tmp_path, {}, params, dtype="float16")


@pytest.mark.parametrize("moved", range(4))
def test_a_killed_export_never_looks_whole(tmp_path, monkeypatch, moved):
    huggingface.write(tmp_path, {}, make_params(), dtype=None)
    done = []

    def replace(old, new):
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(new)
        os.replace(old, new)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pathlib.Path, "replace", replace)
        patch.setattr(safetensors_out.shutil, "rmtree", lambda *_, **__: None)  # nobody cleans up after a kill
        huggingface.write(tmp_path, {}, make_params("bfloat16"), dtype=None, shard_bytes=20_000)
    with pytest.raises(InputError, match="model.safetensors does not exist and neither does"):
        huggingface.read_params(tmp_path, abstract(CONFIG)[1])
    huggingface.write(tmp_path, {}, make_params(), dtype=None)
    assert sorted(file.name for file in tmp_path.iterdir() if "-of-" not in file.name) == ["config.json", "model.safetensors"]


# Below: what needs devices or a peak of its own runs in a process of its own.


def alone(devices, task, *arguments):
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, **flags, "PYTHONPATH": str(pathlib.Path(__file__).parent.parent)}
    command = [sys.executable, __file__, task, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_get_their_parts_and_rows_are_read_once(tmp_path):
    huggingface.write(tmp_path, {}, make_params(), dtype="bfloat16", shard_bytes=20_000)
    for found in alone(8, "split", tmp_path):
        assert found == {"equal": True, "placed": True, "split": True, "rows_read_once": True, "same_bytes": True}


def split(directory):
    """Reads and writes a directory on several meshes."""
    found = []
    for mesh, held, entries in (((1, 4, 2), "float32", 2**23), ((2, 2, 2), "bfloat16", 700)):
        placing.PIECE_ENTRIES = entries
        shapes = abstract(CONFIG, held)[1]
        shardings = parallel.param_shardings(parallel.make_mesh(*mesh), shapes, LOGICAL_AXES)
        source = safetensors_in.open_directory(directory)
        counts = {name: np.zeros(shape[0], int) for name, shape in source.shapes.items()}

        def rows(name, start, stop, source=source, counts=counts):
            counts[name][start:stop] += 1
            return source.rows(name, start, stop)

        params = placing.fill(shapes, source._replace(rows=rows), shardings)
        expected = jax.tree.map(lambda leaf: leaf.astype("bfloat16").astype(held), make_params())
        query, gate = params["blocks"]["attention"]["query"], params["blocks"]["mlp"]["gate"]
        huggingface.write(directory / "again", {}, params, dtype="bfloat16", shard_bytes=20_000)
        pairs = list(zip(jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True))
        fsdp, tensor = mesh[1:]
        shard = lambda leaf: leaf.addressable_shards[-1].data.shape  # noqa: E731
        found.append(
            {
                "equal": all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((np.asarray(a) == b).all()), params, expected))),
                "placed": all(leaf.sharding == sharding for leaf, sharding in pairs),
                "split": shard(query) == (3, 16 // fsdp, 8 // tensor, 6) and shard(gate) == (3, 16 // fsdp, 32 // tensor),
                "rows_read_once": all((count == 1).all() for count in counts.values()),
                "same_bytes": contents(directory / "again") == contents(directory),
            }
        )
    return found


# 12 layers of width 1024 over a vocabulary of 150,000 are 298 million parameters, 597 MB of bfloat16 in three shards.
LARGE = ModelConfig(
    "qwen2", vocabulary_size=150_000, width=1024, layers=12, heads=16, kv_heads=4, head_dim=64, mlp_width=3072,
    qkv_bias=True, tied=True,
)  # fmt: skip
# The same at a third of the depth and vocabulary, 0.2 GB.
MEDIUM = ModelConfig(**{**vars(LARGE), "vocabulary_size": 50_000, "layers": 4})


def random_checkpoint(directory, config, shard_bytes):
    """Writes repeated random numbers without ever making parameters."""
    numbers = np.random.default_rng(0).normal(size=2**20).astype(jnp.dtype("bfloat16"))
    tensors = []
    for path, leaf in flatten_dict(abstract(config)[1]).items():
        shape = leaf.shape[weight_names.is_stacked(path) :]
        stored = weight_names.layout_of(path, len(shape)).stored_shape(shape)
        fetch = lambda stored=stored: np.resize(numbers, stored)  # noqa: E731
        tensors += [safetensors_out.Tensor(n, stored, "bfloat16", fetch) for n in weight_names.tensor_names(path, leaf.shape)]
    with safetensors_out.staged(directory) as stage:
        safetensors_out.write(stage, tensors, shard_bytes=shard_bytes)


@pytest.mark.parametrize(
    "size, held, devices, entries",
    [
        pytest.param("MEDIUM", "bfloat16", 8, 2**20, marks=pytest.mark.slow),
        pytest.param("LARGE", "float32", 1, 2**22, marks=pytest.mark.slow),
        pytest.param("LARGE", "bfloat16", 1, 2**22, marks=pytest.mark.slow),
        pytest.param("LARGE", "float32", 8, 2**22, marks=pytest.mark.slow),
        pytest.param("LARGE", "bfloat16", 8, 2**22, marks=pytest.mark.slow),
    ],
)
def test_peak_memory(tmp_path, size, held, devices, entries):
    random_checkpoint(tmp_path, globals()[size], 200 * 2**20)
    found = alone(devices, "peak", tmp_path, size, held, entries)
    # Whatever the size of the model: four copies of a piece of float32 numbers, as much again that malloc keeps of those
    # it has freed, and what compiling the programs takes.
    bound = 8 * 4 * entries + 150e6
    assert bound < found["parameters"]  # so a copy of the checkpoint would show
    assert found["peak"] - found["parameters"] < bound, found
    assert found["anonymous"] - found["parameters"] < bound, found


def peak(directory, size, held, entries):
    """Bytes that reading a checkpoint took at most, those that stay, and those of the parameters."""
    placing.PIECE_ENTRIES = int(entries)
    shapes = abstract(globals()[size], held)[1]
    mesh = parallel.make_mesh(1, 4, 2) if jax.device_count() == 8 else None
    shardings = parallel.param_shardings(mesh, shapes, LOGICAL_AXES) if mesh else None
    resident, anonymous = memory("status", "VmRSS"), memory("smaps_rollup", "Anonymous")
    params = huggingface.read_params(directory, shapes, shardings)
    return {
        "peak": memory("status", "VmHWM") - resident,  # not getrusage's, which begins with that of the process before it
        "anonymous": memory("smaps_rollup", "Anonymous") - anonymous,
        "parameters": sum(leaf.nbytes for leaf in jax.tree.leaves(params)),
    }


def memory(file, field):
    """Bytes that the kernel says this process has."""
    lines = pathlib.Path("/proc/self", file).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])))
