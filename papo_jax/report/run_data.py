"""A run's files as far as they can be read, with notes on what is missing or damaged."""

import json
import pathlib
from typing import Any, NamedTuple

from papo_jax.telemetry import runfiles

_DOCUMENTS = ("evaluation.json", "config.json", "provenance.json")


class Run(NamedTuple):
    """A run's files, each as far as it could be read: a missing one is empty, and `notes` says
    so."""

    rows: list[dict]
    samples: list[dict]
    evaluation: dict
    config: dict
    provenance: dict
    notes: list[str]


def load(workdir: pathlib.Path) -> Run:
    """Reads what there is in a work directory; never fails on what is missing, torn or of the wrong
    form."""
    notes: list[str] = []
    rows, samples = (_rows(workdir / name, notes) for name in ("metrics.jsonl", "samples.jsonl"))
    evaluation, config, provenance = (_document(workdir / name, notes) for name in _DOCUMENTS)
    return Run(rows, samples, evaluation, config, provenance, notes)


def look_up(document: Any, *path: str) -> Any:
    """Follows names into nested dictionaries; None where the path ends early."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _rows(path: pathlib.Path, notes: list[str]) -> list[dict]:
    try:
        found = runfiles.scan(path)
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {error.strerror}.")
        return []
    if found.damaged:
        notes.append(
            f"{path.name}: {len(found.damaged)} damaged line(s) left out, first line {found.damaged[0]}."
        )
    elif not found.rows:
        notes.append(f"{path.name} is {'empty' if path.exists() else 'missing'}.")
    return found.rows


def _document(path: pathlib.Path, notes: list[str]) -> dict:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        notes.append(f"{path.name} is missing.")
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {error.strerror}.")
    except (ValueError, RecursionError):
        notes.append(f"{path.name} is not valid JSON.")
    else:
        if isinstance(value, dict):
            return value
        notes.append(f"{path.name} does not hold an object.")
    return {}
