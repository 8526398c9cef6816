"""Compares the evaluations of runs on one evaluation set: avg@k, pass@k, maj@k, and differences.

    python -m experiments.compare runs/grpo runs/papo [...] [--step=last|best|N] [--csv=FILE]

The differences are paired, to the first run. Of a single run it compares the steps: first, best and
last. Runs that differ in their seed alone also get a line for their mean. Exit code 2, with one
line that says why: the runs cannot be compared.
"""

import argparse
import csv
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.comparison_text import (
    ComparedRow,
    Comparison,
    LabeledEntry,
    SourceRow,
    format_comparison,
)
from experiments.evaluated_runs import EvaluatedRun, check_comparable, read_run
from experiments.paired_estimates import average_over_seeds, estimate_row
from papo_jax.errors import InputError
from papo_jax.evaluation.figures import Interval
from papo_jax.evaluation.schema import Entry
from papo_jax.printable import printable_text

COLUMNS = ("run", "method", "seed", "step", "source", "problems", "figure", "value", "low", "high")
DIFFERENCE = ("difference_to", "difference", "difference_low", "difference_high")


def compare_runs(
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
    labels = label_runs(workdirs)
    runs = [read_run(workdir, label) for workdir, label in zip(workdirs, labels, strict=True)]
    check_comparable(runs)

    # The evaluations to show: one of each run, or several of a single run.
    if len(runs) > 1:
        labeled = [LabeledEntry(run.label, run, choose_entry(run, step or "last")) for run in runs]
    else:
        labeled = _label_steps(runs[0], step)

    # Their rows and the means over seeds, each but the first of its kind with a difference.
    rows = [estimate_row(run, entry, label) for label, run, entry in labeled]
    means = average_over_seeds(runs, rows) if len(runs) > 1 else []
    comparison = Comparison(
        labeled=labeled,
        compared=[
            ComparedRow(row, group[0] if index else None)
            for group in (rows, means)
            for index, row in enumerate(group)
        ],
        sources=[
            SourceRow(label, printable_text(source), part.problems, part.figures)
            for label, _, entry in labeled
            for source, part in entry.scores.by_source.items()
        ],
        best=step == "best" or (len(runs) == 1 and step is None),
    )
    return format_comparison(comparison), list(_list_records(comparison))


def label_runs(workdirs: Sequence[pathlib.Path]) -> list[str]:
    """Names runs by what follows the directory that holds them all.

    Raises:
      InputError: if one is there twice.

    >>> label_runs([pathlib.Path("runs/sweep/a"), pathlib.Path("runs/b")])
    ['sweep/a', 'b']
    """
    paths = [pathlib.Path(os.path.realpath(workdir)) for workdir in workdirs]
    twice = [
        str(workdir) for workdir, path in zip(workdirs, paths, strict=True) if paths.count(path) > 1
    ]
    if twice:
        raise InputError(f"{' and '.join(twice)} are one run; name each once")
    shared = os.path.commonpath([path.parent for path in paths])
    return [printable_text(os.path.relpath(path, shared), longest=None) for path in paths]


def choose_entry(run: EvaluatedRun, step: str) -> Entry:
    """Returns the entry at "last", "best" (the earliest of equal ones) or a number.

    Raises:
      InputError: if there is none.
    """
    entries = run.evaluation.entries
    if step == "last":
        return entries[-1]
    if step == "best":
        return max(entries, key=lambda entry: sum(entry.scores.right))
    found = [entry for entry in entries if str(entry.step) == step]
    if not found:
        steps = ", ".join(str(entry.step) for entry in entries)
        raise InputError(
            f"--step={step}: {run.label} was evaluated at step {steps}; take one of those, last or"
            " best"
        )
    return found[0]


def _label_steps(run: EvaluatedRun, step: str | None) -> list[LabeledEntry]:
    """Labels the first evaluation of a run, and the best and the last or the one asked for.

    Those that are one share a row.
    """
    chosen = {name: choose_entry(run, name) for name in ([step] if step else ["best", "last"])}
    named = {"first": run.evaluation.entries[0], **chosen}
    labels = {
        entry.step: ", ".join(name for name, other in named.items() if other.step == entry.step)
        for entry in named.values()
    }
    entries = {entry.step: entry for entry in named.values()}
    return [LabeledEntry(labels[step], run, entry) for step, entry in sorted(entries.items())]


def _list_records(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yields the records of a CSV file: those of rows, then those of sources."""
    about = {
        row.label: {"run": row.label, "method": row.method, "seed": row.seed, "step": row.step}
        for row, _ in comparison.compared
    }
    for row, base in comparison.compared:
        for figure in comparison.figures:
            record = {**about[row.label], **_describe_figure(figure, row.find_interval(figure))}
            difference = row.paired_difference(base, figure) if base else None
            if base and difference:
                record |= dict(zip(DIFFERENCE, (base.label, *difference), strict=True))
            yield record
    for label, source, problems, figures in comparison.sources:
        for figure, interval in figures.items():
            part = {"source": source, "problems": problems}
            yield {**about[label], **part, **_describe_figure(figure, interval)}


def _describe_figure(figure: str, interval: Interval | None) -> dict[str, Any]:
    return {"figure": figure, **(interval._asdict() if interval else {})}


def _write_csv(path: pathlib.Path, records: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        fields: list[str] = [*COLUMNS, *DIFFERENCE]
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(records)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 2 if runs cannot be compared or the file cannot be written."""
    # Parse the command line.
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

    # Print the comparison, or one line that says why there is none.
    try:
        text, records = compare_runs(found.workdirs, found.step)
        if found.csv:
            _write_csv(found.csv, records)
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
