"""What a grader says of one answer."""

from typing import NamedTuple

RIGHT, WRONG, ERROR = "right", "wrong", "error"
TIMEOUT = "timeout"  # the reason of an error that a deadline made
KEPT = 200  # characters of an answer that are put to the vote


class Judgment(NamedTuple):
    """A verdict and what it rests on.

    Attributes:
      verdict: "right", "wrong", or "error" where the answer could not be judged.
      answer: what was taken for the final answer, in a form by which equal answers count as one;
        None where there was none. Answers are put to the vote as these.
      reason: of an error, in one line; "timeout" where a deadline passed. Empty otherwise.
    """

    verdict: str
    answer: str | None
    reason: str = ""
