"""How far a run's files reached when a checkpoint was saved, and what of that is lost since.

A file may be cut by a power failure, deleted, or put back from an older copy. A resumed run goes on
all the same, for its numbers do not depend on these files; it must say that they have a hole.
"""

import os
import pathlib
from collections.abc import Collection, Mapping

from papo_jax.json_files import finite_number, whole_number
from papo_jax.telemetry import runfiles

GROWING_FILES = (
    "metrics.jsonl",
    "samples.jsonl",
    "grader_errors.jsonl",
    "evaluation_samples.jsonl",
)
_STEPS_NAMED = 5


def measure_files(workdir: pathlib.Path) -> dict[str, int]:
    """Returns the sizes of the files that grow with a run, bytes, and puts their rows on disk.

    A checkpoint is on disk when it is saved; rows of the steps before it must not be lost with the
    power either.
    """
    sizes = {}
    for path in (workdir / name for name in GROWING_FILES):
        if path.exists():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                sizes[path.name] = os.fstat(file.fileno()).st_size
    return sizes


def describe_losses(
    workdir: pathlib.Path,
    *,
    step: int,
    files: Mapping[str, int],
    evaluated: Collection[int],
    on_file: Collection[int],
) -> list[str]:
    """Describes what is missing of the steps before a checkpoint.

    Args:
      workdir: of the run; its files have no rows of `step` and later any more.
      step: of the checkpoint.
      files: what `measure_files` returned when it was saved.
      evaluated: the steps that had an evaluation then.
      on_file: the steps that have one now.

    Returns:
      A sentence for each file that lost something.
    """
    losses = []
    rows = runfiles.read_rows(workdir / "metrics.jsonl")
    steps = {whole_number(row.get("step")): row for row in rows}
    missing = sorted(set(range(step)) - steps.keys())
    if missing:
        losses.append(
            f"metrics.jsonl lacks {_name_steps(missing)}; they stay out of the charts and of the"
            " scores of checkpoints"
        )
    unknown = [
        one
        for one in sorted(set(range(step)) & steps.keys())
        if finite_number(steps[one].get("reward/mean")) is None
    ]
    if unknown:
        losses.append(f"metrics.jsonl has no reward/mean of {_name_steps(unknown)}")
    for name, size in files.items():
        path = workdir / name
        now = path.stat().st_size if path.exists() else 0
        if now < size and not (missing and name == "metrics.jsonl"):
            losses.append(f"{name} has lost rows: {now} bytes of it are left and there were {size}")
    lost = sorted(set(evaluated) - set(on_file))
    if lost:
        losses.append(
            f"evaluation.json lacks the evaluation of {_name_steps(lost)}; it cannot be made again"
        )
    return losses


def _name_steps(steps: list[int]) -> str:
    """Names the first few of some steps.

    >>> _name_steps([3]), _name_steps([0, 1, 2, 3, 4, 5, 9])
    ('step 3', 'steps 0, 1, 2, 3, 4 and 2 more')
    """
    more = f" and {len(steps) - _STEPS_NAMED} more" if len(steps) > _STEPS_NAMED else ""
    plural = "s" if len(steps) > 1 else ""
    return f"step{plural} {', '.join(map(str, steps[:_STEPS_NAMED]))}{more}"
