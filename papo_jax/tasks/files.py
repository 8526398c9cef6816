"""Rows out of the files in which data sets are published: JSON lines, JSON and parquet, told apart
by suffix.

Whatever is wrong with a file is said in one line that names the file, the line or row, and the
reason.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from papo_jax.errors import InputError

SUFFIXES = (".jsonl", ".json", ".parquet")
_REASON = 200  # characters of a reason that are shown
_BATCH = 1024  # parquet rows in memory at once

Read = TypeVar("Read")


class Number(str):
    """A number of a JSON file, in the digits in which it stands there."""


class Row(NamedTuple):
    """One row: where it stands ("test.jsonl, line 3"), and its fields."""

    place: str
    fields: Any


def rows(path: Path) -> Iterator[Row]:
    """Reads a file row by row.

    Args:
      path: ends in .jsonl, .json (a list of objects, or one object) or .parquet.

    Yields:
      A `Row` each; numbers of a JSON file are `Number`s.

    Raises:
      InputError: if the file cannot be read, is empty, or is not what its suffix says.
    """
    readers = {".jsonl": _lines, ".json": _document, ".parquet": _parquet}
    if path.suffix not in readers:
        raise InputError(f"{path} should end in {', '.join(SUFFIXES)}; rename it to what it holds")
    unit, number = "line" if path.suffix == ".jsonl" else "row", 0
    try:
        for number, fields in enumerate(readers[path.suffix](path), 1):
            yield Row(f"{path}, {unit} {number}", fields)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or _reason(error)}); task.path should name readable files"
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}, {unit} {number + 1}: {_reason(error)}") from error
    if not number:
        raise InputError(f"{path}, {unit} 1: the file is empty; each {unit} should be a problem")


def read(paths: Iterable[Path], parse: Callable[[Mapping], Read]) -> Iterator[tuple[str, Read]]:
    """Reads what every row of some files means.

    Args:
      paths: the files, read in this order.
      parse: of one row's fields; its ValueError says what is wrong with them.

    Yields:
      (where the row stands, what `parse` made of it).

    Raises:
      InputError: as `rows`, and if a row is no object or `parse` refuses it.
    """
    for path in paths:
        for place, fields in rows(path):
            if not isinstance(fields, Mapping):
                raise InputError(
                    f"{place}: not a JSON object; each row should be one, with its fields by name"
                )
            try:
                found = parse(fields)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place}: {_reason(error)}") from error
            yield place, found


def text(fields: Mapping, *names: str) -> str:
    """Returns the first of these fields that a row has.

    >>> text({"Problem": "1+1?"}, "problem", "Problem")
    '1+1?'

    Raises:
      ValueError: if it has none of them, or what it has is empty, not text, or cannot be stored.
    """
    value = next((fields[name] for name in names if fields.get(name) is not None), None)
    if not isinstance(value, str) or isinstance(value, Number) or not value.strip():
        wanted = " or ".join(map(repr, names))
        raise ValueError(
            f"the field {wanted} is missing, empty or not text; the row has {', '.join(map(str, fields))[:80]}"
        )
    value.encode()  # a lone surrogate cannot be stored
    return value


def scalar(fields: Mapping, *names: str) -> str:
    """Returns the first of these fields that a row has as text; it may be a number.

    >>> scalar({"answer": 27.0}, "answer")
    '27.0'

    Raises:
      ValueError: as `text`.
    """
    numbers = {
        name: str(fields[name]) for name in names if type(fields.get(name)) in (Number, int, float)
    }
    return text({**fields, **numbers}, *names)


def digest(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 over the names and the contents of files, in order."""
    whole = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                whole.update(
                    f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
                )
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); check task.path"
            ) from error
    return whole.hexdigest()


def _lines(path: Path) -> Iterator[Any]:
    """JSON lines; only the end of the file may be blank."""
    blank = False
    with path.open("rb") as file:
        for number, line in enumerate(file):
            line = line.removeprefix(b"\xef\xbb\xbf") if not number else line
            if blank:
                if line.strip():
                    raise ValueError("the line is empty; remove it")
            elif line.strip():
                yield _json(line)
            else:
                blank = True


def _document(path: Path) -> Iterator[Any]:
    document = _json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    yield from document if isinstance(document, list) else [document]


def _parquet(path: Path) -> Iterator[Any]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f"{path} needs the package pyarrow ({error}): pip install pyarrow"
        ) from error
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()


def _json(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode(), parse_float=Number, parse_int=Number, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        hint = "; one object a line belongs into a .jsonl file" if error.msg == "Extra data" else ""
        place = (
            f"column {error.colno}"
            if error.lineno == 1
            else f"line {error.lineno}, column {error.colno}"
        )
        raise ValueError(f"not JSON ({error.msg} at {place}){hint}") from error


def _constant(name: str) -> None:
    raise ValueError(f"not JSON ({name} is no number there)")


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_REASON]
