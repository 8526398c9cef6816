"""Files of a run as far as they can be read, with notes on what is missing or damaged."""

import dataclasses
import json
import pathlib
from typing import Any

from papo_jax.evaluation.parsing import parse_evaluation
from papo_jax.evaluation.schema import Evaluation
from papo_jax.telemetry import runfiles


@dataclasses.dataclass(frozen=True)
class RunData:
    """A run's files, each as far as it could be read; a missing one is empty.

    Attributes:
      rows: of `metrics.jsonl`.
      samples: of `samples.jsonl`.
      evaluation: `evaluation.json`.
      config: `config.json`.
      provenance: `provenance.json`.
      notes: a sentence about each file that is missing or damaged.
    """

    rows: list[dict] = dataclasses.field(default_factory=list)
    samples: list[dict] = dataclasses.field(default_factory=list)
    evaluation: Evaluation = dataclasses.field(default_factory=lambda: parse_evaluation({}))
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def load_run_data(workdir: pathlib.Path) -> RunData:
    """Reads a work directory; never fails on what is missing, torn or of the wrong form."""
    notes: list[str] = []
    return RunData(
        rows=_read_rows(workdir / "metrics.jsonl", notes),
        samples=_read_rows(workdir / "samples.jsonl", notes),
        evaluation=parse_evaluation(_read_document(workdir / "evaluation.json", notes)),
        config=_read_document(workdir / "config.json", notes),
        provenance=_read_document(workdir / "provenance.json", notes),
        notes=notes,
    )


def _read_rows(path: pathlib.Path, notes: list[str]) -> list[dict]:
    try:
        found = runfiles.scan_rows(path)
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {error.strerror}.")
        return []
    if found.damaged:
        count, first = len(found.damaged), found.damaged[0]
        notes.append(f"{path.name}: {count} damaged line(s) left out, first line {first}.")
    elif not found.rows:
        notes.append(f"{path.name} is {'empty' if path.exists() else 'missing'}.")
    return found.rows


def _read_document(path: pathlib.Path, notes: list[str]) -> dict[str, Any]:
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
