"""Every task by name: how its problems are made, and what decides them."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.grading.integer_grader import canonical_integer
from papo_jax.tasks import family, files, mixture, templates
from papo_jax.tasks.problem import Made
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

_READERS = (gsm8k, hendrycks, math_500, minerva, olympiadbench, dapo_math, jsonl)
FAMILIES = {
    one.name: one
    for one in (
        *(module.FAMILY for module in _READERS),
        contests.AIME_2024,
        contests.AIME_2025,
        contests.AMC_2023,
    )
}
NAMES = (arithmetic.NAME, *sorted(FAMILIES), f"{gym.PREFIX}<family>")


class Options(NamedTuple):
    """What every part of a task is loaded with, as in `loading.load`."""

    seed: int
    difficulty: int
    train_size: int
    held_out_size: int
    grader: str | None
    template: str | None


class Plan(NamedTuple):
    """How the problems of one part are made.

    Attributes:
      key: everything that decides them, as JSON.
      template: what stands around the questions.
      make: makes them.
    """

    key: dict
    template: str
    make: Callable[[], Made]


def plan(asked: mixture.Asked, options: Options) -> Plan:
    """Finds out how a part is made.

    Args:
      asked: its name and path.
      options: of the task.

    Returns:
      The `Plan`; nothing has been made yet.

    Raises:
      InputError: if there is no such task, or its files are missing.
    """
    name = asked.name
    if name in FAMILIES:
        found = _read(FAMILIES[name], asked.path, options)
    elif asked.path:
        raise InputError(
            f"task {name!r} reads no file; leave task.path empty, or set task.name to one of {', '.join(FAMILIES)}"
        )
    elif name == arithmetic.NAME or name.startswith(gym.PREFIX):
        found = _generated(name, options)
    else:
        raise InputError(
            f"task {name!r} is none of {', '.join(NAMES)}; the nearest is {mixture.nearest(name, NAMES)!r}"
        )
    shared = {"task": name, "template": found.template, "grader": options.grader, "code": _code()}
    return found._replace(key={**shared, **found.key})


def _read(one: family.Family, path: str | None, options: Options) -> Plan:
    found, template = family.locate(one, path), options.template or one.template
    key = {"files": {split: files.digest(paths) for split, paths in found.items()}}
    return Plan(key, template, lambda: family.make(one, found, template, options.grader))


def _generated(name: str, options: Options) -> Plan:
    key = {field: getattr(options, field) for field in ("seed", "train_size", "held_out_size")}
    if name == arithmetic.NAME:
        key["difficulty"] = options.difficulty
        template, grader = options.template or templates.PLACE, options.grader or "integer"
        return Plan(key, template, lambda: arithmetic.make(**key, template=template, grader=grader))
    grader = options.grader or gym_table.grader_of(name.removeprefix(gym.PREFIX))
    template = options.template or gym.template_of(grader)
    drawn = {**key, "template": template, "grader": grader}
    return Plan({**key, "reasoning_gym": gym.version()}, template, lambda: gym.make(name, **drawn))


def _code() -> str:
    """The digest of the code that makes the problems: other code must not be served rows that it
    did not make."""
    sources = [
        *sorted(Path(__file__).parent.rglob("*.py")),
        Path(inspect.getfile(canonical_integer)),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
