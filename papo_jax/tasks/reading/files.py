"""Readers of the files in which datasets are published: JSON lines, JSON and parquet by suffix.

An error with a file is reported in one line that names the file, the line or row, and the reason.
"""

import hashlib
import importlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from papo_jax.errors import InputError
from papo_jax.json_files import make_object
from papo_jax.tasks.reading.latex_escapes import check_latex_escapes
from papo_jax.tasks.reading.number_text import Number, write_numbers

SUFFIXES = (".jsonl", ".json", ".parquet")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_REASON = 200  # characters
_PARQUET_ROWS = 1024  # in memory at once

Parsed = TypeVar("Parsed")


class Row(NamedTuple):
    """One row: its location for messages ("test.jsonl, line 3"), and its fields."""

    location: str
    fields: Any


def read_rows(path: Path) -> Iterator[Row]:
    """Reads a file row by row.

    Args:
      path: ends in .jsonl, .json (a list of objects, or one object) or .parquet.

    Yields:
      A `Row` each; numbers are `Number`s, but for those of a parquet file that are not finite.

    Raises:
      InputError: if the file cannot be read, is empty, or is not what its suffix says.
    """
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise InputError(f"{path} should end in {', '.join(SUFFIXES)}; rename it to what it holds")
    unit, number = "line" if path.suffix == ".jsonl" else "row", 0
    try:
        for number, fields in enumerate(readers[path.suffix](path), 1):
            yield Row(f"{path}, {unit} {number}", fields)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or _short_reason(error)}); "
            "task.path should name readable files"
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}, {unit} {number + 1}: {_short_reason(error)}") from error
    if not number:
        raise InputError(f"{path}, {unit} 1: the file is empty; each {unit} should be a problem")


def parse_rows(
    paths: Iterable[Path], parse_row: Callable[[Mapping], Parsed]
) -> Iterator[tuple[str, Parsed]]:
    """Parses every row of some files.

    Args:
      paths: the files, read in this order.
      parse_row: parses one row's fields; its ValueError says what is wrong with them.

    Yields:
      (the row's location, the result of `parse_row`).

    Raises:
      InputError: as `read_rows`, and if a row is no object or `parse_row` refuses it.
    """
    for path in paths:
        for location, fields in read_rows(path):
            if not isinstance(fields, Mapping):
                raise InputError(
                    f"{location}: not a JSON object; each row should be one, "
                    "with its fields by name"
                )
            try:
                parsed = parse_row(fields)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{location}: {_short_reason(error)}") from error
            yield location, parsed


def read_text(fields: Mapping, *names: str) -> str:
    """Returns the first of these fields that a row has.

    >>> read_text({"Problem": "1+1?"}, "problem", "Problem")
    '1+1?'

    Raises:
      ValueError: if it has none of them, or what it has is empty, not text, cannot be stored, or
        has lost backslashes of LaTeX.
    """
    value = next((fields[name] for name in names if fields.get(name) is not None), None)
    if not isinstance(value, str) or isinstance(value, Number) or not value.strip():
        wanted = " or ".join(map(repr, names))
        raise ValueError(
            f"the field {wanted} is missing, empty or not text; "
            f"the row has {', '.join(map(str, fields))[:80]}"
        )
    value.encode()  # a lone surrogate cannot be stored
    check_latex_escapes(value)
    return value


def read_text_or_number(fields: Mapping, *names: str) -> str:
    """Returns the first of these fields that a row has, a number as text.

    >>> read_text_or_number({"answer": 27.0}, "answer")
    '27.0'

    Raises:
      ValueError: as `read_text`, and for a number that is not finite.
    """
    numbers = {}
    for name in names:
        value = fields.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the field {name!r} is {value}, which is no number; give one")
        if type(value) in (Number, int, float):
            numbers[name] = str(value)
    return read_text({**fields, **numbers}, *names)


def read_texts_or_numbers(fields: Mapping, name: str) -> tuple[str, ...]:
    """Returns a field's texts or numbers, of which there may be several in a list.

    >>> read_texts_or_numbers({"answer": [2, "two", 2]}, "answer")
    ('2', 'two')

    Raises:
      ValueError: if the field, or a member of its list, is missing, empty, or no text or number.
    """
    value = fields.get(name)
    if not isinstance(value, list):
        return (read_text_or_number(fields, name),)
    if not value:
        raise ValueError(f"the field {name!r} is an empty list; give at least one")
    texts = [read_text_or_number({**fields, name: member}, name) for member in value]
    return tuple(dict.fromkeys(texts))


def digest_files(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 over the names and the contents of files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                content_digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); check task.path"
            ) from error
        digest.update(f"{path.name} {content_digest}\n".encode())
    return digest.hexdigest()


def _read_jsonl(path: Path) -> Iterator[Any]:
    """Reads JSON lines; only the end of the file may be blank."""
    blank = False
    with path.open("rb") as file:
        for number, line in enumerate(file):
            content = line if number else line.removeprefix(_BYTE_ORDER_MARK)
            if not content.strip():
                blank = True
            elif blank:
                raise ValueError("the line is empty; remove it")
            else:
                # Without its end, where an error would have the position "line 2" of this one line.
                yield _decode_json(content.rstrip(b"\r\n"))


def _read_json(path: Path) -> Iterator[Any]:
    document = _decode_json(path.read_bytes().removeprefix(_BYTE_ORDER_MARK))
    yield from document if isinstance(document, list) else [document]


def _read_parquet(path: Path) -> Iterator[Any]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f"{path} needs the package pyarrow ({error}): pip install pyarrow"
        ) from error
    with parquet.ParquetFile(path) as file:
        kinds = {field.name: str(field.type) for field in file.schema_arrow}
        for batch in file.iter_batches(_PARQUET_ROWS):
            for fields in batch.to_pylist():
                yield {name: write_numbers(value, kinds[name]) for name, value in fields.items()}


def _decode_json(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode(),
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=make_object,
        )
    except json.JSONDecodeError as error:
        hint = "; one object a line belongs into a .jsonl file" if error.msg == "Extra data" else ""
        position = f"column {error.colno}"
        if error.lineno != 1:
            position = f"line {error.lineno}, {position}"
        raise ValueError(
            f"not JSON ({error.msg.removesuffix(' at')} at {position}){hint}"
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON ({name} is no number there)")


def _short_reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
