"""Figures with their bootstrap draws: what runs differ by, and the mean of runs over their seeds.

R draws a figure. All runs are drawn on the same resamples of the panel's problems, so that the
difference of two runs' draws is a draw of their paired difference.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.evaluated import Entry, Evaluated
from papo_jax.evaluation import estimators
from papo_jax.report.evaluation_figures import Interval

MEAN_OF = "mean of "  # begins the name of a row over seeds
SHOWN = ("avg_at_k", "pass_at_k", "maj_at_k")
NO_FIGURE_OF_IT = (
    "seed",
    "mesh",
    "checkpoint",
    "diagnostics",
    "telemetry",
)  # of a config: the seed, and what changes nothing


class Estimate(NamedTuple):
    """A figure and its draws [R]."""

    value: float
    draws: np.ndarray

    @property
    def interval(self) -> Interval:
        """The figure with its 95 % interval."""
        return Interval(**estimators.bounds(self.value, self.draws))


class Row(NamedTuple):
    """A line of a comparison.

    Attributes:
      label: the run's, or what stands for it.
      method: of the run.
      seed: of the run, or how many seeds.
      step: of the evaluation, or of the evaluations.
      estimates: by figure, of `SHOWN`; pass@k at k = K.
      recorded: what the file says of a figure that cannot be drawn again.
    """

    label: str
    method: str
    seed: str
    step: str
    estimates: dict[str, Estimate]
    recorded: dict[str, Interval]

    def interval(self, figure: str) -> Interval | None:
        """The figure with its interval; None where the run has none."""
        return (
            self.estimates[figure].interval
            if figure in self.estimates
            else self.recorded.get(figure)
        )

    def less(self, base: "Row", figure: str) -> Interval | None:
        """The difference of the figure to that of another row, paired; None where one of them
        cannot be drawn."""
        if figure not in self.estimates or figure not in base.estimates:
            return None
        mine, other = self.estimates[figure], base.estimates[figure]
        return Estimate(mine.value - other.value, mine.draws - other.draws).interval


def row_of(run: Evaluated, entry: Entry, label: str) -> Row:
    """Draws an evaluation's figures."""
    named = {
        figure: f"pass_at_k/{run.samples}" if figure == "pass_at_k" else figure for figure in SHOWN
    }
    found = estimators.figures(entry.right, entry.votes, run.samples)
    values = {figure: found[name] for figure, name in named.items() if name in found}
    draws = estimators.resample(np.stack(list(values.values()))).T
    estimates = {
        figure: Estimate(float(value.mean()), drawn)
        for (figure, value), drawn in zip(values.items(), draws, strict=True)
    }
    recorded = {
        figure: entry.recorded.get(f"{figure[:-5]}@{run.samples}")
        for figure in SHOWN
        if figure not in values
    }
    seed = "-" if run.seed is None else str(run.seed)
    return Row(
        label,
        run.method,
        seed,
        str(entry.step),
        estimates,
        {figure: found for figure, found in recorded.items() if found},
    )


def over_seeds(runs: Sequence[Evaluated], rows: Sequence[Row]) -> list[Row]:
    """Averages runs that differ in their seed alone, with intervals over seeds and problems.

    A draw takes seeds and problems with replacement, independently of each other: one panel serves
    all seeds, and a hard problem is hard for each, so drawing problems anew for every seed would
    average away what the seeds share. Groups draw their seeds apart, as these are no pairs. Few
    seeds say little of their spread, so it is rough then.
    Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2).

    Args:
      runs: any.
      rows: one each.

    Returns:
      A row a group of at least two runs, all of different seeds, in the order of the runs.
    """
    means = []
    for number, members in enumerate(_groups(runs)):
        mine = [rows[n] for n in members]
        steps, names = sorted({int(row.step) for row in mine}), [row.label for row in mine]
        span = f"{steps[0]}-{steps[-1]}" if len(steps) > 1 else str(steps[0])
        name = MEAN_OF + (", ".join(names) if len(names) < 4 else f"{names[0]}, ..., {names[-1]}")
        means.append(
            Row(name, mine[0].method, f"x{len(mine)}", span, _averaged(mine, seed=number), {})
        )
    return means


def _averaged(rows: list[Row], *, seed: int) -> dict[str, Estimate]:
    """Returns the mean of each figure that all rows have, over rows that are drawn too."""
    size, found = len(rows), {}
    counts = np.random.default_rng([1, seed]).multinomial(
        size, np.full(size, 1 / size), estimators.RESAMPLES
    )  # [R, seeds]
    # Resampled seeds spread too little, by (S - 1) / S of the variance; the factor gives back what
    # is missing.
    weights = 1 + (counts - 1) * math.sqrt(size / (size - 1))
    for figure in SHOWN:
        if all(figure in row.estimates for row in rows):
            value = float(np.mean([row.estimates[figure].value for row in rows]))
            draws = np.stack([row.estimates[figure].draws for row in rows], axis=1)
            found[figure] = Estimate(value, (weights * draws).mean(axis=1))
    return found


def _groups(runs: Sequence[Evaluated]) -> list[list[int]]:
    """Positions of the runs that share everything but the seed; a seed that comes twice is no
    further evidence."""
    groups = defaultdict(list)
    for n, run in enumerate(runs):
        if run.seed is not None:
            rest = {
                name: value for name, value in run.config.items() if name not in NO_FIGURE_OF_IT
            }
            groups[json.dumps(rest, sort_keys=True)].append(n)
    return [
        group for group in groups.values() if 1 < len(group) == len({runs[n].seed for n in group})
    ]
