"""Answers that name two values at once, which must not be paid for the one that fits."""

import re

_LONGEST = 60  # characters between two numbers that may still be one breath
_PAUSE = r"[\s,;:.!?()*_`'\"|&$/=…\-\u2212\u2013]*"
_WORD = "or|and|nor|no|not|maybe|perhaps|possibly|probably|either|else|also|even|just|rather|instead|wait|actually|vs|或"
_ONLY_HEDGES = re.compile(
    rf"{_PAUSE}(?:(?:{_WORD})(?![A-Za-z]){_PAUSE})+(?:[a-z]\s*=\s*)?", re.IGNORECASE
)
_DENIED = re.compile(r"(?<![A-Za-z])(?:not|isn't|minus|negative)\s+[*_`$]*$", re.IGNORECASE)
_MULTIPLIED = re.compile(
    r"\s*(?:hundred|thousand|million|billion|trillion|dozen)s?(?![A-Za-z])", re.IGNORECASE
)


def changes(before: str, after: str) -> bool:
    """Whether what stands around a number in running text makes it another: "not 42", "minus 42",
    "42 million".

    >>> (
    ...     changes("It is not ", "."),
    ...     changes("about ", " million"),
    ...     changes("does not matter: ", " apples"),
    ... )
    (True, True, False)
    """
    return _DENIED.search(before[-_LONGEST:]) is not None or _MULTIPLIED.match(after) is not None


def joins(between: str) -> bool:
    """Whether what stands between two values makes them alternatives: "or", "no" and the like, and
    nothing else.

    Args:
      between: the text between them.

    >>> joins(" or "), joins(", no wait: "), joins(", so the answer is "), joins(", ")
    (True, True, False, False)
    """
    return len(between) <= _LONGEST and _ONLY_HEDGES.fullmatch(between) is not None
