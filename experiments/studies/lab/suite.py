"""A comparison of methods in one world: an equal search for each, then seeds that no search has
seen.

    search   every learning rate of `RATES`, at both strengths where an entry has two, on seeds and problems of its own; the
             trial with the highest avg@16 at the last evaluation is the method's. An entry without
             a strength has twice the seeds instead, so that all are given as many runs and no rate
             that others are not
    report   seeds 0, 1, ... of that trial, evaluated on other held-out problems; the last evaluation counts, not the best

The same seed means the same prompts in the same order and the same random numbers, so methods are
compared in pairs.
"""

import dataclasses
import math
import pathlib
from typing import NamedTuple

import numpy as np

from experiments.studies.lab import results
from experiments.studies.lab.agreement import shown
from experiments.studies.lab.runs import Run, make
from papo_jax.evaluation.estimators import pass_at_k
from papo_jax.methods import presets

RATES = (3e-5, 1e-4, 3e-4)
SEARCH_SEEDS = (100, 101)
MORE_SEEDS = (102, 103)  # for methods without a strength to search
SAMPLES = 16


class Entry(NamedTuple):
    """A method as a study compares it.

    Attributes:
      label: how it is shown.
      method: a preset's name.
      numbers: of the method that differ from the preset's.
      choices: of the method that are no numbers.
      scaled: numbers of a second strength, which is searched beside the first; None for one
        strength, {} for one that is searched on more seeds instead.
    """

    label: str
    method: str
    numbers: dict[str, float] = {}
    choices: dict[str, str] = {}
    scaled: dict[str, float] | None = None

    @property
    def strengths(self) -> list[dict[str, float]]:
        """The numbers of each strength, all with the same names, so that they share a compiled
        step."""
        if not self.scaled:
            return [self.numbers]
        published = {name: presets.get(self.method)[name] for name in self.scaled}
        return [{**published, **self.numbers}, {**published, **self.numbers, **self.scaled}]


class Trial(NamedTuple):
    """What a search chooses among."""

    numbers: tuple[tuple[str, float], ...]
    rate: float


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is run: rollouts a run, seeds reported, rates searched (one: no search), seeds of
    the search."""

    rollouts: int
    seeds: int
    rates: tuple[float, ...] = RATES
    search_seeds: tuple[int, ...] = SEARCH_SEEDS


class Outcome(NamedTuple):
    """An entry's reported runs at its own learning rate.

    Attributes:
      entry: which.
      trial: the numbers and the learning rate that the search chose.
      runs: what the runs left, seed by seed.
    """

    entry: Entry
    trial: Trial
    runs: list[results.Arrays]


def compare(place: pathlib.Path, world: str, entries: list[Entry], scale: Scale) -> list[Outcome]:
    """Searches, then makes the reported runs; everything stored in `place` is used again.

    Args:
      place: the study's folder.
      world: of `worlds.WORLDS`.
      entries: what is compared.
      scale: how much is run.

    Returns:
      An `Outcome` an entry.
    """
    chosen = {entry.label: _trials(entry, scale)[0] for entry in entries}
    if len(scale.rates) > 1:
        chosen = _search(place, world, entries, scale)
    return report(place, world, [(entry, chosen[entry.label]) for entry in entries], scale)


def report(
    place: pathlib.Path, world: str, chosen: list[tuple[Entry, Trial]], scale: Scale
) -> list[Outcome]:
    """Makes the reported runs of entries whose trials are known, and returns an `Outcome` an
    entry."""
    planned = [
        [run_of(world, entry, trial, seed, scale.rollouts, "report") for seed in range(scale.seeds)]
        for entry, trial in chosen
    ]
    found = make(place, [run for runs in planned for run in runs])
    return [
        Outcome(entry, trial, [found[run] for run in runs])
        for (entry, trial), runs in zip(chosen, planned, strict=True)
    ]


def _trials(entry: Entry, scale: Scale) -> list[Trial]:
    return [
        Trial(tuple(sorted(numbers.items())), rate)
        for numbers in entry.strengths
        for rate in scale.rates
    ]


def trial_of(entry: Entry, rate: float) -> Trial:
    """An entry at its own numbers, without a search."""
    return Trial(tuple(sorted(entry.numbers.items())), rate)


def _seeds(entry: Entry, scale: Scale) -> tuple[int, ...]:
    return scale.search_seeds + (MORE_SEEDS if entry.scaled == {} else ())


def _search(
    place: pathlib.Path, world: str, entries: list[Entry], scale: Scale
) -> dict[str, Trial]:
    """Makes the trials and returns each entry's best; all of them go into search_{world}.csv."""
    asked = {
        (entry.label, trial): [
            run_of(world, entry, trial, seed, scale.rollouts, "search")
            for seed in _seeds(entry, scale)
        ]
        for entry in entries
        for trial in _trials(entry, scale)
    }
    found = make(place, [run for runs in asked.values() for run in runs])
    score = {
        key: float(np.mean([avg(found[run])[-1] for run in runs])) for key, runs in asked.items()
    }
    chosen = {
        entry.label: max(_trials(entry, scale), key=lambda trial, e=entry: score[e.label, trial])
        for entry in entries
    }
    results.table(
        place / f"search_{world}.csv",
        [
            {
                "entry": label,
                "learning_rate": trial.rate,
                "numbers": written(trial.numbers),
                "seeds": len(asked[label, trial]),
                "avg@16": value,
                "chosen": int(trial == chosen[label]),
            }
            for (label, trial), value in score.items()
        ],
    )
    return chosen


def written(numbers: tuple[tuple[str, float], ...]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in numbers)


def run_of(world: str, entry: Entry, trial: Trial, seed: int, rollouts: int, panel: str) -> Run:
    return Run(
        world,
        entry.method,
        trial.rate,
        seed,
        rollouts,
        trial.numbers,
        tuple(sorted(entry.choices.items())),
        panel,
    )


def avg(run: results.Arrays) -> np.ndarray:
    """avg@16 at every evaluation, [E]."""
    return run["counts"].mean(axis=1) / SAMPLES


def passed(run: results.Arrays, k: int) -> np.ndarray:
    """pass@k at every evaluation, [E]."""
    of = np.array([pass_at_k(SAMPLES, count, k) for count in range(SAMPLES + 1)])
    return of[run["counts"]].mean(axis=1)


def smooth(values: np.ndarray, width: int = 10) -> np.ndarray:
    """A running mean over `width` rollouts, of the same length."""
    padded = np.concatenate([np.full(width - 1, values[0]), values]).astype(np.float64)
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def endpoints(run: results.Arrays, *, target: float = 0.6, share: float = 0.1) -> dict[str, float]:
    """What a run is judged by: the figures of a row; NaN for what it never reached.

    Args:
      run: what a run left.
      target: a reward, to be reached.
      share: of the first entropy, to be fallen to: what had been learned by then?

    Returns:
      name -> figure; reward and entropy as running means.
    """
    reward, entropy = smooth(run["reward/mean"]), smooth(run["entropy"])
    reached = np.nonzero(reward >= target)[0]
    spent = np.nonzero(entropy <= share * run["entropy"][0])[0]
    return {
        "avg@16": float(avg(run)[-1]),
        "avg@16 best": float(avg(run).max()),
        "pass@16": float(passed(run, 16)[-1]),
        "pass@4": float(passed(run, 4)[-1]),
        "area": float(run["reward/mean"].mean(dtype=np.float64)),
        "entropy": float(run["entropy"][-10:].mean(dtype=np.float64)),
        "entropy an answer": float(
            (run["entropy"] * run["length/mean"].astype(np.float64))[-10:].mean()
        ),  # nats, by its tokens' mean
        "length": float(run["length/mean"][-10:].mean(dtype=np.float64)),
        f"rollouts to reward {target:g}": float(reached[0] + 1) if reached.size else math.nan,
        f"rollouts to {share:g} H0": float(spent[0] + 1) if spent.size else math.nan,
        f"reward at {share:g} H0": float(reward[spent[0]]) if spent.size else math.nan,
        "tokens chosen": float(run["selected/tokens"].mean(dtype=np.float64))
        if "selected/tokens" in run
        else math.nan,
    }


def rows_of(outcomes: list[Outcome]) -> list[dict]:
    """A row a reported run."""
    return [
        {
            "entry": outcome.entry.label,
            "learning_rate": outcome.trial.rate,
            "numbers": written(outcome.trial.numbers),
            "seed": seed,
            **endpoints(run),
        }
        for outcome in outcomes
        for seed, run in enumerate(outcome.runs)
    ]


def summary(rows: list[dict], *, base: str) -> list[str]:
    """A Markdown table: mean [95 %] over seeds of each figure, and the differences from `base`,
    paired by seed."""
    figures = (
        "avg@16",
        "pass@16",
        "area",
        "entropy",
        "entropy an answer",
        "reward at 0.1 H0",
        "rollouts to reward 0.6",
    )
    paired = ("avg@16", "pass@16", "area", "entropy", "reward at 0.1 H0")
    columns = ["method", "rate", *figures, *(f"{figure} less {base}" for figure in paired)]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]

    def of(label, figure):
        return np.array([row[figure] for row in rows if row["entry"] == label])

    for label in dict.fromkeys(row["entry"] for row in rows):
        rate = next(row["learning_rate"] for row in rows if row["entry"] == label)
        cells = [
            shown(of(label, figure), digits=0 if figure.startswith("rollouts") else 3)
            for figure in figures
        ]
        cells += [
            "" if label == base else shown(of(label, figure) - of(base, figure), sign="+")
            for figure in paired
        ]
        lines.append(f"| {label} | {rate:g} | {' | '.join(cells)} |")
    return lines
