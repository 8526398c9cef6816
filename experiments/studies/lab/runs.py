"""Training runs of the studies: planned, made side by side in processes, each stored on its own,
none made twice."""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import time
from collections import defaultdict

import numpy as np

from experiments.studies.lab import results

# A process has one core to itself: XLA's own threads would only wait for each other.
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
WORKERS = 2
EVALUATIONS = 10


@dataclasses.dataclass(frozen=True)
class Run:
    """A run, and everything that its numbers depend on.

    Attributes:
      world: of `worlds.WORLDS`.
      method: a preset's name.
      learning_rate: Adam's.
      seed: of prompts and draws.
      rollouts: K.
      numbers: (name, value) of the method that differ from the preset's.
      choices: (name, value) of the method that are no numbers.
      panel: "report", or "search" for problems that no reported figure has seen.
    """

    world: str
    method: str
    learning_rate: float
    seed: int
    rollouts: int
    numbers: tuple[tuple[str, float], ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    panel: str = "report"

    @property
    def name(self) -> str:
        """Of its file."""
        changed = [f"{key}={value:g}" for key, value in self.numbers] + [
            f"{key}={value}" for key, value in self.choices
        ]
        parts = [
            self.world,
            self.method,
            *changed,
            f"lr{self.learning_rate:g}",
            f"k{self.rollouts}",
            self.panel,
            f"s{self.seed}",
        ]
        return "_".join(parts)

    @property
    def program(self) -> tuple:
        """What runs that share a compiled step have in common."""
        return (
            self.world,
            self.method,
            tuple(key for key, _ in self.numbers),
            self.choices,
            self.rollouts,
            self.panel,
        )


def make(place: pathlib.Path, runs: list[Run]) -> dict[Run, results.Arrays]:
    """Makes the runs that are not stored yet, two processes side by side, and returns what all of
    them left.

    Args:
      place: the study's folder.
      runs: which.

    Returns:
      run -> {"counts": [E, M], "evaluated": [E], and its metrics [K] by name}; of a run of the
      search the last evaluation is all that is sure to be there.
    """
    groups = defaultdict(list)
    for run in dict.fromkeys(runs):
        if not _path(place, run).exists():
            groups[run.program].append(run)
    if groups:
        # Of the processes that are started here alone; programs that they compile are kept for the
        # study's later runs.
        theirs = {
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip(),
            "JAX_COMPILATION_CACHE_DIR": str((place / "programs").resolve()),
        }
        before = {name: os.environ.get(name) for name in theirs}
        os.environ.update(theirs)
        began, done = time.monotonic(), 0
        try:
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
                waiting = [pool.submit(_make_group, place, group) for group in groups.values()]
                for future in concurrent.futures.as_completed(waiting):
                    done += future.result()
                    total = sum(map(len, groups.values()))
                    print(f"{done} of {total} runs, {time.monotonic() - began:.0f} s", flush=True)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return {run: results.load(_path(place, run)) for run in runs}


def _path(place: pathlib.Path, run: Run) -> pathlib.Path:
    return place / "runs" / f"{run.name}.npz"


def _make_group(place: pathlib.Path, group: list[Run]) -> int:
    """Makes runs that share a program, in a process of its own; returns how many."""
    from experiments.studies.lab import bases, worlds
    from experiments.studies.lab import trainer as training

    first = group[0]
    world = worlds.WORLDS[first.world]
    trainer = training.Trainer(
        world, bases.load(first.world), first.method, panel=first.panel, **dict(first.choices)
    )
    for run in group:
        numbers = {"learning_rate": run.learning_rate, **dict(run.numbers)}
        every = max(1, run.rollouts // EVALUATIONS)
        course = trainer.run(
            run.seed,
            numbers,
            rollouts=run.rollouts,
            evaluate_every=every,
            curve=run.panel == "report",
        )
        # Half the digits and half the bytes; no figure here has more than three that mean anything.
        metrics = {
            name: values.astype(np.float16) if name != "entropy_change/sum" else values
            for name, values in course.metrics.items()
        }
        results.save(
            _path(place, run), {"counts": course.counts, "evaluated": course.evaluated, **metrics}
        )
    return len(group)
