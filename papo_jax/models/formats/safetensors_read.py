"""Reading of safetensors by rows: one file, or the shards that an index names.

A file is eight bytes that hold the length of the header, the header in JSON, and the tensors. It is
read here with plain reads and not through the library's memory map, whose pages count as the
process's memory for as long as it is open.
"""

import json
import math
import pathlib
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from papo_jax.errors import InputError
from papo_jax.models.formats.load_sharded import TensorSource

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {"F32": jnp.dtype("float32"), "BF16": jnp.dtype("bfloat16"), "F16": jnp.dtype("float16")}


class TensorEntry(NamedTuple):
    """Location and type of a tensor.

    Attributes:
      path: of its file.
      dtype: as the header spells it.
      shape: of the tensor.
      offset: of its first byte in the file.
    """

    path: pathlib.Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def open_directory(directory: pathlib.Path) -> TensorSource:
    """Opens the weights of a Hugging Face directory; nothing but headers is read yet.

    Args:
      directory: holds `model.safetensors`, or `model.safetensors.index.json` and its shards.

    Returns:
      The `TensorSource`.

    Raises:
      InputError: if a file is missing, damaged or cut short, or a tensor is stored in a dtype that
        is not supported.
    """
    entries = read_headers(directory)

    def read_rows(name: str, start: int, stop: int) -> np.ndarray:
        return _read_rows(name, entries[name], start, stop)

    shapes = {name: entry.shape for name, entry in entries.items()}
    return TensorSource(str(directory), shapes, read_rows)


def read_dtypes(directory: pathlib.Path) -> dict[str, str]:
    """Reads the dtypes that the tensors of a directory are stored in; reads headers only.

    Args:
      directory: as for `open_directory`.

    Returns:
      Hugging Face's name of the tensor -> "float32", "bfloat16" or "float16".

    Raises:
      InputError: as for `open_directory`.
    """
    return {name: DTYPES[entry.dtype].name for name, entry in read_headers(directory).items()}


def read_headers(directory: pathlib.Path) -> dict[str, TensorEntry]:
    """Finds every tensor of a directory; arguments and errors as for `open_directory`."""
    # transformers too takes the single file where there are both.
    single = directory / SINGLE
    if single.exists():
        entries = _read_header(single)
    elif (directory / INDEX).exists():
        entries = _read_index(directory / INDEX)
    else:
        pickled = sorted(file.name for file in directory.glob("*.bin"))
        instead = f"; {pickled[0]} cannot be read, save the model as safetensors" if pickled else ""
        raise InputError(
            f"{single} does not exist and neither does {INDEX}; the weights of model.path are"
            f" missing{instead}"
        )

    for name, entry in entries.items():
        if entry.dtype not in DTYPES:
            raise InputError(
                f"{entry.path}: the tensor {name} is stored as {entry.dtype}; supported are"
                " float32, bfloat16 and float16, so fetch the model unquantized"
            )
    return entries


def _read_index(path: pathlib.Path) -> dict[str, TensorEntry]:
    """Reads an index and the headers of its shards."""
    try:
        files = json.loads(path.read_bytes())["weight_map"]
        shards = list(dict.fromkeys(files.values()))
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no weight_map from tensors to files ({error!r:.80}); fetch it again"
        ) from None

    headers = {}
    for file in shards:
        # A name, never a way out of the directory.
        if not isinstance(file, str) or file in ("", ".", "..") or "/" in file or "\\" in file:
            raise InputError(
                f"{path}: weight_map names the file {file!r}, which must be the name of a file"
                " beside it"
            )
        if not (path.parent / file).exists():
            raise InputError(
                f"{path.parent / file} does not exist, and {path.name} names it; fetch it"
            )
        headers[file] = _read_header(path.parent / file)

    for name, file in files.items():
        if name not in headers[file]:
            raise InputError(
                f"{path}: weight_map has the tensor {name} in {file}, which does not hold it;"
                " fetch both again"
            )
    return {name: headers[file][name] for name, file in files.items()}


def _read_header(path: pathlib.Path) -> dict[str, TensorEntry]:
    """Reads the header of a file and checks it against the size of the file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise ValueError(f"{size} bytes cannot hold a header of {length}")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("the header is no JSON object")
        header.pop("__metadata__", None)

        data = 8 + length
        entries = {name: _parse_entry(path, name, entry, data) for name, entry in header.items()}
        end = data + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != size:
            raise ValueError(f"{size} bytes where the header says {end}")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged or cut short ({error}); fetch or write it again"
        ) from None
    return entries


def _parse_entry(path: pathlib.Path, name: str, entry: Any, data: int) -> TensorEntry:
    """Parses the header's entry of one tensor; raises ValueError if that is not possible.

    `data` is the first byte after the header, from which offsets count.
    """
    try:
        (start, stop), shape, dtype = entry["data_offsets"], tuple(entry["shape"]), entry["dtype"]
        numbers = (start, stop, *shape)
        valid = isinstance(dtype, str) and all(
            type(number) is int and number >= 0 for number in numbers
        )
        # The size of a dtype that is not known cannot be checked; such a tensor is refused later,
        # by its name.
        if valid and dtype in DTYPES:
            valid = stop - start == math.prod(shape) * DTYPES[dtype].itemsize
        if valid:
            return TensorEntry(path, dtype, shape, data + start)
    except (LookupError, TypeError, ValueError):
        pass
    raise ValueError(f"what the header says of {name} makes no sense")


def _read_rows(name: str, entry: TensorEntry, start: int, stop: int) -> np.ndarray:
    """Reads rows [start, stop) of a tensor from disk."""
    dtype, columns = DTYPES[entry.dtype], entry.shape[1:]
    row_bytes = math.prod(columns) * dtype.itemsize
    num_bytes = (stop - start) * row_bytes
    offset = entry.offset + start * row_bytes
    content = np.fromfile(entry.path, np.uint8, num_bytes, offset=offset)
    if content.size != num_bytes:
        raise InputError(
            f"{entry.path} was cut short at the tensor {name} while it was read; fetch or write it"
            " again"
        )
    return content.view(dtype).reshape(stop - start, *columns)
