r"""Equality of two single values: words by letters, numbers exactly, formulas by math-verify.

>>> are_equal_values("5«cm»", "5"), are_equal_values("42%", "0.42")
(True, True)
>>> are_equal_values(r"\frac{1}{3}", "0.333333"), are_equal_values("C", "c")
(True, True)
>>> are_equal_values("42", "6*7"), are_equal_values("1", "0.9999999999")
(False, False)
>>> are_equal_values("52_8", "52_9"), are_equal_values("5«cm»", "5«m»")
(False, False)
"""

import re
from fractions import Fraction

from papo_jax.grading.math_answers.rationals import (
    matches_decimal,
    parse_power_or_root,
    parse_rational,
)
from papo_jax.grading.math_answers.symbolic_equality import are_equal_formulas, is_rounded_to

_UNIT = re.compile(r"(?P<value>[^«»]*[^«»\s])«(?P<unit>[^«»]*)»(?:\^\{?-?[0-9]\}?)?")
_VALUE_CHANGING_WORDS = frozenset(
    """is wrong incorrect false hundred thousand million billion trillion dozen more less fewer over
    under above below around plus minus times factorial squared cubed""".split()
)
_UNIT_SPELLINGS = """
    mm millimeter millimetre; cm centimeter centimetre; m meter metre; km kilometer kilometre;
    in inch inche; ft foot feet; yd yard; mi mile; cent; dollar;
    second sec; minute min; hour hr; day; week; year
"""  # of units that a problem may tell apart, the spellings of each between semicolons
_UNITS = {
    spelling: spellings.split()[0]
    for spellings in _UNIT_SPELLINGS.split(";")
    for spelling in spellings.split()
}
_DEGREES = re.compile(r"\^\\circ ?(?:[CF]|«[^«»]*»)?$")
_NUMERAL_IN_BASE = re.compile(
    r"\(?(?P<digits>[0-9][0-9A-Fa-f]*)\)?_\{?\(?(?P<base>[0-9]+|«[a-z]+»)\)?\}?"
)
_WITHOUT_VALUE = re.compile(
    r"-?\\(?:infty|emptyset|varnothing|mathbb\{[A-Z]\})|[0-9]+(?::[0-9]+)+"
)  # 2:3 and 3:45


def are_equal_values(reference: str, answer: str) -> bool:
    """Compares two values.

    A unit may be missing from either side, and a percentage may stand for its number or its
    fraction. A reference that is written out as a number needs an answer that is, or that is a
    single power or root of whole numbers: sums and products may not be left to work out. Only where
    no decimal equals the reference may one stand for it, with at least six digits. Formulas in
    symbols are compared by value, whatever their form, as math-verify does.

    Args:
      reference: the right one, as `canonical_latex.canonicalize_latex` writes it.
      answer: the other, likewise.

    Raises:
      symbolic_equality.UnreadableFormula: if the reference is a formula that cannot be used.
    """
    # Units: they may be missing, but not differ.
    reference, reference_unit = _split_unit(reference)
    answer, answer_unit = _split_unit(answer)
    if reference_unit != answer_unit and reference_unit and answer_unit:
        return False

    # Equal texts, words and numerals in a base.
    if not reference or not answer or reference == answer:
        return reference == answer != ""
    has_words = "«" in reference + answer
    if has_words or (reference + answer).isalpha() and reference.isupper():
        return reference.strip("«»").casefold() == answer.strip("«»").casefold()
    if _NUMERAL_IN_BASE.fullmatch(reference) or _NUMERAL_IN_BASE.fullmatch(answer):
        return _are_equal_numerals(reference, answer)

    # Numbers.
    expected = parse_rational(reference.removesuffix("%"))
    found = parse_rational(answer.removesuffix("%"))
    if expected is not None:
        found = parse_power_or_root(answer) if found is None else found
        return found is not None and _are_equal_numbers(reference, answer, expected, found)
    if _WITHOUT_VALUE.fullmatch(reference):
        return False

    # Formulas, for which a decimal may stand.
    if found is not None and "." in answer and is_rounded_to(reference, answer):
        return True
    return are_equal_formulas(reference, answer)


def _are_equal_numbers(reference: str, answer: str, expected: Fraction, found: Fraction) -> bool:
    if reference.endswith("%") != answer.endswith("%"):
        percentage, number = (expected, found) if reference.endswith("%") else (found, expected)
        return number in (percentage, percentage / 100)
    if expected == found:
        return True
    return not _has_finite_decimal(expected) and matches_decimal(expected, answer)


def _has_finite_decimal(value: Fraction) -> bool:
    """Returns True if a decimal equals a value: its denominator divides a power of ten."""
    return pow(10, value.denominator.bit_length(), value.denominator) == 0


def _are_equal_numerals(reference: str, answer: str) -> bool:
    """Compares numerals in a base.

    52_8 is met by itself and by its digits; 42 by 42_{10} alone.
    """
    expected, found = _NUMERAL_IN_BASE.fullmatch(reference), _NUMERAL_IN_BASE.fullmatch(answer)
    if expected:
        return expected.groups() == found.groups() if found else answer == expected["digits"]
    return found is not None and found["base"] == "10" and reference == found["digits"]


def _split_unit(text: str) -> tuple[str, str]:
    """Returns a value without its unit, and that unit if problems may tell it apart."""
    match = _UNIT.fullmatch(text)
    if not match:
        return _DEGREES.sub("", text), ""
    words = match["unit"].casefold().split()
    if _VALUE_CHANGING_WORDS.intersection(words):
        return text, ""
    units = [_UNITS.get(word) or _UNITS.get(word.removesuffix("s"), "") for word in words]
    return _DEGREES.sub("", match["value"]), " ".join(filter(None, units))
