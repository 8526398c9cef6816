"""The catalog of tasks: what decides the problems of each, and the function that makes them."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.grading.wording.numerals import canonical_integer
from papo_jax.tasks import mixture, templates
from papo_jax.tasks.dataset import Dataset
from papo_jax.tasks.problem import ProblemSplits
from papo_jax.tasks.reading import files
from papo_jax.tasks.reading.dataset_reader import locate_files, read_problems
from papo_jax.tasks.sources import (
    arithmetic,
    contests,
    dapo_math,
    gsm8k,
    gym,
    gym_table,
    hendrycks,
    jsonl,
    math_500,
    minerva,
    olympiadbench,
)

DATASETS = {
    dataset.name: dataset
    for dataset in (
        gsm8k.DATASET,
        hendrycks.DATASET,
        math_500.DATASET,
        minerva.DATASET,
        olympiadbench.DATASET,
        dapo_math.DATASET,
        jsonl.DATASET,
        contests.AIME_2024,
        contests.AIME_2025,
        contests.AMC_2023,
    )
}
TASK_NAMES = (arithmetic.NAME, *sorted(DATASETS), f"{gym.PREFIX}<dataset>")


class LoadOptions(NamedTuple):
    """The options that all parts of a task are loaded with, as in `loading.load`."""

    seed: int
    difficulty: int
    train_size: int
    held_out_size: int
    grader: str | None
    template: str | None


class PartPlan(NamedTuple):
    """The way in which the problems of one part are made.

    Attributes:
      key: everything that decides them, as JSON.
      template: the text around the questions.
      make_problems: makes them.
    """

    key: dict
    template: str
    make_problems: Callable[[], ProblemSplits]


def plan_part(request: mixture.PartRequest, options: LoadOptions) -> PartPlan:
    """Plans how a part is made.

    Args:
      request: its name and path.
      options: of the task.

    Returns:
      The `PartPlan`; nothing has been made yet.

    Raises:
      InputError: if there is no such task, or its files are missing.
    """
    name = request.name
    if name in DATASETS:
        plan = _plan_from_files(DATASETS[name], request.path, options)
    elif request.path:
        raise InputError(
            f"task {name!r} reads no file; leave task.path empty, "
            f"or set task.name to one of {', '.join(DATASETS)}"
        )
    elif name == arithmetic.NAME:
        plan = _plan_arithmetic(options)
    elif name.startswith(gym.PREFIX):
        plan = _plan_gym(name, options)
    else:
        raise InputError(
            f"task {name!r} is none of {', '.join(TASK_NAMES)}; "
            f"the nearest is {mixture.find_nearest_name(name, TASK_NAMES)!r}"
        )
    shared_key = {
        "task": name,
        "template": plan.template,
        "grader": options.grader,
        "code": _digest_code(),
    }
    return plan._replace(key={**shared_key, **plan.key})


def _plan_from_files(dataset: Dataset, path: str | None, options: LoadOptions) -> PartPlan:
    located = locate_files(dataset, path)
    template = options.template or dataset.template

    def make_problems() -> ProblemSplits:
        return read_problems(dataset, located, template, options.grader)

    digests = {split: files.digest_files(paths) for split, paths in located.items()}
    return PartPlan({"files": digests}, template, make_problems)


def _plan_arithmetic(options: LoadOptions) -> PartPlan:
    key = {**_generator_key(options), "difficulty": options.difficulty}
    template = options.template or templates.PLACEHOLDER
    grader = options.grader or "integer"

    def make_problems() -> ProblemSplits:
        return arithmetic.make_problems(**key, template=template, grader=grader)

    return PartPlan(key, template, make_problems)


def _plan_gym(name: str, options: LoadOptions) -> PartPlan:
    key = _generator_key(options)
    grader = options.grader or gym_table.choose_grader(name.removeprefix(gym.PREFIX))
    template = options.template or gym.choose_template(grader)

    def make_problems() -> ProblemSplits:
        return gym.make_problems(name, **key, template=template, grader=grader)

    return PartPlan({**key, "reasoning_gym": gym.installed_version()}, template, make_problems)


def _generator_key(options: LoadOptions) -> dict[str, int]:
    """Returns the options that decide what a generator makes, apart from its own."""
    return {name: getattr(options, name) for name in ("seed", "train_size", "held_out_size")}


def _digest_code() -> str:
    """Returns the digest of the code that makes the problems.

    Rows that other code made must not be served in its name.
    """
    packages = (Path(__file__).parent, Path(inspect.getfile(canonical_integer)).parent)
    sources = [path for package in packages for path in sorted(package.rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
