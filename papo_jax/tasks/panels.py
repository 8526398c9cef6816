"""The frozen panel of a task: which held-out problems a run is evaluated on."""

from collections.abc import Sequence

from papo_jax.errors import InputError
from papo_jax.tasks import shares
from papo_jax.tasks.problem import Problem
from papo_jax.tasks.task import Part, Task


def panel(task: Task, count: int) -> list[Problem]:
    """Chooses the frozen panel: the first held-out problems of every part, as many as its weight says.

    Args:
      task: with the problems.
      count: of problems; what a part lacks is shared among the others.

    Returns:
      The problems, part by part.

    Raises:
      InputError: if there are not as many.
    """
    if count > len(task.held_out):
        raise InputError(f"evaluation.problems = {count} is more than the {len(task.held_out)} held-out problems of {task.name}")
    chosen, start = [], 0
    for part, share in zip(task.parts, _shares(task.parts, count), strict=True):
        chosen.extend(task.held_out[start : start + share])
        start += part.held_out
    return chosen


def _shares(parts: Sequence[Part], count: int) -> list[int]:
    """Shares by weight; a part that has fewer gives all that it has."""
    taken: dict[int, int] = {}
    while True:
        rest = [n for n in range(len(parts)) if n not in taken]
        wanted = shares.apportion([parts[n].weight for n in rest], count - sum(taken.values()))
        lacking = {n: parts[n].held_out for n, share in zip(rest, wanted, strict=True) if share > parts[n].held_out}
        if not lacking:
            taken.update(zip(rest, wanted, strict=True))
            return [taken[n] for n in range(len(parts))]
        taken.update(lacking)
