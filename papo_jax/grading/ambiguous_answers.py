"""Ambiguous answers: two values at once, or a number that its context turns into another."""

import re

from papo_jax.grading.wording.multipliers import find_multiplier

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

_LONGEST_BOUND = 24  # characters of the words that make a bound of a number
_LENGTH = r"(?:feet|foot|ft|meters?|metres?|inch(?:es)?|miles?|yards?|units?|[cdkm]?m)(?![a-z])"
_COMPOUND = (  # units of which a second number may be a part: 5 hours 30 minutes
    r"(?:h|hrs?|hours?|min|minutes?|days?|weeks?|months?|years?|dollars?|pounds?|lbs?"
    rf"|{_LENGTH})"
)
_BOUND_BEFORE = re.compile(
    r"(?:(?<![A-Za-z])(?:at (?:the )?(?:least|most|minimum|maximum)"
    r"|(?:no |not )?(?:more|less|fewer|greater|larger|smaller|higher|lower|bigger|older) than"
    r"|over|under|above|below|beyond|exceeds|exceeding|up to|between|from|within|not|never"
    r"|m(?:in|ax)(?:imum)?(?: of)?|plus or minus|plus/minus|as (?:many|much|few|little) as"
    r"|half(?: of)?|twice|double|triple|thrice|(?:thirds?|quarters?|percent|%|root|square|cube) of"
    r"|sqrt|log|ln|sin|cos|tan|abs|floor|ceil)"
    r"|[<≤≥⩽⩾≦≧≠≮≯≲≳±∓¬|√∛∜∑∏∫]=?|(?<![-=>])>=?|!=|\+/-|-/\+"
    r"|\\(?:leqq?|geqq?|[lg]eqslant|le|ge|lt|gt|neq?|ll|gg|pm|mp|not|sqrt|ln|log|sin|cos|tan))"
    r"\s*[({\[*_`$]{0,4}\s*$"
    r"|(?<![A-Za-z])[A-Za-z]\s*[-+*/×÷^]\s*[({]?$"  # x + 8
    r"|[0-9]\s*(?:to|and|through|thru|until|till)\s+$"
    r"|[0-9]\s*(?:(?:hundred|thousand|million|billion|trillion|lakh|crore)s?"
    rf"|{_COMPOUND}),?\s+(?:and\s+)?$",
    re.IGNORECASE,
)
_OTHER_NUMBER = r"[({\[*_`$\\]{0,3}\s*[-+]?\s*[$€£]?[0-9¼-¾⅐-⅞]"
_CHANGED_AFTER = re.compile(
    r"\*\*\s*[0-9(]|[*_`$)}\]]{0,4}+(?:"
    # It goes on: a factorial, a root, another base, a product, an imaginary number.
    r"\s*(?:![^=]|!$|[π√^×÷‰±∓]|\\(?:pi|sqrt|times|cdot|div|pm|mp|over|choose)(?![A-Za-z])"
    r"|pi(?![A-Za-z])|sqrt|\(base|base [0-9]|_\{?[0-9])"
    r"|i(?![A-Za-z])|\s*i\s*$|\([0-9]|[A-Za-z]\s*[-+*^]\s*[0-9(]"
    r"|\s*[-+*]\s*\(?(?![aI] )[A-Za-z](?![A-Za-z])"
    # A bound.
    r"|\s*(?:or|and) (?:more|less|fewer|greater|higher|lower|above|below|up|over|under|older)"
    r"|\s*at (?:least|most)(?![A-Za-z])|\s*(?:minimum|maximum)(?![A-Za-z])|\s*\+(?![0-9 ])"
    # Words of arithmetic.
    rf"|\s*(?:(?:squared|cubed)(?!\s+{_LENGTH})|factorial|choose|mod(?:ulo)?|multiplied|divided|raised"
    r"|to the [a-z0-9]* ?power)(?![A-Za-z])"
    r"|\s*(?:plus|minus|times|over|point|x)(?![A-Za-z])\s*[0-9(]"
    r"|\s*and (?:a|one|two|three)[ -](?:half|third|quarter|fourth|fifth)"
    rf"|\s*(?:%|percent|per cent) of {_OTHER_NUMBER}|\s*{_COMPOUND}[\s,]*(?:and\s+)?[0-9]"
    # A second number: a range, a list, a ratio, a mixed number.
    rf"|\s*(?:to|through|thru|until|till|and|or|vs\.?|versus)\s+{_OTHER_NUMBER}"
    rf"|\s*(?:[-,;&|/:~〜…]|\.\.+)\s*{_OTHER_NUMBER}|\s+[$]?[0-9¼-¾⅐-⅞])",
    re.IGNORECASE,
)


def negates_or_scales(before: str, after: str) -> bool:
    """Returns True if the words around a number change it: "not 42", "minus 42", "42 million".

    >>> negates_or_scales("It is not ", "."), negates_or_scales("about ", " million")
    (True, True)
    >>> negates_or_scales("does not matter: ", " apples")
    False
    """
    if _NEGATED.search(before[-_LONGEST_GAP:]):
        return True
    return find_multiplier(after[:_LONGEST_GAP], 0, counting=False) is not None


def is_changed_by_context(before: str, after: str) -> bool:
    """Returns True if what stands at a number makes it a bound, a range or a part of a term.

    Only for a text that is marked as the answer: running text says "at least 8 buses" too.

    >>> [is_changed_by_context(before, "") for before in ("at least ", "x > ", "=> ", "about ")]
    [True, True, False, False]
    >>> [is_changed_by_context("", after) for after in ("!", " to 9", " or more", " apples")]
    [True, True, True, False]
    """
    is_bounded = _BOUND_BEFORE.search(before[-_LONGEST_BOUND:]) is not None
    return is_bounded or _CHANGED_AFTER.match(after[:_LONGEST_GAP]) is not None


def joins_alternatives(between: str) -> bool:
    """Returns True if the text between two values is "or", "no" and the like, and nothing else.

    >>> joins_alternatives(" or "), joins_alternatives(", no wait: ")
    (True, True)
    >>> joins_alternatives(", so the answer is "), joins_alternatives(", ")
    (False, False)
    """
    return len(between) <= _LONGEST_GAP and _ONLY_HEDGES.fullmatch(between) is not None
