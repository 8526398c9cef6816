"""Text of a comparison: one table with the differences below the rows, the sources, and notes.

Made to fit 120 columns, and to be read in a terminal: text out of files is made printable.
"""

import json
import textwrap
from typing import Any, NamedTuple

from experiments.evaluated_runs import EvaluatedRun
from experiments.paired_estimates import MEAN_OF, Row, shown_figures
from papo_jax.evaluation.figures import Figures, Interval
from papo_jax.evaluation.schema import Entry
from papo_jax.printable import printable_text

COLUMNS = 120
WIDTH = 26  # of the first column; a longer name has a line of its own
FEW = 30  # problems, below which a percentile interval is noticeably too narrow


class LabeledEntry(NamedTuple):
    """A row's name, and the evaluation that it shows."""

    label: str
    run: EvaluatedRun
    entry: Entry


class ComparedRow(NamedTuple):
    """A row, and the one that it is compared with."""

    row: Row
    base: Row | None


class SourceRow(NamedTuple):
    """A row's name, and the figures of one source."""

    label: str
    source: str
    problems: int
    figures: Figures


class Comparison(NamedTuple):
    """Everything that is printed.

    Attributes:
      labeled: the evaluations that are compared.
      compared: their rows, and those of means over seeds.
      sources: figures by source, where there are several.
      best: whether an evaluation was chosen for its figures.
    """

    labeled: list[LabeledEntry]
    compared: list[ComparedRow]
    sources: list[SourceRow]
    best: bool

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures in the columns."""
        return shown_figures(self.labeled[0].run.samples)


def format_comparison(comparison: Comparison) -> str:
    """Lays a comparison out in lines to print."""
    runs = {labeled.run.label: labeled.run for labeled in comparison.labeled}
    notes = [*_explain_table(comparison), *_warn_of_entries(comparison), *_list_differences(runs)]
    if comparison.best:
        notes.append("best: chosen by avg@k on this very evaluation set, hence optimistic.")
    notes = [textwrap.fill(note, COLUMNS, subsequent_indent="  ") for note in notes]
    tables = [*_format_figures(comparison), *_format_sources(comparison)]
    return "\n".join([_format_heading(list(runs.values())), "", *tables, "", *notes])


def format_cell(interval: Interval | None, sign: str = "") -> str:
    """Formats a figure in per cent or, with a sign "+", a difference in points.

    A star marks a difference whose interval excludes 0.
    """
    if interval is None:
        return "    -"
    value, low, high = interval
    if low is None or high is None:
        return f"{100 * value:{sign}z5.1f}"
    star = "*" if sign and not low <= 0 <= high else ""
    bounds = f"[{100 * low:{sign}z5.1f}, {100 * high:{sign}z5.1f}]"
    return f"{100 * value:{sign}z5.1f} {bounds}{star}"


def _format_heading(runs: list[EvaluatedRun]) -> str:
    run, models = runs[0], {run.model for run in runs}
    eval_set, sampling = run.evaluation.eval_set, run.evaluation.sampling
    owner = f"{run.label}: " if len(runs) == 1 else ""
    model = f", model {run.model}" if len(models) == 1 else ""
    task, fingerprint = printable_text(eval_set.task), printable_text(eval_set.fingerprint[:12])
    samples = f"{sampling.samples} sample{'s' * (sampling.samples > 1)} each"
    return (
        f"{owner}{task}, {eval_set.problems} problems (fingerprint {fingerprint}),"
        f" {samples} at temperature {sampling.temperature:g}{model}"
    )


def _format_figures(comparison: Comparison) -> list[str]:
    """Formats the table: a line a row, and below it one for the difference."""
    figures = comparison.figures
    lines = [["run", "method", "seed", "step", *(f"{figure}, %" for figure in figures)]]
    for row, base in comparison.compared:
        cells = [format_cell(row.find_interval(figure)) for figure in figures]
        lines.append([row.label, row.method, row.seed, row.step, *cells])
        if base:
            cells = [format_cell(row.paired_difference(base, figure), "+") for figure in figures]
            lines.append([f"  less {base.label}", "", "", "", *cells])
    return _align_columns(lines)


def _format_sources(comparison: Comparison) -> list[str]:
    lines = [["run", "source", "problems", *(f"{name}, %" for name in comparison.figures)]]
    before = None
    for label, source, problems, figures in comparison.sources:
        cells = [format_cell(figures.get(name)) for name in comparison.figures]
        lines.append(["" if label == before else label, source, str(problems), *cells])
        before = label  # a run is named once
    return ["", *_align_columns(lines)] if comparison.sources else []


def _align_columns(lines: list[list[str]]) -> list[str]:
    """Pads cells to columns; a long first cell has a line of its own."""
    widths = [
        max(len(line[column]) for line in lines if column or len(line[0]) <= WIDTH)
        for column in range(len(lines[0]))
    ]
    text = []
    for first, *rest in lines:
        if len(first) > WIDTH:
            text.append(first)
            first = ""
        cells = zip([first, *rest], widths, strict=True)
        text.append("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
    return text


def _explain_table(comparison: Comparison) -> list[str]:
    """Says how to read the table."""
    notes = [
        "[...]: 95 % intervals over problems, for these very runs and not over seeds; another seed"
        " may differ by more."
    ]
    if any(base for _, base in comparison.compared):
        notes.append(
            "less ...: paired difference in points; * its interval excludes 0 (nothing corrects for"
            " many comparisons)."
        )
    if any(row.label.startswith(MEAN_OF) for row, _ in comparison.compared):
        notes.append(
            "mean of ...: over seeds, with intervals over seeds and problems, which are rough where"
            " seeds are few."
        )
    problems = comparison.labeled[0].run.problems
    if problems < FEW:
        notes.append(f"With {problems} problems all intervals tend to be too narrow.")
    return notes


def _warn_of_entries(comparison: Comparison) -> list[str]:
    """Says what to be wary of in the evaluations."""
    notes, run = [], comparison.labeled[0].run
    unjudged = [
        f"{label} {entry.scores.errors}"
        for label, _, entry in comparison.labeled
        if entry.scores.errors
    ]
    if unjudged:
        notes.append(
            f"Answers of {run.problems * run.samples} without a verdict, which count as not right:"
            f" {', '.join(unjudged)}."
        )
    old = [label for label, _, entry in comparison.labeled if entry.scores.majority is None]
    if old:
        notes.append(
            f"Without a vote for each problem on file, maj@k has no difference: {', '.join(old)}."
        )
    return notes


def _list_differences(runs: dict[str, EvaluatedRun]) -> list[str]:
    """Lists what differs between the runs and does not forbid a comparison."""
    aspects = {
        "Models": {label: run.model for label, run in runs.items()},
        "Token limits": {
            label: run.evaluation.sampling.max_new_tokens or "unknown"
            for label, run in runs.items()
        },
        "Graders": {
            label: run.evaluation.graders.versions or "unknown" for label, run in runs.items()
        },
    }
    notes = []
    for aspect, values in aspects.items():
        if len({json.dumps(value, sort_keys=True) for value in values.values()}) > 1:
            listed = [f"{label}: {_format_value(value)}" for label, value in values.items()]
            notes.append(f"{aspect} differ: {'; '.join(listed)}.")
    return notes


def _format_value(value: Any) -> str:
    pairs = value.items() if isinstance(value, dict) else ()
    return printable_text(" ".join(f"{name} {item}" for name, item in pairs) or value)
