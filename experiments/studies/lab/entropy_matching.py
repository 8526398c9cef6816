"""Entropy-matched comparators: other methods, at the strength whose entropy runs like a target's.

More entropy alone may help or harm, whatever makes it. So a method that keeps entropy is compared
with plain means to the same entropy: at its learning rate, each comparator's strength is the one
whose entropy curve comes closest,

    distance = sqrt(mean_k (log H_k - log H*_k)^2),   H the mean over the search's seeds, smoothed

on seeds that no reported figure sees.
"""

import pathlib

import numpy as np

from experiments.studies.lab import benchmark, study_output
from experiments.studies.lab.benchmark import EntryResult, MethodEntry, Scale, make_trial
from experiments.studies.lab.run_metrics import running_mean
from experiments.studies.lab.runs import make_runs


def match_entropy(
    directory: pathlib.Path,
    task: str,
    *,
    target: EntryResult,
    candidates: dict[str, list[MethodEntry]],
    scale: Scale,
) -> list[EntryResult]:
    """Chooses each comparator's strength and makes its reported runs.

    Args:
      directory: the study's; gets matching_{task}.csv.
      task: of `toy_tasks.TOY_TASKS`.
      target: the entry whose entropy is to be met.
      candidates: label -> the comparator at each of its strengths.
      scale: the amount of training.

    Returns:
      A result for each label.
    """

    def plan_search(entry, trial):
        return benchmark.plan_search(task, entry, trial, scale.search_seeds, scale)

    # Make the search's runs of the target and of every candidate, at the target's rate.
    entries = [entry for strengths in candidates.values() for entry in strengths]
    trials = {entry.label: make_trial(entry, target.trial.rate) for entry in entries}
    target_specs = plan_search(target.entry, target.trial)
    specs = {entry.label: plan_search(entry, trials[entry.label]) for entry in entries}
    runs = make_runs(directory, [*target_specs, *(spec for own in specs.values() for spec in own)])

    # Choose the strength of each comparator that comes closest.
    target_curve = log_entropy_curve([runs[spec] for spec in target_specs])
    distance = {
        label: rms_difference(log_entropy_curve([runs[spec] for spec in own]), target_curve)
        for label, own in specs.items()
    }
    best = {
        label: min(strengths, key=lambda entry: distance[entry.label])
        for label, strengths in candidates.items()
    }

    rows = [
        {
            "entry": label,
            "numbers": benchmark.format_numbers(trials[entry.label].numbers),
            "distance": distance[entry.label],
            "chosen": int(entry is best[label]),
        }
        for label, strengths in candidates.items()
        for entry in strengths
    ]
    study_output.write_table(directory / f"matching_{task}.csv", rows)
    chosen = [(entry._replace(label=label), trials[entry.label]) for label, entry in best.items()]
    return benchmark.report_entries(directory, task, chosen, scale)


def log_entropy_curve(runs: list[study_output.Arrays]) -> np.ndarray:
    """Returns the log of the mean entropy over runs, smoothed over ten rollouts, [K]."""
    entropy = np.mean([run["entropy"].astype(np.float64) for run in runs], axis=0)
    return np.log(np.maximum(running_mean(entropy), 1e-6))


def rms_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the root mean square of a difference.

    >>> rms_difference(np.array([0.0, 3.0]), np.array([0.0, -1.0])) == 8**0.5
    True
    """
    return float(np.sqrt(np.mean((one - other) ** 2)))
