"""Tables of a benchmark: a row for each reported run, and means with paired differences."""

import numpy as np

from experiments.studies.lab.benchmark import EntryResult, format_numbers
from experiments.studies.lab.run_metrics import measure_endpoints
from experiments.studies.lab.seed_intervals import format_interval

COLUMNS = (
    "avg@16",
    "pass@16",
    "area",
    "entropy",
    "entropy an answer",
    "reward at 0.1 H0",
    "rollouts to reward 0.6",
)
PAIRED_COLUMNS = ("avg@16", "pass@16", "area", "entropy", "reward at 0.1 H0")


def endpoint_rows(entry_results: list[EntryResult]) -> list[dict]:
    """Returns a row for each reported run."""
    return [
        {
            "entry": result.entry.label,
            "learning_rate": result.trial.rate,
            "numbers": format_numbers(result.trial.numbers),
            "seed": seed,
            **measure_endpoints(run),
        }
        for result in entry_results
        for seed, run in enumerate(result.runs)
    ]


def summarize_rows(rows: list[dict], *, base: str) -> list[str]:
    """Writes a Markdown table with a line for each entry.

    Args:
      rows: of `endpoint_rows`.
      base: the label of the entry to compare with.

    Returns:
      The table's lines: mean [95 %] over seeds of each figure, and the differences from `base`,
      paired by seed.
    """
    columns = ["method", "rate", *COLUMNS, *(f"{name} less {base}" for name in PAIRED_COLUMNS)]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]

    def values_of(label: str, column: str) -> np.ndarray:
        return np.array([row[column] for row in rows if row["entry"] == label])

    for label in dict.fromkeys(row["entry"] for row in rows):
        rate = next(row["learning_rate"] for row in rows if row["entry"] == label)
        cells = [
            format_interval(
                values_of(label, column), digits=0 if column.startswith("rollouts") else 3
            )
            for column in COLUMNS
        ]
        cells += [
            ""
            if label == base
            else format_interval(values_of(label, column) - values_of(base, column), sign="+")
            for column in PAIRED_COLUMNS
        ]
        lines.append(f"| {label} | {rate:g} | {' | '.join(cells)} |")
    return lines
