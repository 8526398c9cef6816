"""A comparison as text: one table with the differences below the rows, the sources below it, and
how to read it.

Made to fit 120 columns, and to be read in a terminal: names out of files are printable here
  already.
"""

import json
import textwrap
from typing import Any

from experiments.estimates import MEAN_OF, SHOWN, Row
from experiments.evaluated import Entry, Evaluated, printable
from papo_jax.report.evaluation_figures import Interval

COLUMNS = 120
WIDTH = 26  # of the first column; a longer name has a line of its own
FEW = 30  # problems, below which a percentile interval is noticeably too narrow

Labeled = tuple[str, Evaluated, Entry]  # a row's name, and the evaluation that it shows
Pair = tuple[Row, Row | None]  # a row, and what it is compared with
Part = tuple[str, str, int, dict[str, Interval]]  # a row's name, a source, its problems and figures


def text(labeled: list[Labeled], pairs: list[Pair], parts: list[Part], *, best: bool) -> str:
    """Lays a comparison out.

    Args:
      labeled: the evaluations that are compared.
      pairs: their rows, and those of means over seeds.
      parts: figures by source, where there are several.
      best: whether an evaluation was chosen for its figures.

    Returns:
      Lines to print.
    """
    runs = {run.label: run for _, run, _ in labeled}
    samples = labeled[0][1].samples
    notes = [*_on_figures(pairs, labeled[0][1]), *_on_labels(labeled), *_on_runs(runs)]
    if best:
        notes.append("best: chosen by avg@k on this very panel, hence optimiztic.")
    notes = [textwrap.fill(note, COLUMNS, subsequent_indent="  ") for note in notes]
    return "\n".join(
        [
            _heading(list(runs.values())),
            "",
            *_figures(pairs, samples),
            *_parts(parts, samples),
            "",
            *notes,
        ]
    )


def _heading(runs: list[Evaluated]) -> str:
    run, models = runs[0], {run.model for run in runs}
    who = f"{run.label}: " if len(runs) == 1 else ""
    model = f", model {run.model}" if len(models) == 1 else ""
    samples = (
        f"{run.samples} sample{'s' * (run.samples > 1)} each at temperature {run.temperature:g}"
    )
    return f"{who}{run.task}, {run.problems} problems (panel {printable(run.fingerprint[:12])}), {samples}{model}"


def _figures(pairs: list[Pair], samples: int) -> list[str]:
    """The table: a line a row, and below it one for the difference."""
    lines = [
        ["run", "method", "seed", "step", *(f"{figure[:-5]}@{samples}, %" for figure in SHOWN)]
    ]
    for row, base in pairs:
        lines.append(
            [
                row.label,
                row.method,
                row.seed,
                row.step,
                *(_cell(row.interval(figure)) for figure in SHOWN),
            ]
        )
        if base:
            differences = [row.less(base, figure) for figure in SHOWN]
            lines.append(
                [
                    f"  less {base.label}",
                    "",
                    "",
                    "",
                    *(_cell(found, sign="+") for found in differences),
                ]
            )
    return _aligned(lines)


def _parts(parts: list[Part], samples: int) -> list[str]:
    names = [f"{figure[:-5]}@{samples}" for figure in SHOWN]
    lines = [["run", "source", "problems", *(f"{name}, %" for name in names)]]
    for n, (label, source, size, found) in enumerate(parts):
        again = n and label == parts[n - 1][0]  # a run is named once
        lines.append(
            ["" if again else label, source, str(size), *(_cell(found.get(name)) for name in names)]
        )
    return ["", *_aligned(lines)] if parts else []


def _cell(found: Interval | None, sign: str = "") -> str:
    """A figure in per cent or, with a sign, a difference in points, where a star says that the
    interval excludes 0."""
    if found is None:
        return "    -"
    if None in found:
        return f"{100 * found.value:{sign}z5.1f}"
    star = "*" if sign and not found.low <= 0 <= found.high else ""
    return f"{100 * found.value:{sign}z5.1f} [{100 * found.low:{sign}z5.1f}, {100 * found.high:{sign}z5.1f}]{star}"


def _aligned(lines: list[list[str]]) -> list[str]:
    """Pads cells to columns."""
    widths = [
        max(len(line[n]) for line in lines if n or len(line[0]) <= WIDTH)
        for n in range(len(lines[0]))
    ]
    text = []
    for first, *rest in lines:
        if len(first) > WIDTH:
            text.append(first)
            first = ""
        text.append(
            "  ".join(
                cell.ljust(width) for cell, width in zip([first, *rest], widths, strict=True)
            ).rstrip()
        )
    return text


def _on_figures(pairs: list[Pair], run: Evaluated) -> list[str]:
    """How to read the table."""
    notes = [
        "[...]: 95 % intervals over problems, for these very runs and not over seeds; another seed may differ by more."
    ]
    if any(base for _, base in pairs):
        notes.append(
            "less ...: paired difference in points; * its interval excludes 0 (nothing corrects for many comparisons)."
        )
    if any(row.label.startswith(MEAN_OF) for row, _ in pairs):
        notes.append(
            "mean of ...: over seeds, with intervals over seeds and problems, which are rough where seeds are few."
        )
    if run.problems < FEW:
        notes.append(f"With {run.problems} problems all intervals tend to be too narrow.")
    return notes


def _on_labels(labeled: list[Labeled]) -> list[str]:
    """What to be wary of in the evaluations."""
    notes, run = [], labeled[0][1]
    lost = [f"{label} {entry.errors}" for label, _, entry in labeled if entry.errors]
    if lost:
        notes.append(
            f"Answers of {run.problems * run.samples} without a verdict, which count as not right: {', '.join(lost)}."
        )
    old = [label for label, _, entry in labeled if entry.votes is None]
    if old:
        notes.append(
            f"Without a vote for each problem on file, maj@k has no difference: {', '.join(old)}."
        )
    return notes


def _on_runs(runs: dict[str, Evaluated]) -> list[str]:
    """What differs between the runs that a comparison does not forbid."""
    notes = []
    for what, values in (
        ("Models", {label: run.model for label, run in runs.items()}),
        (
            "Token limits",
            {label: run.sampling.get("max_new_tokens", "unknown") for label, run in runs.items()},
        ),
        ("Graders", {label: run.graders or "unknown" for label, run in runs.items()}),
    ):
        if len({json.dumps(value, sort_keys=True) for value in values.values()}) > 1:
            notes.append(
                f"{what} differ: {'; '.join(f'{label}: {_said(value)}' for label, value in values.items())}."
            )
    return notes


def _said(value: Any) -> str:
    pairs = value.items() if isinstance(value, dict) else ()
    return printable(" ".join(f"{name} {item}" for name, item in pairs) or value)
