"""Ambiguous answers: two values at once, or a number that its context turns into another."""

import re

_LONGEST_GAP = 60  # characters between two numbers that may still be alternatives
_PAUSE = r"[\s,;:.!?()*_`'\"|&$/=…\-\u2212\u2013]*"
_HEDGES = "|".join(
    """or and nor no not maybe perhaps possibly probably either else also even just rather instead
    wait actually vs 或""".split()
)
_ONLY_HEDGES = re.compile(
    rf"{_PAUSE}(?:(?:{_HEDGES})(?![A-Za-z]){_PAUSE})+(?:[a-z]\s*=\s*)?", re.IGNORECASE
)
_NEGATED = re.compile(r"(?<![A-Za-z])(?:not|isn't|minus|negative)\s+[*_`$]*$", re.IGNORECASE)
_SCALED = re.compile(
    r"\s*(?:hundred|thousand|million|billion|trillion|dozen)s?(?![A-Za-z])", re.IGNORECASE
)


def negates_or_scales(before: str, after: str) -> bool:
    """Returns True if the words around a number change it: "not 42", "minus 42", "42 million".

    >>> negates_or_scales("It is not ", "."), negates_or_scales("about ", " million")
    (True, True)
    >>> negates_or_scales("does not matter: ", " apples")
    False
    """
    return _NEGATED.search(before[-_LONGEST_GAP:]) is not None or _SCALED.match(after) is not None


def joins_alternatives(between: str) -> bool:
    """Returns True if the text between two values is "or", "no" and the like, and nothing else.

    >>> joins_alternatives(" or "), joins_alternatives(", no wait: ")
    (True, True)
    >>> joins_alternatives(", so the answer is "), joins_alternatives(", ")
    (False, False)
    """
    return len(between) <= _LONGEST_GAP and _ONLY_HEDGES.fullmatch(between) is not None
