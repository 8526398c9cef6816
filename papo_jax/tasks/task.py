"""A task: the problems to train on, the problems held out, what they were made of, and the
panel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.tasks import shares, templates
from papo_jax.tasks.problem import Problem


class Part(NamedTuple):
    """A part of a task.

    Attributes:
      name: also `Problem.source` of its problems.
      weight: its share; those of a task sum to one.
      train: how many problems there are to train on; none of a family that is only evaluated on.
      held_out: how many problems are held out.
      template: what stands around its questions.
    """

    name: str
    weight: float
    train: int
    held_out: int
    template: str = templates.PLACE


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
      name: what it was loaded by.
      train: the problems to train on, part by part; `train[i].identifier == i`.
      held_out: problems that share no question with `train`; `held_out[i].identifier == i`.
      parts: in the order of the name; one unless the task is a mixture.
      fingerprint: SHA-256 over every problem of both splits, and over the weights of a mixture.
      notes: what a reader of the figures should know, a line each.
    """

    name: str
    train: Sequence[Problem]
    held_out: Sequence[Problem]
    parts: tuple[Part, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


def panel(task: Task, count: int) -> list[Problem]:
    """Chooses the frozen panel: the first held-out problems of every part, as many as its weight
    says.

    Args:
      task: with the problems.
      count: of problems; what a part lacks is shared among the others.

    Returns:
      The problems, part by part.

    Raises:
      InputError: if there are not as many.

    >>> held_out = [Problem(i, f"{i}+0=", str(i), source="ab"[i // 5]) for i in range(6)]
    >>> [
    ...     one.source
    ...     for one in panel(
    ...         Task("a+b", (), held_out, (Part("a", 0.5, 0, 5), Part("b", 0.5, 0, 1)), ""), 4
    ...     )
    ... ]
    ['a', 'a', 'a', 'b']
    """
    if count > len(task.held_out):
        raise InputError(
            f"evaluation.problems = {count} is more than the {len(task.held_out)} held-out problems of {task.name}"
        )
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
        lacking = {
            n: parts[n].held_out
            for n, share in zip(rest, wanted, strict=True)
            if share > parts[n].held_out
        }
        if not lacking:
            taken.update(zip(rest, wanted, strict=True))
            return [taken[n] for n in range(len(parts))]
        taken.update(lacking)
