"""Benchmark of methods on one toy task: an equal search for each, then seeds no search has seen.

    search   every learning rate of `RATES`, at both strengths where an entry has two, on seeds and
             problems of its own; the trial with the highest avg@16 at the last evaluation is the
             entry's. An entry without a strength has twice the seeds instead, so that all are
             given as many runs and no rate that others are not
    report   seeds 0, 1, ... of that trial, evaluated on other held-out problems; the last
             evaluation counts, not the best

The same seed means the same prompts in the same order and the same random numbers, so methods are
compared in pairs.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.studies.lab import study_output
from experiments.studies.lab.run_metrics import average_at_k
from experiments.studies.lab.runs import RunSpec, make_runs
from papo_jax.methods import presets

RATES = (3e-5, 1e-4, 3e-4)
SEARCH_SEEDS = (100, 101)
MORE_SEEDS = (102, 103)  # for methods without a strength to search

Numbers = Mapping[str, float]  # of a method, by name


class MethodEntry(NamedTuple):
    """A method as a study compares it.

    Attributes:
      label: its name in tables and figures.
      method: a preset's name.
      numbers: of the method that differ from the preset's.
      choices: of the method that are no numbers.
      scaled: numbers of a second strength, which is searched beside the first; None for one
        strength, {} for one that is searched on more seeds instead.
    """

    label: str
    method: str
    numbers: Numbers = {}
    choices: Mapping[str, str] = {}
    scaled: Numbers | None = None

    def list_strengths(self) -> list[Numbers]:
        """Lists the numbers of each strength, with equal names, so that they share a program."""
        if not self.scaled:
            return [self.numbers]
        published = {name: presets.get(self.method).hyperparameter(name) for name in self.scaled}
        return [{**published, **self.numbers}, {**published, **self.numbers, **self.scaled}]


class Trial(NamedTuple):
    """A candidate of the search: numbers of the method, by name in order, and a learning rate."""

    numbers: tuple[tuple[str, float], ...]
    rate: float


@dataclasses.dataclass(frozen=True)
class Scale:
    """The amount of training.

    Attributes:
      rollouts: of a run.
      seeds: reported.
      rates: searched; with one rate there is no search.
      search_seeds: of the search.
    """

    rollouts: int
    seeds: int
    rates: tuple[float, ...] = RATES
    search_seeds: tuple[int, ...] = SEARCH_SEEDS


class EntryResult(NamedTuple):
    """An entry's reported runs.

    Attributes:
      entry: of the benchmark.
      trial: the numbers and the learning rate that the search chose.
      runs: the stored arrays, seed by seed.
    """

    entry: MethodEntry
    trial: Trial
    runs: list[study_output.Arrays]


def compare_entries(
    directory: pathlib.Path, task: str, entries: list[MethodEntry], scale: Scale
) -> list[EntryResult]:
    """Searches, then makes the reported runs; runs that are stored in `directory` are used again.

    Args:
      directory: the study's.
      task: of `toy_tasks.TOY_TASKS`.
      entries: to compare.
      scale: the amount of training.

    Returns:
      A result for each entry.
    """
    chosen = {entry.label: list_trials(entry, scale)[0] for entry in entries}
    if len(scale.rates) > 1:
        chosen = _search_trials(directory, task, entries, scale)
    return report_entries(
        directory, task, [(entry, chosen[entry.label]) for entry in entries], scale
    )


def report_entries(
    directory: pathlib.Path, task: str, chosen: list[tuple[MethodEntry, Trial]], scale: Scale
) -> list[EntryResult]:
    """Makes the reported runs of entries whose trials are known; returns a result for each."""
    planned = [
        [
            plan_run(task, entry, trial, seed=seed, rollouts=scale.rollouts, eval_set="report")
            for seed in range(scale.seeds)
        ]
        for entry, trial in chosen
    ]
    runs = make_runs(directory, [spec for specs in planned for spec in specs])
    return [
        EntryResult(entry, trial, [runs[spec] for spec in specs])
        for (entry, trial), specs in zip(chosen, planned, strict=True)
    ]


def make_trial(entry: MethodEntry, rate: float) -> Trial:
    """Returns the trial of an entry at its own numbers, without a search."""
    return Trial(tuple(sorted(entry.numbers.items())), rate)


def list_trials(entry: MethodEntry, scale: Scale) -> list[Trial]:
    """Lists the trials that the search makes of an entry."""
    return [
        Trial(tuple(sorted(numbers.items())), rate)
        for numbers in entry.list_strengths()
        for rate in scale.rates
    ]


def list_search_seeds(entry: MethodEntry, scale: Scale) -> tuple[int, ...]:
    """Lists the search's seeds: twice as many for an entry without a strength."""
    return scale.search_seeds + (MORE_SEEDS if entry.scaled == {} else ())


def plan_search(
    task: str, entry: MethodEntry, trial: Trial, seeds: tuple[int, ...], scale: Scale
) -> list[RunSpec]:
    """Plans a trial's runs on the search's problems, one for each seed."""
    return [
        plan_run(task, entry, trial, seed=seed, rollouts=scale.rollouts, eval_set="search")
        for seed in seeds
    ]


def plan_run(
    task: str, entry: MethodEntry, trial: Trial, *, seed: int, rollouts: int, eval_set: str
) -> RunSpec:
    """Plans one run of a trial."""
    return RunSpec(
        task=task,
        method=entry.method,
        learning_rate=trial.rate,
        seed=seed,
        rollouts=rollouts,
        numbers=trial.numbers,
        choices=tuple(sorted(entry.choices.items())),
        eval_set=eval_set,
    )


def _search_trials(
    directory: pathlib.Path, task: str, entries: list[MethodEntry], scale: Scale
) -> dict[str, Trial]:
    """Makes the search's runs, writes search_{task}.csv and returns each entry's best trial."""
    planned = {
        (entry.label, trial): plan_search(
            task, entry, trial, list_search_seeds(entry, scale), scale
        )
        for entry in entries
        for trial in list_trials(entry, scale)
    }
    runs = make_runs(directory, [spec for specs in planned.values() for spec in specs])

    # A trial's score is its mean avg@16 over the seeds, at the last evaluation.
    score = {
        key: float(np.mean([average_at_k(runs[spec])[-1] for spec in specs]))
        for key, specs in planned.items()
    }
    chosen = {
        entry.label: max(
            list_trials(entry, scale), key=lambda trial, e=entry: score[e.label, trial]
        )
        for entry in entries
    }

    rows = [
        {
            "entry": label,
            "learning_rate": trial.rate,
            "numbers": format_numbers(trial.numbers),
            "seeds": len(planned[label, trial]),
            "avg@16": value,
            "chosen": int(trial == chosen[label]),
        }
        for (label, trial), value in score.items()
    ]
    study_output.write_table(directory / f"search_{task}.csv", rows)
    return chosen


def format_numbers(numbers: tuple[tuple[str, float], ...]) -> str:
    """Writes numbers of a method on one line.

    >>> format_numbers((("clip_high", 0.28), ("lam", 0.5)))
    'clip_high=0.28 lam=0.5'
    """
    return " ".join(f"{name}={value:g}" for name, value in numbers)
