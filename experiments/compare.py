"""Compares the evaluations of runs on one panel: avg@k, pass@k and maj@k, and the paired difference
to the first run.

    python -m experiments.compare runs/grpo runs/papo [...] [--step=last|best|N] [--csv=FILE]

Of a single run it compares the steps: first, best and last. Runs that differ in their seed alone
also get a line for their mean. Exit code 2, with one line that says why: the runs cannot be
  compared.
"""

import argparse
import csv
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from experiments import comparison
from experiments.comparison import Labeled, Pair, Part
from experiments.estimates import SHOWN, over_seeds, row_of
from experiments.evaluated import Entry, Evaluated, check_comparable, printable, read
from papo_jax.errors import InputError
from papo_jax.report.evaluation_figures import Interval

COLUMNS = ("run", "method", "seed", "step", "source", "problems", "figure", "value", "low", "high")
DIFFERENCE = ("difference_to", "difference", "difference_low", "difference_high")


def compare(
    workdirs: Sequence[pathlib.Path], step: str | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """Reads runs and lays their figures out.

    Args:
      workdirs: at least one; the first is what the others are compared with.
      step: "last" (also where None), "best" by avg@k, or a number that every run was evaluated at.

    Returns:
      The text to print, and the same as records for a CSV file: shares of one, a record a figure.

    Raises:
      InputError: if a run cannot be read, or if they cannot be compared.
    """
    runs = [read(workdir, label) for workdir, label in zip(workdirs, labels(workdirs), strict=True)]
    check_comparable(runs)
    labeled = (
        [(run.label, run, choose(run, step or "last")) for run in runs]
        if len(runs) > 1
        else _steps(runs[0], step)
    )
    rows = [row_of(run, entry, label) for label, run, entry in labeled]
    means = over_seeds(runs, rows) if len(runs) > 1 else []
    pairs = [
        (row, group[0] if n else None) for group in (rows, means) for n, row in enumerate(group)
    ]
    parts = [
        (label, printable(source), *part)
        for label, _, entry in labeled
        for source, part in entry.by_source.items()
    ]
    best = step == "best" or (len(runs) == 1 and step is None)
    return comparison.text(labeled, pairs, parts, best=best), list(
        _records(pairs, parts, runs[0].samples)
    )


def labels(workdirs: Sequence[pathlib.Path]) -> list[str]:
    """Names runs by what follows the directory that holds them all; raises `InputError` if one is
    there twice.

    >>> labels([pathlib.Path("runs/sweep/a"), pathlib.Path("runs/b")])
    ['sweep/a', 'b']
    """
    places = [pathlib.Path(os.path.realpath(workdir)) for workdir in workdirs]
    twice = [
        str(workdir)
        for workdir, place in zip(workdirs, places, strict=True)
        if places.count(place) > 1
    ]
    if twice:
        raise InputError(f"{' and '.join(twice)} are one run; name each once")
    shared = os.path.commonpath([place.parent for place in places])
    return [printable(os.path.relpath(place, shared), most=None) for place in places]


def choose(run: Evaluated, step: str) -> Entry:
    """Returns the entry at "last", "best" (the earliest of equal ones) or a number; raises
    `InputError` without one."""
    if step == "last":
        return run.entries[-1]
    if step == "best":
        return max(run.entries, key=lambda entry: sum(entry.right))
    found = [entry for entry in run.entries if str(entry.step) == step]
    if not found:
        steps = ", ".join(str(entry.step) for entry in run.entries)
        raise InputError(
            f"--step={step}: {run.label} was evaluated at step {steps}; take one of those, last or best"
        )
    return found[0]


def _steps(run: Evaluated, step: str | None) -> list[Labeled]:
    """The first evaluation of a run, and the best and the last or the one asked for; those that are
    one share a row."""
    named = {
        "first": run.entries[0],
        **{name: choose(run, name) for name in ([step] if step else ["best", "last"])},
    }
    steps = {entry.step: entry for entry in named.values()}
    names = {
        step: ", ".join(name for name, entry in named.items() if entry.step == step)
        for step in steps
    }
    return [(names[step], run, entry) for step, entry in sorted(steps.items())]


def _records(pairs: list[Pair], parts: list[Part], samples: int) -> Iterator[dict[str, Any]]:
    about = {
        row.label: {"run": row.label, "method": row.method, "seed": row.seed, "step": row.step}
        for row, _ in pairs
    }
    for row, base in pairs:
        for figure in SHOWN:
            differs = row.less(base, figure) if base else None
            to_base = dict(zip(DIFFERENCE, (base.label, *differs), strict=True)) if differs else {}
            yield {
                **about[row.label],
                **_record(f"{figure[:-5]}@{samples}", row.interval(figure)),
                **to_base,
            }
    for label, source, problems, figures in parts:
        for name, found in figures.items():
            yield {**about[label], "source": source, "problems": problems, **_record(name, found)}


def _record(figure: str, found: Interval | None) -> dict[str, Any]:
    return {"figure": figure, **(found._asdict() if found else {})}


def _write(path: pathlib.Path, records: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *DIFFERENCE))
        writer.writeheader()
        writer.writerows(records)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 2 where the runs cannot be compared or the file cannot be
    written."""
    parser = argparse.ArgumentParser(
        "experiments.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workdirs", type=pathlib.Path, nargs="+", metavar="run", help="a run's work directory"
    )
    parser.add_argument(
        "--step", help="last (of several runs the default), best by avg@k, or a number"
    )
    parser.add_argument(
        "--csv",
        type=pathlib.Path,
        metavar="FILE",
        help="write the figures there too, as shares of one",
    )
    found = parser.parse_args(arguments)
    try:
        text, records = compare(found.workdirs, found.step)
        if found.csv:
            _write(found.csv, records)
    except InputError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
    else:
        print(text)
        return 0
    print("error: " + " ".join(reason.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
