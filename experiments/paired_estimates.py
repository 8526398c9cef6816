"""Figures with bootstrap resamples: paired differences of runs, and means over their seeds.

R resamples a figure. All runs are drawn on the same resamples of the problems, so that the
difference of two runs' resamples is a resample of their paired difference.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.evaluated_runs import EvaluatedRun
from papo_jax.evaluation import bootstrap, estimators
from papo_jax.evaluation.figures import Figures, Interval
from papo_jax.evaluation.schema import Entry

MEAN_OF = "mean of "  # begins the name of a row over seeds
# Sections of a config in which the runs of a mean may differ: the seed, and what changes nothing.
SEED_AND_NEUTRAL_KEYS = ("seed", "mesh", "checkpoint", "diagnostics", "telemetry")


class Estimate(NamedTuple):
    """A figure and its resamples [R]."""

    value: float
    resamples: np.ndarray

    @property
    def interval(self) -> Interval:
        """The figure with its 95 % interval."""
        return bootstrap.percentile_interval(self.value, self.resamples)


class Row(NamedTuple):
    """A line of a comparison.

    Attributes:
      label: the run's, or what stands for it.
      method: of the run.
      seed: of the run, or how many seeds.
      step: of the evaluation, or of the evaluations.
      estimates: by figure, of `shown_figures`.
      recorded: what the file says of a figure that cannot be estimated again.
    """

    label: str
    method: str
    seed: str
    step: str
    estimates: dict[str, Estimate]
    recorded: Figures

    def find_interval(self, figure: str) -> Interval | None:
        """Returns the figure with its interval; None where neither counts nor file have it."""
        if figure in self.estimates:
            return self.estimates[figure].interval
        return self.recorded.get(figure)

    def paired_difference(self, base: "Row", figure: str) -> Interval | None:
        """Returns the figure's difference to another row; None where one cannot be estimated."""
        if figure not in self.estimates or figure not in base.estimates:
            return None
        own, other = self.estimates[figure], base.estimates[figure]
        return Estimate(own.value - other.value, own.resamples - other.resamples).interval


def shown_figures(samples: int) -> tuple[str, str, str]:
    """Names the figures of a comparison: those at k = K.

    >>> shown_figures(8)
    ('avg@8', 'pass@8', 'maj@8')
    """
    return f"avg@{samples}", f"pass@{samples}", f"maj@{samples}"


def estimate_row(run: EvaluatedRun, entry: Entry, label: str) -> Row:
    """Estimates an evaluation's figures."""
    scores, shown = entry.scores, shown_figures(run.samples)
    values = estimators.per_problem_figures(scores.right, scores.majority, run.samples)
    values = {name: values[name] for name in shown if name in values}
    resamples = bootstrap.bootstrap_means(np.stack(list(values.values()))).T
    estimates = {
        name: Estimate(float(value.mean()), means)
        for (name, value), means in zip(values.items(), resamples, strict=True)
    }
    recorded = {name: scores.figures[name] for name in shown if name in scores.figures}
    return Row(
        label=label,
        method=run.method,
        seed="-" if run.seed is None else str(run.seed),
        step=str(entry.step),
        estimates=estimates,
        recorded={name: figure for name, figure in recorded.items() if name not in values},
    )


def average_over_seeds(runs: Sequence[EvaluatedRun], rows: Sequence[Row]) -> list[Row]:
    """Averages runs that differ in their seed alone, with intervals over seeds and problems.

    A resample takes seeds and problems with replacement, independently of each other: one
    evaluation set serves all seeds, and a hard problem is hard for each, so drawing problems anew
    for every seed would average away what the seeds share. Groups draw their seeds apart, as these
    are no pairs. Few seeds say little of their spread, so it is rough then.
    Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2).

    Args:
      runs: any.
      rows: one each.

    Returns:
      A row a group of at least two runs, all of different seeds, in the order of the runs.
    """
    means = []
    for number, members in enumerate(_group_by_config(runs)):
        own = [rows[index] for index in members]
        steps, names = sorted({int(row.step) for row in own}), [row.label for row in own]
        listed = ", ".join(names) if len(names) < 4 else f"{names[0]}, ..., {names[-1]}"
        means.append(
            Row(
                label=MEAN_OF + listed,
                method=own[0].method,
                seed=f"x{len(own)}",
                step=f"{steps[0]}-{steps[-1]}" if len(steps) > 1 else str(steps[0]),
                estimates=_average_estimates(own, seed=number),
                recorded={},
            )
        )
    return means


def _average_estimates(rows: list[Row], *, seed: int) -> dict[str, Estimate]:
    """Averages each figure that all rows have, over rows that are resampled too."""
    size = len(rows)
    generator = np.random.default_rng([1, seed])
    # [R, seeds]
    counts = generator.multinomial(size, np.full(size, 1 / size), bootstrap.RESAMPLES)

    # Resampled seeds spread too little, by (S - 1) / S of the variance; the factor gives back what
    # is missing.
    weights = 1 + (counts - 1) * math.sqrt(size / (size - 1))
    averages = {}
    for name in rows[0].estimates:
        if all(name in row.estimates for row in rows):
            value = float(np.mean([row.estimates[name].value for row in rows]))
            resamples = np.stack([row.estimates[name].resamples for row in rows], axis=1)
            averages[name] = Estimate(value, (weights * resamples).mean(axis=1))
    return averages


def _group_by_config(runs: Sequence[EvaluatedRun]) -> list[list[int]]:
    """Returns indices of runs that share everything but the seed.

    A seed that comes twice is no further evidence, so such a group is left out.
    """
    groups = defaultdict(list)
    for index, run in enumerate(runs):
        if run.seed is not None:
            rest = {
                key: value for key, value in run.config.items() if key not in SEED_AND_NEUTRAL_KEYS
            }
            groups[json.dumps(rest, sort_keys=True)].append(index)
    return [
        group
        for group in groups.values()
        if 1 < len(group) == len({runs[index].seed for index in group})
    ]
