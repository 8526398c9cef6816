"""What a work directory says of its evaluation, read strictly: a comparison is no place to guess.

What counts are the counts a problem: figures and intervals are made from them again, on the same
  resamples for all runs.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.report import evaluation_figures
from papo_jax.report.run_data import look_up
from papo_jax.report.series import number

MAX_SAMPLES = (
    4096  # pass@k is exact; a file that claims a billion samples would keep it busy for days
)


class Entry(NamedTuple):
    """One evaluation.

    Attributes:
      step: that it was made after.
      right: [M], right samples a problem.
      votes: [M], `evaluation.majority` a problem; None in a file of old.
      recorded: intervals as the file has them, by name such as "maj@8"; what there is.
      by_source: the same for the problems of each source, with their number; what there is.
      errors: answers without a verdict.
    """

    step: int
    right: list[int]
    votes: list[float] | None
    recorded: dict[str, evaluation_figures.Interval]
    by_source: dict[str, tuple[int, dict[str, evaluation_figures.Interval]]]
    errors: int


class Evaluated(NamedTuple):
    """A run as it was evaluated: who it is, on what and how it was judged, and its entries in the
    order of their steps.

    `config` is empty, and `seed` None, where there is no config.json; `sampling` and `graders` are
    what the file has.
    """

    label: str
    method: str
    seed: int | None
    model: str
    config: dict[str, Any]
    task: str
    fingerprint: str
    problems: int
    samples: int
    temperature: float
    sampling: dict[str, Any]
    graders: Any
    entries: list[Entry]


def read(workdir: pathlib.Path, label: str) -> Evaluated:
    """Reads evaluation.json and, where there is one, config.json.

    Args:
      workdir: of the run.
      label: its name in what is printed.

    Returns:
      The run.

    Raises:
      InputError: if there is no evaluation, or if something that a comparison needs is missing or
        of the wrong form.
    """
    path, settings = workdir / "evaluation.json", workdir / "config.json"
    document = read_object(
        path, missing=f"{workdir} has no evaluation.json; evaluate that run, or leave it out"
    )
    config = read_object(settings, missing="") if os.path.lexists(settings) else {}
    task, fingerprint, problems, samples, temperature = _setting(document, path)
    method, model = (
        printable(look_up(config, *names) or "-")
        for names in (("method", "name"), ("model", "path"))
    )
    seed = config["seed"] if _is_integer(config.get("seed"), 0) else None
    sampling = document["sampling"] if isinstance(document.get("sampling"), dict) else {}
    graders = look_up(document, "graders", "versions") or document.get("grader")
    entries = _entries(document, path, problems=problems, samples=samples)
    return Evaluated(
        label,
        method,
        seed,
        model,
        config,
        task,
        fingerprint,
        problems,
        samples,
        temperature,
        sampling,
        graders,
        entries,
    )


def check_comparable(runs: Sequence[Evaluated]) -> None:
    """Raises `InputError` unless all were evaluated on one panel, with as many samples, at one
    temperature."""
    first = runs[0]
    for run in runs[1:]:
        on = [
            f"{run.label} on {run.problems} problems of {run.task} ({printable(run.fingerprint[:12])})"
            for run in (first, run)
        ]
        if run.fingerprint != first.fingerprint or run.problems != first.problems:
            raise InputError(
                f"different panels: {on[0]}, {on[1]}; only runs on one panel can be compared"
            )
        for what in ("samples", "temperature"):
            mine, other = getattr(first, what), getattr(run, what)
            if mine != other:
                raise InputError(
                    f"different {what}: {first.label} has {mine:g}, {run.label} has {other:g}; evaluate them alike"
                )


def printable(value: object, most: int | None = 60) -> str:
    """Text of a file as one line of at most so many characters, which no terminal takes for a
    command.

    >>> printable("a\\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(character if character.isprintable() else "?" for character in str(value)[:most])


def _setting(document: dict[str, Any], path: pathlib.Path) -> tuple[str, str, int, int, float]:
    """Returns task, fingerprint, M, K and temperature."""
    task, fingerprint, problems = (
        look_up(document, "panel", name) for name in ("task", "fingerprint", "problems")
    )
    samples, temperature = document.get("samples"), document.get("temperature")
    _require(
        isinstance(task, str) and isinstance(fingerprint, str),
        path,
        "panel has no task and fingerprint",
    )
    _require(
        _is_integer(problems, 1),
        path,
        f"panel.problems is {_short(problems)}, not a whole number above 0",
    )
    _require(
        _is_integer(samples, 1, MAX_SAMPLES),
        path,
        f"samples is {_short(samples)}, not a whole number from 1 to {MAX_SAMPLES}",
    )
    _require(
        number(temperature) is not None, path, f"temperature is {_short(temperature)}, not a number"
    )
    return printable(task), fingerprint, problems, samples, float(temperature)


def _entries(
    document: dict[str, Any], path: pathlib.Path, *, problems: int, samples: int
) -> list[Entry]:
    """Returns the evaluations in the order of their steps."""
    found = document.get("entries")
    _require(isinstance(found, list) and found, path, "it holds no evaluation")
    entries = [
        _entry(value, f"entry {n}", path, problems, samples) for n, value in enumerate(found)
    ]
    _require(
        len({entry.step for entry in entries}) == len(entries),
        path,
        "two of its evaluations have one step",
    )
    return sorted(entries, key=lambda entry: entry.step)


def _entry(value: Any, name: str, path: pathlib.Path, problems: int, samples: int) -> Entry:
    step, right, votes = (look_up(value, key) for key in ("step", "right", "majority"))
    _require(_is_integer(step, 0), path, f"step of {name} is {_short(step)}, not a whole number")
    counts = (
        isinstance(right, list)
        and len(right) == problems
        and all(_is_integer(c, 0, samples) for c in right)
    )
    _require(
        counts,
        path,
        f"`right` of {name} is no list of {problems} counts from 0 to {samples}; evaluate that run again",
    )
    shares = (
        isinstance(votes, list)
        and len(votes) == problems
        and all(0 <= _or_minus(share) <= 1 for share in votes)
    )
    _require(
        shares or votes is None,
        path,
        f"`majority` of {name} is no list of {problems} shares from 0 to 1",
    )
    errors, _ = evaluation_figures.without_verdict(value)
    return Entry(
        step,
        right,
        votes,
        evaluation_figures.measures(value, samples),
        evaluation_figures.by_source(value, samples),
        errors,
    )


def _require(condition: object, path: pathlib.Path, complaint: str) -> None:
    if not condition:
        raise InputError(f"{path}: {complaint}")


def _is_integer(value: object, least: int, most: int | None = None) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and least <= value
        and (most is None or value <= most)
    )


def _or_minus(value: object) -> float:
    found = number(value)
    return -1.0 if found is None else found


def _short(value: object) -> str:
    return printable(repr(value))
