"""Writing of safetensors: one file, or shards and their index, one tensor in memory at a time.

An export is complete or not there at all.
"""

import contextlib
import json
import math
import pathlib
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from papo_jax.errors import InputError
from papo_jax.models.formats.safetensors_read import DTYPES, INDEX, SINGLE

_CODES = {dtype.name: code for code, dtype in DTYPES.items()}
_STAGE = ".export-unfinished"
_WEIGHT_FILE = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


class LazyTensor(NamedTuple):
    """A tensor that is fetched when its turn comes.

    Attributes:
      name: in the file.
      shape: in the file.
      dtype: in the file, "float32", "bfloat16" or "float16".
      fetch: returns the values, in any float dtype.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    fetch: Callable[[], np.ndarray]

    @property
    def num_bytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize


@contextlib.contextmanager
def stage_files(
    directory: pathlib.Path, *, replaced: Collection[str] = ()
) -> Iterator[pathlib.Path]:
    """Yields a staging folder and moves its files into a directory once all are written.

    Weights that an earlier export left in the directory are deleted first. A process that is killed
    in between leaves a directory without weights, or with shards without their index, and never old
    and new ones mixed.

    Args:
      directory: of the files; made if it does not exist.
      replaced: names of other files of an earlier export, which are deleted with its weights.

    Yields:
      The folder, inside of `directory`; it is gone afterwards.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stage = directory / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    try:
        yield stage
        old_files = sorted(directory.iterdir(), key=_moving_order, reverse=True)
        for old in old_files:
            if _WEIGHT_FILE.fullmatch(old.name) or old.name in replaced:
                old.unlink()
        for new in sorted(stage.iterdir(), key=_moving_order):
            new.replace(directory / new.name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _moving_order(file: pathlib.Path) -> tuple[bool, str]:
    """Returns the sort key under which files are moved in; old ones are deleted in reverse.

    Weights are the first to go and the last to come, and of them the index ("-" sorts before "."):
    without it shards are no model.
    """
    return bool(_WEIGHT_FILE.fullmatch(file.name)), file.name


def write_tensors(directory: pathlib.Path, tensors: list[LazyTensor], *, shard_bytes: int) -> None:
    """Writes `model.safetensors`, or shards and their index where that would be too large.

    Args:
      directory: exists; see `stage_files`.
      tensors: in the order in which shards are filled.
      shard_bytes: the most bytes of tensors in a file; one that is larger by itself gets a file of
        its own.

    Raises:
      InputError: if a value does not fit the dtype that it is to be written in, or the dtype cannot
        be written.
    """
    for tensor in tensors:
        check_dtype(tensor.dtype)
    shards = _split_into_shards(tensors, shard_bytes)
    if len(shards) == 1:
        _write_file(directory / SINGLE, tensors)
        return

    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(directory / file, shard)
        weight_map |= {tensor.name: file for tensor in shard}
    total_size = sum(tensor.num_bytes for tensor in tensors)
    index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    (directory / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def check_dtype(dtype: str) -> None:
    """Raises `InputError` unless weights can be written in this dtype.

    >>> check_dtype("bfloat16")
    """
    if dtype not in _CODES:
        raise InputError(
            f"weights cannot be written in {dtype!r}; it must be float32, bfloat16 or float16"
        )


def _split_into_shards(tensors: list[LazyTensor], shard_bytes: int) -> list[list[LazyTensor]]:
    """Splits the list where the next tensor would make a file larger than `shard_bytes`."""
    shards: list[list[LazyTensor]] = [[]]
    room = shard_bytes
    for tensor in tensors:
        if shards[-1] and tensor.num_bytes > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(tensor)
        room -= tensor.num_bytes
    return shards


def _write_file(path: pathlib.Path, tensors: list[LazyTensor]) -> None:
    # The widest dtypes first keep every tensor at a multiple of its item size, as readers that map
    # the file expect.
    tensors = sorted(tensors, key=lambda tensor: -jnp.dtype(tensor.dtype).itemsize)

    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.num_bytes
        header[tensor.name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            values = np.ascontiguousarray(_fetch_cast(tensor)).reshape(-1)
            file.write(values.view(np.uint8).data)


def _fetch_cast(tensor: LazyTensor) -> np.ndarray:
    """Fetches the values and casts them to the dtype of the file."""
    values = tensor.fetch()
    with np.errstate(over="ignore"):  # raised below, with the name
        cast = values.astype(tensor.dtype, copy=False)
    infinite = np.isinf(cast)
    if infinite.any() and np.isfinite(values[infinite]).any():
        raise InputError(
            f"the tensor {tensor.name} holds values beyond {jnp.finfo(tensor.dtype).max}, the"
            f" largest in {tensor.dtype}; export in bfloat16 or float32"
        )
    return cast
