r"""Whether two single values are equal: words by their letters, numbers exactly, formulas by
math-verify.

>>> (equal("5«cm»", "5"), equal("42%", "0.42"), equal(r"\frac{1}{3}", "0.333333"), equal("C", "c"))
(True, True, True, True)
>>> (equal("42", "6*7"), equal("1", "0.9999999999"), equal("52_8", "52_9"), equal("5«cm»", "5«m»"))
(False, False, False, False)
"""

import re
from fractions import Fraction

from papo_jax.grading.math_answers import rationals, symbolic

_UNIT = re.compile(r"(?P<value>[^«»]*[^«»\s])«(?P<unit>[^«»]*)»(?:\^\{?-?[0-9]\}?)?")
_CHANGES_THE_VALUE = frozenset(
    "is wrong incorrect false hundred thousand million billion trillion dozen "
    "more less fewer over under above below around plus minus times factorial squared cubed".split()
)
_SPELLINGS = (  # of units that a problem may tell apart
    "mm millimeter millimetre",
    "cm centimeter centimetre",
    "m meter metre",
    "km kilometer kilometre",
    "in inch inche",
    "ft foot feet",
    "yd yard",
    "mi mile",
    "cent",
    "dollar",
    "second sec",
    "minute min",
    "hour hr",
    "day",
    "week",
    "year",
)
_UNITS = {spelling: line.split()[0] for line in _SPELLINGS for spelling in line.split()}
_DEGREES = re.compile(r"\^\\circ ?(?:[CF]|«[^«»]*»)?$")
_IN_A_BASE = re.compile(
    r"\(?(?P<digits>[0-9][0-9A-Fa-f]*)\)?_\{?\(?(?P<base>[0-9]+|«[a-z]+»)\)?\}?"
)
_WITHOUT_VALUE = re.compile(
    r"-?\\(?:infty|emptyset|varnothing|mathbb\{[A-Z]\})|[0-9]+(?::[0-9]+)+"
)  # 2:3 and 3:45


def equal(gold: str, answer: str) -> bool:
    """Compares two values.

    A unit may be missing from either side, and a percentage may stand for its number or its
    fraction. A gold that is
    written out as a number needs an answer that is, or that is a single power or root of whole
    numbers: sums and products may not be left to work out. Only where no decimal equals the gold
    may one stand for it, with at least six digits. Formulas in symbols are compared by value,
    whatever their form, as math-verify does.

    Args:
      gold: the right one, as `latex.canonical` writes it.
      answer: the other, likewise.

    Raises:
      symbolic.Unreadable: if the gold is a formula that cannot be used.
    """
    (gold, gold_unit), (answer, answer_unit) = _without_unit(gold), _without_unit(answer)
    if gold_unit != answer_unit and gold_unit and answer_unit:
        return False
    if not gold or not answer or gold == answer:
        return gold == answer != ""
    if "«" in gold + answer or (gold + answer).isalpha() and gold.isupper():
        return gold.strip("«»").casefold() == answer.strip("«»").casefold()
    if _IN_A_BASE.fullmatch(gold) or _IN_A_BASE.fullmatch(answer):
        return _same_in_a_base(gold, answer)
    expected, found = (
        rationals.read(gold.removesuffix("%")),
        rationals.read(answer.removesuffix("%")),
    )
    if expected is not None:
        found = rationals.power(answer) if found is None else found
        return found is not None and _same_number(gold, answer, expected, found)
    if _WITHOUT_VALUE.fullmatch(gold):
        return False
    return _same_formula(gold, answer, decimal=found is not None and "." in answer)


def _same_number(gold: str, answer: str, expected: Fraction, found: Fraction) -> bool:
    if gold.endswith("%") != answer.endswith("%"):
        percentage, number = (expected, found) if gold.endswith("%") else (found, expected)
        return number in (percentage, percentage / 100)
    if expected == found:
        return True
    return not _is_decimal(expected) and rationals.stands_for(answer, expected)


def _is_decimal(value: Fraction) -> bool:
    """Whether a decimal equals it: its denominator divides a power of ten."""
    return pow(10, value.denominator.bit_length(), value.denominator) == 0


def _same_formula(gold: str, answer: str, *, decimal: bool) -> bool:
    return (decimal and symbolic.is_about(gold, answer)) or symbolic.equal(gold, answer)


def _same_in_a_base(gold: str, answer: str) -> bool:
    """52_8 is met by itself and by its digits; 42 by 42_{10} alone."""
    wanted, found = _IN_A_BASE.fullmatch(gold), _IN_A_BASE.fullmatch(answer)
    if wanted:
        return wanted.groups() == found.groups() if found else answer == wanted["digits"]
    return found["base"] == "10" and gold == found["digits"]


def _without_unit(text: str) -> tuple[str, str]:
    """A value without its unit, and that unit if it is one that a problem may tell apart."""
    match = _UNIT.fullmatch(text)
    if not match:
        return _DEGREES.sub("", text), ""
    words = match["unit"].casefold().split()
    if _CHANGES_THE_VALUE.intersection(words):
        return text, ""
    known = [_UNITS.get(word) or _UNITS.get(word.removesuffix("s"), "") for word in words]
    return _DEGREES.sub("", match["value"]), " ".join(filter(None, known))
