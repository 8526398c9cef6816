"""The container GGUF: metadata, then tensors, in one little-endian file.

Layout of versions 2 and 3: "GGUF", version, tensor count, field count; the fields; name, shape,
type and offset of every tensor; padding; the data. `gguf.GGUFReader` makes several NumPy views for
each of the 100000 strings of a tokenizer, seconds of work; reading the header in order takes a
fraction of one.
"""

import math
import mmap
import pathlib
import struct
from typing import Any, NamedTuple

import numpy as np

from papo_jax.errors import InputError

# Type of a metadata value -> its code in `struct`; 8 and 9 have no fixed size.
_STRING, _ARRAY = 8, 9
_SCALAR_CODES = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_DEFAULT_ALIGNMENT = 32


class TensorInfo(NamedTuple):
    """Shape, type and location of a tensor.

    Attributes:
      shape: the slowest axis first.
      kind: its ggml type.
      offset: of its first byte in the file.
    """

    shape: tuple[int, ...]
    kind: int
    offset: int


class GGUFFile(NamedTuple):
    """An opened file; tensors are read from disk when they are asked for.

    Attributes:
      path: for messages.
      fields: metadata name -> number, boolean, string or list.
      tensors: name -> `TensorInfo`.
      data: the mapped file.
    """

    path: pathlib.Path
    fields: dict[str, Any]
    tensors: dict[str, TensorInfo]
    data: mmap.mmap

    def __repr__(self) -> str:
        return f"GGUFFile({self.path}, {len(self.fields)} fields, {len(self.tensors)} tensors)"

    def read_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Reads rows [start, stop) of a tensor as float32.

        Args:
          name: of the tensor.
          start, stop: on its slowest axis; a vector is one block of numbers and is read whole
            before it is cut.

        Returns:
          The rows.

        Raises:
          InputError: if the tensor's type is unknown or the file is cut short.
        """
        if len(self.tensors[name].shape) == 1:
            return self._dequantize_rows(name, 0, None)[start:stop]
        return self._dequantize_rows(name, start, stop)

    def _dequantize_rows(self, name: str, start: int, stop: int | None) -> np.ndarray:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

        shape, kind, offset = self.tensors[name]
        try:
            kind = GGMLQuantizationType(kind)
            block_entries, block_bytes = GGML_QUANT_SIZES[kind]
            stored_shape = (*shape[:-1], shape[-1] // block_entries * block_bytes)
            raw = np.frombuffer(self.data, np.uint8, math.prod(stored_shape), offset)
            # Blocks lie along the last axis, so rows can be dequantized apart from the others.
            rows = raw.reshape(stored_shape)[start:stop]
            return dequantize(rows, kind).reshape(-1, *shape[1:])
        except NotImplementedError as error:
            raise InputError(f"{self.path}: the tensor {name} cannot be read: {error}") from None
        except (ValueError, IndexError, OverflowError):
            raise InputError(
                f"{self.path} is damaged or cut short at the tensor {name}; fetch it again"
            ) from None


def open_file(path: pathlib.Path) -> GGUFFile:
    """Opens a file and reads its metadata.

    Args:
      path: a GGUF file of version 2 or 3.

    Returns:
      The `GGUFFile`.

    Raises:
      InputError: if the file cannot be opened, is no GGUF file, or is cut short or damaged in its
        header.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} is empty; fetch it again") from None

    if data[:4] != b"GGUF":
        raise InputError(f"{path} is no GGUF file: it does not begin with the letters GGUF")
    try:
        return _read_header(path, data)
    except (struct.error, ValueError, KeyError, EOFError, RecursionError) as error:
        raise InputError(
            f"{path}: the GGUF header is damaged or cut short ({error}); fetch the file again"
        ) from None


def _read_header(path: pathlib.Path, data: mmap.mmap) -> GGUFFile:
    cursor = _Cursor(data, 4)
    version = cursor.read_number("I")
    if version not in (2, 3):
        raise ValueError(f"version {version}, it must be 2 or 3")
    num_tensors, num_fields = cursor.read_number("Q"), cursor.read_number("Q")

    fields = {
        cursor.read_string(): cursor.read_value(cursor.read_number("I")) for _ in range(num_fields)
    }

    # Offsets count from the first aligned byte after the header.
    relative = {}
    for _ in range(num_tensors):
        name = cursor.read_string()
        shape = cursor.read_numbers("Q", cursor.read_number("I"))
        kind, offset = cursor.read_number("I"), cursor.read_number("Q")
        relative[name] = TensorInfo(shape[::-1], kind, offset)
    alignment = fields.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"alignment {alignment!r}")
    start = cursor.offset + -cursor.offset % alignment
    tensors = {name: info._replace(offset=start + info.offset) for name, info in relative.items()}
    return GGUFFile(path, fields, tensors, data)


class _Cursor:
    """A position in the file that advances with each read."""

    def __init__(self, data: mmap.mmap, offset: int):
        self.data, self.offset = data, offset

    def read_numbers(self, code: str, count: int) -> tuple:
        layout = struct.Struct(f"<{count}{code}")
        values = layout.unpack_from(self.data, self.offset)
        self.offset += layout.size
        return values

    def read_number(self, code: str):
        return self.read_numbers(code, 1)[0]

    def read_string(self) -> str:
        end = self.read_number("Q") + self.offset
        if end > len(self.data):
            raise EOFError(f"a string that ends at byte {end} of {len(self.data)}")
        text = self.data[self.offset : end].decode()
        self.offset = end
        return text

    def read_value(self, kind: int):
        """Reads a number, a string or an array of them."""
        if kind == _STRING:
            return self.read_string()
        if kind != _ARRAY:
            return self.read_number(_SCALAR_CODES[kind])
        kind, count = self.read_number("I"), self.read_number("Q")
        if kind in (_STRING, _ARRAY):
            return [self.read_value(kind) for _ in range(count)]
        return list(self.read_numbers(_SCALAR_CODES[kind], count))
