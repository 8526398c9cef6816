"""Tasks loaded by name: prepared on the first use, joined where the name asks for a mixture."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from papo_jax.cache_directory import cache_directory
from papo_jax.errors import InputError
from papo_jax.grading import GRADERS
from papo_jax.tasks import catalog, mixture, overlap, shares, templates
from papo_jax.tasks.task import Part, Task


def load(
    name: str,
    *,
    path: str | None = None,
    seed: int = 0,
    difficulty: int = 3,
    train_size: int = 20000,
    held_out_size: int = 1024,
    grader: str | None = None,
    template: str | None = None,
    cache: str | Path | None = None,
) -> Task:
    """Loads a task, preparing its problems on the first use.

    Args:
      name: one of `catalog.NAMES`, or a mixture such as "gsm8k*3+math+arithmetic" with weights
        after the stars.
      path: of a task that reads files, a file or a directory; of a mixture see `mixture.parse`.
      seed: chooses the problems of a generated task.
      difficulty: of arithmetic, the number of operations, 1 to 8.
      train_size: how many problems a generated task trains on.
      held_out_size: how many problems a generated task holds out.
      grader: of all problems, instead of their families' own.
      template: around all questions, instead of their families' own; holds "{question}" once.
      cache: where prepared problems are kept; None for the user's cache directory.

    Returns:
      The `Task`.

    Raises:
      InputError: if the name, the path, a number, the grader, the template or a file is wrong, or
        if problems to train on are held out too; says which part of a mixture it is.
    """
    if train_size < 1 or held_out_size < 1:
        raise InputError(
            f"task sizes are at least 1, not {train_size} to train on and {held_out_size} held out"
        )
    if grader and grader not in GRADERS:
        raise InputError(
            f"task.grader {grader!r} is none of {', '.join(GRADERS)}; the nearest is {mixture.nearest(grader, GRADERS)!r}"
        )
    if template is not None:
        templates.check(template)
    place = Path(cache or cache_directory() / "tasks")
    options = catalog.Options(seed, difficulty, train_size, held_out_size, grader or None, template)
    asked = mixture.parse(name, path, catalog.FAMILIES)
    if len(asked) == 1:
        return _load(asked[0], options, place)
    loaded = []
    for part in asked:
        try:
            loaded.append(_load(part, options, place))
        except InputError as error:
            raise InputError(f"part {part.name!r} of task {name!r}: {error}") from error
    return _joined(name, [part.weight for part in asked], loaded)


def _load(asked: mixture.Asked, options: catalog.Options, cache: Path) -> Task:
    """Loads one part, as a task of its own."""
    from papo_jax.tasks import (
        builder,
    )  # here, for tensorflow_datasets takes half a second to import

    plan = catalog.plan(asked, options)
    served = builder.serve(plan.key, plan.make, cache)
    train, held_out = (served.splits.get(split, ()) for split in ("train", "held_out"))
    part = Part(asked.name, 1.0, len(train), len(held_out), plan.template)
    return Task(asked.name, train, held_out, (part,), served.fingerprint, served.notes)


def _joined(name: str, weights: Sequence[float], tasks: Sequence[Task]) -> Task:
    """One task of several; their problems stay where they are."""
    whole = sum(weights)
    parts = tuple(
        task.parts[0]._replace(weight=weight / whole)
        for task, weight in zip(tasks, weights, strict=True)
    )
    trained = [part for part in parts if part.train]
    small = shares.too_small([part.weight for part in trained]) if trained else None
    if small is not None:
        raise InputError(
            f"part {trained[small].name!r} of task {name!r} would be drawn less than once in {shares.BLOCK:,} draws; "
            "raise its weight"
        )
    train, held_out = (
        mixture.Joined([getattr(task, split) for task in tasks]) for split in ("train", "held_out")
    )
    try:
        overlap.check(train, held_out, used=[part.template for part in parts])
    except InputError as error:
        raise InputError(f"task {name!r}: {error}") from error
    fingerprints = [
        [part.name, part.weight, task.fingerprint] for part, task in zip(parts, tasks, strict=True)
    ]
    fingerprint = hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest()
    return Task(
        name,
        train,
        held_out,
        parts,
        fingerprint,
        tuple(note for task in tasks for note in task.notes),
    )
