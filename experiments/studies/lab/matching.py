"""Comparators that are matched in entropy: another method, as strong as makes its entropy run like
a given one's.

More entropy alone may help or harm, whatever makes it. So a method that keeps entropy is compared
with plain means to the same
entropy: at its learning rate, each comparator's strength is the one whose entropy curve comes
  closest,

    distance = sqrt(mean_k (log H_k - log H*_k)^2),   H the mean over the search's seeds, smoothed

on seeds that no reported figure sees.
"""

import pathlib

import numpy as np

from experiments.studies.lab import results, suite
from experiments.studies.lab.runs import make
from experiments.studies.lab.suite import Entry, Outcome, Scale


def match(
    place: pathlib.Path,
    world: str,
    target: Outcome,
    candidates: dict[str, list[Entry]],
    scale: Scale,
) -> list[Outcome]:
    """Chooses each comparator's strength and makes its reported runs.

    Args:
      place: the study's folder.
      world: of `worlds.WORLDS`.
      target: whose entropy is to be met.
      candidates: label -> the comparator at each of its strengths.
      scale: how much is run.

    Returns:
      An `Outcome` a label.
    """

    def searched(entry, trial):
        return [
            suite.run_of(world, entry, trial, seed, scale.rollouts, "search")
            for seed in scale.search_seeds
        ]

    def trial_of(entry):
        return suite.trial_of(entry, target.trial.rate)

    entries = [entry for strengths in candidates.values() for entry in strengths]
    wanted = searched(target.entry, target.trial)
    found = make(
        place, [*wanted, *(run for entry in entries for run in searched(entry, trial_of(entry)))]
    )
    aim = curve([found[run] for run in wanted])
    distance = {
        entry.label: gap(curve([found[run] for run in searched(entry, trial_of(entry))]), aim)
        for entry in entries
    }
    best = {
        label: min(strengths, key=lambda entry: distance[entry.label])
        for label, strengths in candidates.items()
    }
    results.table(
        place / f"matching_{world}.csv",
        [
            {
                "entry": label,
                "numbers": suite.written(trial_of(entry).numbers),
                "distance": distance[entry.label],
                "chosen": int(entry is best[label]),
            }
            for label, strengths in candidates.items()
            for entry in strengths
        ],
    )
    return suite.report(
        place,
        world,
        [(entry._replace(label=label), trial_of(entry)) for label, entry in best.items()],
        scale,
    )


def curve(runs: list[results.Arrays]) -> np.ndarray:
    """The logarithm of the mean entropy over runs, smoothed over ten rollouts, [K]."""
    entropy = np.mean([run["entropy"].astype(np.float64) for run in runs], axis=0)
    return np.log(np.maximum(suite.smooth(entropy), 1e-6))


def gap(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference.

    >>> gap(np.array([0.0, 3.0]), np.array([0.0, -1.0])) == 8**0.5
    True
    """
    return float(np.sqrt(np.mean((one - other) ** 2)))
