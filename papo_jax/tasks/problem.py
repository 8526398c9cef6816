"""A task is data: a problem is a prompt and the answer that a grader compares with."""

from typing import NamedTuple


class Problem(NamedTuple):
    """One problem.

    Attributes:
      identifier: unique within its split and stable between runs; frozen panels are stored as these.
      prompt: the text that the policy continues, before any chat template.
      answer: the gold answer as text.
    """

    identifier: int
    prompt: str
    answer: str
