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

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_DEFAULT_ALIGNMENT = 32


class TensorInfo(NamedTuple):
    """Where a tensor is: shape with the slowest axis first, ggml type, offset in the file in
    bytes."""

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

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
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
            return self._dequantized(name, 0, None)[start:stop]
        return self._dequantized(name, start, stop)

    def _dequantized(self, name: str, start: int, stop: int | None) -> np.ndarray:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

        shape, kind, offset = self.tensors[name]
        try:
            kind = GGMLQuantizationType(kind)
            block, size = GGML_QUANT_SIZES[kind]
            stored = (*shape[:-1], shape[-1] // block * size)
            raw = np.frombuffer(self.data, np.uint8, math.prod(stored), offset).reshape(stored)
            # Blocks lie along the last axis, so rows can be dequantized apart from the others.
            return dequantize(raw[start:stop], kind).reshape(-1, *shape[1:])
        except NotImplementedError as error:
            raise InputError(f"{self.path}: the tensor {name} cannot be read: {error}") from None
        except (ValueError, IndexError, OverflowError):
            raise InputError(
                f"{self.path} is damaged or cut short at the tensor {name}; fetch it again"
            ) from None


def read(path: pathlib.Path) -> GGUFFile:
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
    except (struct.error, ValueError, KeyError, EOFError) as error:
        raise InputError(
            f"{path}: the GGUF header is damaged or cut short ({error}); fetch the file again"
        ) from None


def _read_header(path: pathlib.Path, data: mmap.mmap) -> GGUFFile:
    cursor = _Cursor(data, 4)
    version = cursor.number("I")
    if version not in (2, 3):
        raise ValueError(f"version {version}, it must be 2 or 3")
    tensor_count, field_count = cursor.number("Q"), cursor.number("Q")
    fields = {cursor.string(): cursor.value(cursor.number("I")) for _ in range(field_count)}
    relative = {}
    for _ in range(tensor_count):
        name = cursor.string()
        shape = cursor.numbers("Q", cursor.number("I"))
        relative[name] = TensorInfo(shape[::-1], cursor.number("I"), cursor.number("Q"))
    alignment = fields.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"alignment {alignment!r}")
    start = cursor.at + -cursor.at % alignment
    tensors = {name: info._replace(offset=start + info.offset) for name, info in relative.items()}
    return GGUFFile(path, fields, tensors, data)


class _Cursor:
    """A place in the file that moves on with what is read."""

    def __init__(self, data: mmap.mmap, at: int):
        self.data, self.at = data, at

    def numbers(self, code: str, count: int) -> tuple:
        layout = struct.Struct(f"<{count}{code}")
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def number(self, code: str):
        return self.numbers(code, 1)[0]

    def string(self) -> str:
        end = self.number("Q") + self.at
        if end > len(self.data):
            raise EOFError(f"a string that ends at byte {end} of {len(self.data)}")
        text = self.data[self.at : end].decode()
        self.at = end
        return text

    def value(self, kind: int):
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_SCALARS[kind])
        kind, count = self.number("I"), self.number("Q")
        if kind in (_STRING, _ARRAY):
            return [self.value(kind) for _ in range(count)]
        return list(self.numbers(_SCALARS[kind], count))
