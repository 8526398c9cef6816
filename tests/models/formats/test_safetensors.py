"""Safetensors: every dtype to the bit, shards and index, refusals, exports whole or not at all."""

import dataclasses
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from papo_jax.errors import InputError
from papo_jax.models.formats import hf_directory, hf_weight_map, safetensors_read, safetensors_write
from papo_jax.models.policy import make_abstract_model
from tests.support.checkpoints import CONFIG, make_params, read_contents
from tests.support.seeds import make_rng

DTYPES = ("float32", "bfloat16", "float16")
# The three dtypes in turn over two layers of an odd width: odd numbers of bfloat16 come before
# float32.
ODD = dataclasses.replace(CONFIG, width=15, layers=2)
# The smallest subnormals of float16 and bfloat16, which hardware likes to flush, a negative zero,
# and float16's largest.
EXTREMES = {
    "float16": [2**-24, -0.0, 65504.0],
    "bfloat16": [2**-133, -0.0, 2.0**127],
    "float32": [2**-149, -0.0, 1e38],
}


def mix_dtypes():
    """Returns every tensor's name -> a dtype, all three in turn."""
    flat = flatten_dict(make_abstract_model(ODD)[1])
    names = [
        name for path, leaf in flat.items() for name in hf_weight_map.tensor_names(path, leaf.shape)
    ]
    return {name: DTYPES[number % 3] for number, name in enumerate(names)}


def write_foreign(directory, dtypes, shards=1):
    """Writes a directory as another program would, each dtype's extremes in each tensor."""
    hf_directory.write_directory(directory, {}, make_params(config=ODD), dtype="float32")
    tensors = {}
    for name, values in load_file(directory / "model.safetensors").items():
        values.reshape(-1)[:3] = EXTREMES[dtypes[name]]
        tensors[name] = values.astype(jnp.dtype(dtypes[name]))
    (directory / "model.safetensors").unlink()
    files = [
        f"model-{n + 1:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors"
        for n in range(shards)
    ]
    weight_map = {name: files[number % shards] for number, name in enumerate(tensors)}
    for file in files:
        in_file = {name: tensors[name] for name in tensors if weight_map[name] == file}
        save_file(in_file, directory / file)
    if shards > 1:
        (directory / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": weight_map})
        )
    return tensors


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [*DTYPES, "mixed"])
def test_what_is_read_and_written_again_is_the_same_to_the_bit(tmp_path, dtype, shards):
    dtypes = mix_dtypes() if dtype == "mixed" else dict.fromkeys(mix_dtypes(), dtype)
    tensors = write_foreign(tmp_path / "first", dtypes, shards)
    stored = safetensors_read.read_dtypes(tmp_path / "first")
    assert stored == dtypes

    _, shapes = make_abstract_model(ODD)
    params = hf_directory.read_params(tmp_path / "first", shapes)
    hf_directory.write_directory(
        tmp_path / "second",
        {},
        params,
        dtype=None,
        dtypes=stored,
        shard_bytes=2**30 if shards == 1 else 10_000,
    )

    assert read_contents(tmp_path / "second") == {
        n: (t.dtype.name, t.tobytes()) for n, t in tensors.items()
    }
    assert safetensors_read.read_dtypes(tmp_path / "second") == dtypes
    for tensor in safetensors_read.read_headers(tmp_path / "second").values():
        assert tensor.offset % safetensors_read.DTYPES[tensor.dtype].itemsize == 0
    again = hf_directory.read_params(tmp_path / "second", shapes)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize("held", ["float32", "bfloat16"])
@pytest.mark.parametrize("stored", DTYPES)
def test_values_are_those_of_the_file_rounded_once(tmp_path, stored, held):
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype=stored)
    params = hf_directory.read_params(tmp_path, make_abstract_model(CONFIG, held)[1])
    expected = jax.tree.map(
        lambda leaf: leaf.astype(jnp.dtype(stored)).astype(jnp.dtype(held)), make_params()
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {held}
    jax.tree.map(np.testing.assert_array_equal, params, expected)


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


def leave_only_pickled(directory):
    for file in directory.glob("model*"):
        file.unlink()
    (directory / "pytorch_model.bin").write_bytes(b"")


def add_tensor(directory, value):
    path = directory / "model-00001-of-00002.safetensors"
    save_file({**load_file(path), "model.layers.0.mlp.up_proj.qweight": value}, path)
    edit_index(directory, model__layers__0__mlp__up_proj__qweight=path.name)


FIRST = "model-00001-of-00002.safetensors"
WRONG = {
    "shard missing": (
        lambda d: (d / FIRST).unlink(),
        f"{FIRST} does not exist, and model.safetensors.index.json names it",
    ),
    "shard cut short": (lambda d: os.truncate(d / FIRST, 5000), f"{FIRST} is damaged or cut short"),
    "shard empty": (lambda d: os.truncate(d / FIRST, 0), f"{FIRST} is damaged or cut short"),
    "index no JSON": (
        lambda d: (d / "model.safetensors.index.json").write_text("{"),
        "index.json holds no weight_map",
    ),
    "index a list": (
        lambda d: (d / "model.safetensors.index.json").write_text("[]"),
        "index.json holds no weight_map",
    ),
    "no weight_map": (
        lambda d: (d / "model.safetensors.index.json").write_text("{}"),
        "index.json holds no weight_map",
    ),
    "weight_map a list": (lambda d: write_index(d, ["a"]), "index.json holds no weight_map"),
    "weight_map of numbers": (
        lambda d: write_index(d, {"a": 3}),
        "the file 3, which must be the name of a file beside it",
    ),
    "weight_map of lists": (lambda d: write_index(d, {"a": []}), "index.json holds no weight_map"),
    "weight_map leads away": (
        lambda d: write_index(d, {"a": f"../{d.name}/{FIRST}"}),
        "must be the name of a file beside it",
    ),
    "weight_map leads to the root": (
        lambda d: write_index(d, {"a": "/etc/passwd"}),
        "must be the name of a file beside it",
    ),
    "weight_map names the parent": (
        lambda d: write_index(d, {"a": ".."}),
        "must be the name of a file beside it",
    ),
    "weight_map promises too much": (
        lambda d: edit_index(d, extra=FIRST),
        f"the tensor extra in {FIRST}, which does not",
    ),
    "weight_map lacks a tensor": (lambda d: write_index(d, {}), r"the tensor \S+ is missing"),
    "int8": (
        lambda d: add_tensor(d, np.ones((2, 2), np.int8)),
        r"up_proj.qweight is stored as I8; supported are float32, bf",
    ),
    "float8": (
        lambda d: damage_header(d, b'"dtype":"BF16"', b'"dtype":"F8_E"'),
        "is stored as F8_E; supported are float32",
    ),
    "float64": (
        lambda d: damage_header(d, b'"dtype":"BF16"', b'"dtype":"F64" '),
        "is stored as F64; supported are float32",
    ),
    "sizes that disagree": (
        lambda d: damage_header(d, b'"shape":[16]', b'"shape":[15]'),
        "makes no sense",
    ),
    "negative size": (
        lambda d: damage_header(d, b'"shape":[16]', b'"shape":[-1]'),
        "makes no sense",
    ),
    "only pickled weights": (
        leave_only_pickled,
        "model.safetensors does not exist.*pytorch_model.bin cannot be read",
    ),
}


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_weights_are_refused_in_one_line(tmp_path, change, message):
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype="bfloat16", shard_bytes=20_000)
    assert (tmp_path / FIRST).exists()
    change(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        hf_directory.read_params(tmp_path, make_abstract_model(CONFIG)[1])
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("seed", range(6))
def test_garbage_in_a_header_never_escapes_as_another_error(tmp_path, seed):
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype=None)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    rng = make_rng(seed)
    for at in rng.integers(8 * (seed % 2), 600, 20):
        content[at] = rng.integers(32, 127)
    path.write_bytes(content)
    with pytest.raises(InputError):
        hf_directory.read_params(tmp_path, make_abstract_model(CONFIG)[1])


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype=None)
    source = safetensors_read.open_directory(tmp_path)
    os.truncate(tmp_path / "model.safetensors", 6000)
    with pytest.raises(
        InputError, match="cut short at the tensor lm_head.weight while it was read"
    ):
        source.read_rows("lm_head.weight", 0, 97)


def test_shards_and_index_are_those_of_transformers(tmp_path):
    tensors = [
        safetensors_write.LazyTensor(
            name, (size,), "bfloat16", lambda size=size: np.ones(size, np.float32)
        )
        for name, size in {"b": 3, "c": 1, "a": 5, "d": 1}.items()
    ]
    # "a" is 10 bytes and gets a file of its own.
    safetensors_write.write_tensors(tmp_path, tensors, shard_bytes=8)
    first, second, third = (f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3))
    assert json.loads((tmp_path / "model.safetensors.index.json").read_text()) == {
        "metadata": {"total_size": 20},
        "weight_map": {"b": first, "c": first, "a": second, "d": third},
    }

    content = (tmp_path / third).read_bytes()
    header = (
        b'{"__metadata__":{"format":"pt"},"d":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    )
    header += b" " * (-len(header) % 8)
    # 1.0 in bfloat16 is 0x3f80.
    assert content == len(header).to_bytes(8, "little") + header + b"\x80\x3f"


def test_an_export_replaces_the_weights_before_it_and_nothing_else(tmp_path):
    kept = ["adapter.safetensors", "model-1-of-2.safetensors", "pytorch_model.bin"]
    for name in kept:
        (tmp_path / name).write_text("mine")

    def write(**options):
        return hf_directory.write_directory(
            tmp_path, {"a": 1}, make_params(), dtype="float16", **options
        )

    def there():
        return sorted(file.name for file in tmp_path.iterdir())

    write(shard_bytes=20_000)
    files = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert there() == sorted([*kept, *files, "config.json"])
    write()
    assert there() == sorted([*kept, "model.safetensors", "config.json"])
    write(shard_bytes=20_000)
    assert there() == sorted([*kept, *files, "config.json"])
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": 1}


def test_an_export_that_fails_changes_nothing(tmp_path):
    hf_directory.write_directory(tmp_path, {}, make_params(), dtype=None)
    before = read_contents(tmp_path)
    params = make_params()
    # Halfway to what would come after 65504, the largest.
    params["blocks"]["mlp"]["down"][2, 3, 1] = 65520.0
    with pytest.raises(
        InputError, match="layers.2.mlp.down_proj.weight holds values beyond 65504"
    ) as caught:
        hf_directory.write_directory(tmp_path, {}, params, dtype="float16", shard_bytes=20_000)
    assert "\n" not in str(caught.value)
    for wrong in ({"dtype": "int8"}, {"dtype": None, "dtypes": {"lm_head.weight": "float64"}}):
        with pytest.raises(InputError, match="it must be float32, bfloat16 or float16"):
            hf_directory.write_directory(tmp_path, {}, params, **wrong)
    assert read_contents(tmp_path) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    params["blocks"]["mlp"]["down"][2, 3, 1] = np.inf  # not ours to refuse: it was infinite before
    hf_directory.write_directory(tmp_path, {}, params, dtype="float16")


class Killed(BaseException):
    """What nothing catches."""


def export_until(directory, params, shard_bytes, steps):
    """Exports and is killed before step `steps` of its moves; returns whether it was.

    A step deletes an old file or moves a new one in.
    """
    done = []

    def step(operation):
        def operate(path, *to, **options):
            if len(done) == steps:
                raise Killed
            done.append(path)
            return operation(path, *to, **options)

        return operate

    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "replace"):
            patch.setattr(pathlib.Path, name, step(getattr(pathlib.Path, name)))
        # Nobody cleans up after a kill.
        patch.setattr(safetensors_write.shutil, "rmtree", lambda *_, **__: None)
        try:
            hf_directory.write_directory(
                directory, {"export": "new"}, params, dtype=None, shard_bytes=shard_bytes
            )
        except Killed:
            return True
    return False


def identify_loaded(directory, **whole):
    """Returns the name of the parameters in a directory, of those given; "refused", "a mixture"."""
    try:
        params = hf_directory.read_params(directory, make_abstract_model(CONFIG)[1])
    except InputError as error:
        assert "model.safetensors does not exist and neither does" in str(error)
        return "refused"
    export = json.loads((directory / "config.json").read_text())["export"]

    def same(one, other):
        return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))

    return export if same(params, whole[export]) else "a mixture"


# Shards of the old export have the names, and the tensors, of the new one's: a header would not
# tell them apart.
@pytest.mark.parametrize(
    "old_bytes, new_bytes, steps",
    [
        # Unlinked: the file; moved: config.json and the file.
        pytest.param(2**30, 2**30, 1 + 2, id="a file, then a file"),
        # Moved: config.json, two shards and their index.
        pytest.param(2**30, 40_000, 1 + 4, id="a file, then shards"),
        pytest.param(40_000, 2**30, 3 + 2, id="shards, then a file"),
        pytest.param(40_000, 40_000, 3 + 4, id="shards, then shards"),
    ],
)
def test_a_killed_export_never_looks_whole(tmp_path, old_bytes, new_bytes, steps):
    old = make_params()
    new = jax.tree.map(np.negative, old)
    found = []
    for step in range(steps + 1):
        directory = tmp_path / str(step)
        hf_directory.write_directory(
            directory, {"export": "old"}, old, dtype=None, shard_bytes=old_bytes
        )
        assert export_until(directory, new, new_bytes, step) == (step < steps)
        found.append(identify_loaded(directory, old=old, new=new))
        hf_directory.write_directory(directory, {"export": "old"}, old, dtype=None)
        assert sorted(file.name for file in directory.iterdir()) == [
            "config.json",
            "model.safetensors",
        ]
        assert identify_loaded(directory, old=old) == "old"
    assert found == ["old"] + ["refused"] * (steps - 1) + ["new"]
