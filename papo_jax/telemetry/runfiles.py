"""Files of a run's work directory: rows that are appended, and documents that are replaced whole.

A run may die at any byte. A JSONL file can then end in a torn line, which readers leave out; every
other file is replaced in one move, so it is either the old one or the new one.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
>>> append_row(path, {"step": 0, "grad_norm": float("nan")})
>>> read_rows(path)
[{'step': 0, 'grad_norm': None}]
"""

import json
import math
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple


class ScannedRows(NamedTuple):
    """Contents of a JSONL file, whole or damaged.

    Attributes:
      rows: the objects that could be read, in order.
      lines: their text, one each, without the newline.
      damaged: numbers, from 1, of the lines that hold no object.
      torn: whether the last line is one of those, as a run that was killed leaves it.
    """

    rows: list[dict]
    lines: list[bytes]
    damaged: list[int]
    torn: bool


def scan_rows(path: pathlib.Path) -> ScannedRows:
    """Reads a JSONL file as far as it can be read; a file that does not exist is empty."""
    # Bytes, split at the newline alone: str.splitlines would also cut at characters that JSON
    # allows in strings.
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    rows, kept, damaged = [], [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse_object(line)
        if row is None:
            damaged.append(number)
        else:
            rows.append(row)
            kept.append(line)
    torn = bool(damaged) and damaged[-1] == len(lines)
    return ScannedRows(rows=rows, lines=kept, damaged=damaged, torn=torn)


def read_rows(path: pathlib.Path) -> list[dict]:
    """Reads the objects of a JSONL file, leaving out a torn last line.

    Args:
      path: the file; one that does not exist holds no rows.

    Returns:
      The rows in order.

    Raises:
      ValueError: if a line that is not the last holds no object; no interrupted run leaves that.
    """
    return _scan_undamaged(path).rows


def append_row(path: pathlib.Path, row: dict) -> None:
    """Appends one row as one line, and hands it to the operating system.

    Args:
      path: the JSONL file, made if it does not exist.
      row: numbers, text, lists, dictionaries, and NumPy or JAX arrays; NaN and infinities become
        null.
    """
    line = json.dumps(_plain_value(row), allow_nan=False).encode() + b"\n"
    with path.open("ab") as file:
        file.write(line)
        file.flush()


def keep_rows_before(path: pathlib.Path, step: int) -> None:
    """Drops the rows of `step` and later, and a torn last line: a step run again appears once.

    Args:
      path: the JSONL file; nothing happens if it does not exist.
      step: the step that the run resumes at. Rows without a step belong to no step and stay.

    Raises:
      ValueError: if a line that is not the last holds no object.
    """
    drop_rows(path, lambda row: _step_or_least(row) >= step)


def drop_rows(path: pathlib.Path, unwanted: Callable[[dict], bool]) -> None:
    """Drops unwanted rows and a torn last line.

    Args:
      path: the JSONL file; nothing happens if it does not exist.
      unwanted: returns True for a row that goes.

    Raises:
      ValueError: if a line that is not the last holds no object.
    """
    if not path.exists():
        return
    found = _scan_undamaged(path)
    kept = [line for line, row in zip(found.lines, found.rows, strict=True) if not unwanted(row)]
    _replace_file(path, b"".join(line + b"\n" for line in kept))


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON document in one move, keys in their own order; NaN and infinities become null.

    Args:
      path: the file; what it held before is there until all of the new text is.
      value: what `append_row` takes.
    """
    _replace_file(path, json.dumps(_plain_value(value), indent=2, allow_nan=False).encode() + b"\n")


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file in one move."""
    _replace_file(path, content)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes text as UTF-8 in one move; a lone surrogate, which UTF-8 lacks, is spelled out."""
    _replace_file(path, text.encode("utf-8", errors="backslashreplace"))


def _scan_undamaged(path: pathlib.Path) -> ScannedRows:
    found = scan_rows(path)
    inside = found.damaged[:-1] if found.torn else found.damaged
    if inside:
        raise ValueError(f"{path}: line {inside[0]} holds no JSON object; remove it to continue")
    return found


def _parse_object(line: bytes) -> dict | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _step_or_least(row: dict) -> float:
    step = row.get("step")
    return step if isinstance(step, (int, float)) else -math.inf


def _plain_value(value: Any) -> Any:
    """Turns arrays into lists or numbers, paths into text, and NaN and infinities into None."""
    if isinstance(value, dict):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return _plain_value(value.tolist())
    return value


def _replace_file(path: pathlib.Path, content: bytes) -> None:
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the new name and lose the content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: pathlib.Path) -> None:
    """Removes what processes that were killed left of their replacements of a file."""
    start, end = f".{path.name}.", ".tmp"
    for name in os.listdir(path.parent):
        process = name.removeprefix(start).removesuffix(end)
        if name == f"{start}{process}{end}" and re.fullmatch("[0-9]{1,9}", process):
            try:
                os.kill(int(process), 0)  # asks whether it runs
            except ProcessLookupError:
                path.with_name(name).unlink(missing_ok=True)
            except OSError:
                continue  # it runs, as another user's
