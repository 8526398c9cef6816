"""A problem: a prompt, its reference answer, and the name of the grader that compares answers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One problem.

    Attributes:
      identifier: unique within its split and stable between runs; files of a run refer to problems
        by it.
      prompt: the text that the policy continues, before any chat template.
      answer: the reference answer as text, or several, of which any is right.
      grader: the name of the grader that compares an answer with it, such as "integer"
        (`papo_jax.grading.registry`).
      source: the task that it comes from, which tells the parts of a mixture apart.

    >>> Problem(0, "A root of x^2 = 4?", ("2", "-2")).references
    ('2', '-2')
    """

    identifier: int
    prompt: str
    answer: str | tuple[str, ...]
    grader: str = "integer"
    source: str = ""

    @property
    def references(self) -> tuple[str, ...]:
        """All reference answers, each of them right."""
        return (self.answer,) if isinstance(self.answer, str) else tuple(self.answer)

    @property
    def answer_text(self) -> str:
        """The reference answers as one text, for those who read a run's files.

        >>> Problem(0, "A root of x^2 = 4?", ("2", "-2")).answer_text
        '2 or -2'
        """
        return " or ".join(self.references)


class ProblemSplits(NamedTuple):
    """The splits of a task as a source makes them, before they are stored.

    Attributes:
      splits: "train", "held_out" or both; identifiers run from 0 in each.
      notes: what a reader of the figures should know, a line each.
    """

    splits: Mapping[str, Sequence[Problem]]
    notes: tuple[str, ...] = ()
