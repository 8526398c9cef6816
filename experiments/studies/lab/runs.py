"""Training runs of the studies: planned, trained side by side in processes, each stored once."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from experiments.studies.lab import study_output

# A process has one core to itself: XLA's own threads would only wait for each other.
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
WORKERS = 2
EVALUATIONS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that the numbers of a training run depend on.

    Attributes:
      task: of `toy_tasks.TOY_TASKS`.
      method: a preset's name.
      learning_rate: Adam's.
      seed: of prompts and draws.
      rollouts: K.
      numbers: (name, value) of the method that differ from the preset's.
      choices: (name, value) of the method that are no numbers.
      eval_set: "report", or "search" for problems that no reported figure has seen.
    """

    task: str
    method: str
    learning_rate: float
    seed: int
    rollouts: int
    numbers: tuple[tuple[str, float], ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    eval_set: str = "report"

    @property
    def file_stem(self) -> str:
        """The name of the run's file, without its ending."""
        parts = [
            self.task,
            self.method,
            *(f"{key}={value:g}" for key, value in self.numbers),
            *(f"{key}={value}" for key, value in self.choices),
            f"lr{self.learning_rate:g}",
            f"k{self.rollouts}",
            self.eval_set,
            f"s{self.seed}",
        ]
        return "_".join(parts)

    @property
    def program_key(self) -> tuple:
        """The part of the specification that runs with one compiled step share."""
        number_names = tuple(key for key, _ in self.numbers)
        return (self.task, self.method, number_names, self.choices, self.rollouts, self.eval_set)


def make_runs(directory: pathlib.Path, specs: list[RunSpec]) -> dict[RunSpec, study_output.Arrays]:
    """Trains the runs that are not stored yet, two processes side by side, and loads all of them.

    Args:
      directory: the study's.
      specs: of the runs.

    Returns:
      spec -> {"counts": [E, M], "evaluated": [E], and its metrics [K] by name}; of a run of the
      search the last evaluation is all that is sure to be there.
    """
    groups = defaultdict(list)
    for spec in dict.fromkeys(specs):
        if not _spec_path(directory, spec).exists():
            groups[spec.program_key].append(spec)
    if groups:
        _train_groups(directory, list(groups.values()))
    return {spec: study_output.load_arrays(_spec_path(directory, spec)) for spec in specs}


def _spec_path(directory: pathlib.Path, spec: RunSpec) -> pathlib.Path:
    return study_output.run_path(directory, spec.file_stem)


def _train_groups(directory: pathlib.Path, groups: list[list[RunSpec]]) -> None:
    """Trains groups of runs in worker processes and prints the progress."""
    began, done, total = time.monotonic(), 0, sum(map(len, groups))
    context = multiprocessing.get_context("spawn")
    with (
        _worker_environment(directory),
        concurrent.futures.ProcessPoolExecutor(WORKERS, mp_context=context) as pool,
    ):
        futures = [pool.submit(_train_group, directory, group) for group in groups]
        for future in concurrent.futures.as_completed(futures):
            done += future.result()
            print(f"{done} of {total} runs, {time.monotonic() - began:.0f} s", flush=True)


@contextlib.contextmanager
def _worker_environment(directory: pathlib.Path) -> Iterator[None]:
    """Sets the environment that worker processes inherit: one thread, and a compilation cache.

    Programs that they compile are kept for the study's later runs.
    """
    changed = {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip(),
        "JAX_COMPILATION_CACHE_DIR": str((directory / "programs").resolve()),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _train_group(directory: pathlib.Path, group: list[RunSpec]) -> int:
    """Trains runs that share a program, in a process of its own; returns how many."""
    from experiments.studies.lab import base_policies, toy_tasks
    from experiments.studies.lab.trainer import Trainer

    first = group[0]
    trainer = Trainer(
        toy_tasks.TOY_TASKS[first.task],
        base_policies.load_policy(first.task),
        first.method,
        eval_set=first.eval_set,
        **dict(first.choices),
    )
    for spec in group:
        trained = trainer.train(
            spec.seed,
            {"learning_rate": spec.learning_rate, **dict(spec.numbers)},
            rollouts=spec.rollouts,
            evaluate_every=max(1, spec.rollouts // EVALUATIONS),
            curve=spec.eval_set == "report",
        )
        # Half the digits and half the bytes; no figure here has more than three that mean anything.
        metrics = {
            name: values.astype(np.float16) if name != "entropy_change/sum" else values
            for name, values in trained.metrics.items()
        }
        arrays = {"counts": trained.counts, "evaluated": trained.evaluated, **metrics}
        study_output.save_arrays(_spec_path(directory, spec), arrays)
    return len(group)
