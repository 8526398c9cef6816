"""Loading of tasks by name: parts are prepared on the first use, and joined in a mixture."""

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
      name: one of `catalog.TASK_NAMES`, or a mixture such as "gsm8k*3+math+arithmetic" with weights
        after the stars.
      path: of a task that reads files, a file or a directory; of a mixture see
        `mixture.parse_mixture`.
      seed: chooses the problems of a generated task.
      difficulty: of arithmetic, the number of operations, 1 to 8.
      train_size: the number of problems that a generated task trains on.
      held_out_size: the number of problems that a generated task holds out.
      grader: of all problems, instead of their own.
      template: around all questions, instead of their own; holds "{question}" once.
      cache: the directory of prepared problems; None for the user's cache directory.

    Returns:
      The `Task`.

    Raises:
      InputError: if the name, the path, a number, the grader, the template or a file is wrong, or
        if problems to train on are held out too; says which part of a mixture it is.
    """
    # Check what does not depend on the task.
    if train_size < 1 or held_out_size < 1:
        raise InputError(
            f"task sizes are at least 1, not {train_size} to train on and {held_out_size} held out"
        )
    if grader and grader not in GRADERS:
        raise InputError(
            f"task.grader {grader!r} is none of {', '.join(GRADERS)}; "
            f"the nearest is {mixture.find_nearest_name(grader, GRADERS)!r}"
        )
    if template is not None:
        templates.check_template(template)

    options = catalog.LoadOptions(
        seed=seed,
        difficulty=difficulty,
        train_size=train_size,
        held_out_size=held_out_size,
        grader=grader or None,
        template=template,
    )
    directory = Path(cache or cache_directory() / "tasks")
    requests = mixture.parse_mixture(name, path, catalog.DATASETS)
    if len(requests) == 1:
        return _load_part(requests[0], options, directory)

    # Load the parts of a mixture, each as a task of its own.
    tasks = []
    for request in requests:
        try:
            tasks.append(_load_part(request, options, directory))
        except InputError as error:
            raise InputError(f"part {request.name!r} of task {name!r}: {error}") from error
    return _join_tasks(name, [request.weight for request in requests], tasks)


def _load_part(request: mixture.PartRequest, options: catalog.LoadOptions, cache: Path) -> Task:
    """Loads one part as a task of its own."""
    # Imported here, since tensorflow_datasets takes half a second.
    from papo_jax.tasks.prepared_data import open_prepared

    plan = catalog.plan_part(request, options)
    prepared = open_prepared(plan.key, plan.make_problems, cache)
    train, held_out = (prepared.splits.get(split, ()) for split in ("train", "held_out"))
    part = Part(
        name=request.name,
        weight=1.0,
        train_size=len(train),
        held_out_size=len(held_out),
        template=plan.template,
    )
    return Task(
        name=request.name,
        train=train,
        held_out=held_out,
        parts=(part,),
        fingerprint=prepared.fingerprint,
        notes=prepared.notes,
    )


def _join_tasks(name: str, weights: Sequence[float], tasks: Sequence[Task]) -> Task:
    """Joins tasks to a mixture; their problems stay where they are."""
    # Weights become shares; a part must come at least once in each block of draws.
    total = sum(weights)
    parts = tuple(
        task.parts[0]._replace(weight=weight / total)
        for task, weight in zip(tasks, weights, strict=True)
    )
    trained = [part for part in parts if part.train_size]
    too_small = shares.find_too_small([part.weight for part in trained]) if trained else None
    if too_small is not None:
        raise InputError(
            f"part {trained[too_small].name!r} of task {name!r} would be drawn less than once in "
            f"{shares.BLOCK:,} draws; raise its weight"
        )

    # No part may train on what another is evaluated on.
    train = mixture.JoinedSplit([task.train for task in tasks])
    held_out = mixture.JoinedSplit([task.held_out for task in tasks])
    try:
        overlap.check_overlap(train, held_out, used=[part.template for part in parts])
    except InputError as error:
        raise InputError(f"task {name!r}: {error}") from error

    fingerprints = [
        [part.name, part.weight, task.fingerprint] for part, task in zip(parts, tasks, strict=True)
    ]
    return Task(
        name=name,
        train=train,
        held_out=held_out,
        parts=parts,
        fingerprint=hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest(),
        notes=tuple(note for task in tasks for note in task.notes),
    )
