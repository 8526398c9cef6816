"""A task: the problems to train on, the problems held out, and the parts that they come from."""

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
      train_size: the number of problems to train on; 0 of a dataset that only serves evaluation.
      held_out_size: the number of problems held out.
      template: the text around its questions.
    """

    name: str
    weight: float
    train_size: int
    held_out_size: int
    template: str = templates.PLACEHOLDER


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


def choose_eval_set(task: Task, count: int) -> list[Problem]:
    """Chooses the evaluation set: the first held-out problems of each part, by weight.

    Args:
      task: the task to evaluate on.
      count: the number of problems; what a part lacks is shared among the others.

    Returns:
      The problems, part by part.

    Raises:
      InputError: if the task holds out fewer problems.

    >>> sources = ["a"] * 5 + ["b"]
    >>> held_out = [Problem(i, f"{i}+0=", str(i), source=name) for i, name in enumerate(sources)]
    >>> task = Task("a+b", (), held_out, (Part("a", 0.5, 0, 5), Part("b", 0.5, 0, 1)), "")
    >>> [problem.source for problem in choose_eval_set(task, 4)]
    ['a', 'a', 'a', 'b']
    """
    if count > len(task.held_out):
        raise InputError(
            f"evaluation.problems = {count} is more than the {len(task.held_out)} "
            f"held-out problems of {task.name}"
        )
    chosen, start = [], 0
    for part, share in zip(task.parts, _eval_set_shares(task.parts, count), strict=True):
        chosen.extend(task.held_out[start : start + share])
        start += part.held_out_size
    return chosen


def _eval_set_shares(parts: Sequence[Part], count: int) -> list[int]:
    """Shares a number of problems by weight; a part that has fewer gives all that it has."""
    settled: dict[int, int] = {}
    while True:
        # Share what the settled parts leave among the others.
        others = [n for n in range(len(parts)) if n not in settled]
        weights = [parts[n].weight for n in others]
        wanted = shares.apportion(weights, count - sum(settled.values()))
        wanted_by_part = dict(zip(others, wanted, strict=True))

        # Settle the parts that are too small for their share, and share again.
        too_small = {
            n: parts[n].held_out_size
            for n, share in wanted_by_part.items()
            if share > parts[n].held_out_size
        }
        settled.update(too_small or wanted_by_part)
        if not too_small:
            return [settled[n] for n in range(len(parts))]
