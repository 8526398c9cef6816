"""Judgments: a grader's verdict on one completion, and what the verdict rests on."""

from typing import NamedTuple

RIGHT, WRONG, ERROR = "right", "wrong", "error"
TIMEOUT = "timeout"  # the reason of an error that a deadline made
MAX_ANSWER_CHARACTERS = 200  # of an answer, as it is logged and takes part in majority votes


class Judgment(NamedTuple):
    """Verdict on one completion.

    Attributes:
      verdict: "right", "wrong", or "error" where the completion could not be judged.
      answer: the final answer that was extracted, in a form in which equal answers are equal texts,
        as majority votes need; None where there was none.
      reason: of an error, in one line; "timeout" where a deadline passed. Empty otherwise.
    """

    verdict: str
    answer: str | None
    reason: str = ""

    @property
    def is_right(self) -> bool:
        """True if the verdict is "right"; an error is not right.

        >>> Judgment(RIGHT, "42").is_right, Judgment(ERROR, None, TIMEOUT).is_right
        (True, False)
        """
        return self.verdict == RIGHT
