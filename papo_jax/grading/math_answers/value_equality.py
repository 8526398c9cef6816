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

from papo_jax.grading.math_answers.measures.clock_times import are_same_time, parse_clock_time
from papo_jax.grading.math_answers.measures.quantities import (
    Quantity,
    read_bare_symbol,
    split_quantity,
)
from papo_jax.grading.math_answers.measures.units import SAME, Conversion, compare_units, is_unit
from papo_jax.grading.math_answers.rationals import (
    matches_decimal,
    parse_power_or_root,
    parse_rational,
)
from papo_jax.grading.math_answers.relations.equation_equality import are_equal_inequalities
from papo_jax.grading.math_answers.symbolic_equality import (
    are_equal_formulas,
    is_multiple,
    is_rounded_to,
)

_NUMERAL_IN_BASE = re.compile(
    r"\(?(?P<digits>[0-9][0-9A-Fa-f]*)\)?_\{?\(?(?P<base>[0-9]+|«[a-z]+»)\)?\}?"
)
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|ne)(?![A-Za-z])")
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
    if not reference or not answer or reference == answer:
        return reference == answer != ""

    # Times of day, and units: these may be missing, but may not contradict each other.
    expected_time, found_time = parse_clock_time(reference), parse_clock_time(answer)
    if expected_time and found_time:
        return are_same_time(expected_time, found_time)
    expected, found = split_quantity(reference), split_quantity(answer)
    if not found.unit and is_unit(expected.unit):
        found = read_bare_symbol(found.value)
    conversion = compare_units(expected.unit, found.unit)
    if conversion is None:
        return False
    return _are_equal_quantities(expected, found, conversion)


def _are_equal_quantities(expected: Quantity, found: Quantity, conversion: Conversion) -> bool:
    if expected.counts_groups and found.scale == 1:  # seven, where "7 pairs" is asked
        expected = expected._replace(scale=Fraction(1))
    factor = conversion.factor * found.scale / expected.scale
    if factor == 1 and conversion == SAME:
        return _are_equal_without_units(expected.value, found.value)
    conversion = conversion._replace(factor=factor, offset=conversion.offset / expected.scale)
    return _are_equal_converted(expected.value, found.value, conversion)


def _are_equal_converted(reference: str, answer: str, conversion: Conversion) -> bool:
    """Returns True if a value equals another one that is first converted."""
    expected, found = parse_rational(reference), parse_rational(answer)
    factor, pi_power, offset = conversion
    if expected is not None and found is not None and not pi_power:
        return expected == found * factor + offset
    if offset or "«" in reference or _WITHOUT_VALUE.fullmatch(reference):
        return False
    return is_multiple(reference, answer, factor, pi_power=pi_power)


def _are_equal_without_units(reference: str, answer: str) -> bool:
    # Equal texts, words and numerals in a base.
    if reference == answer:
        return True
    has_words = "«" in reference + answer
    if has_words or (reference + answer).isalpha() and reference.isupper():
        return reference.strip("«»").casefold() == answer.strip("«»").casefold()
    if _NUMERAL_IN_BASE.fullmatch(reference) or _NUMERAL_IN_BASE.fullmatch(answer):
        return _are_equal_numerals(reference, answer)

    if _INEQUALITY.search(reference):
        return "=" not in reference + answer and are_equal_inequalities(reference, answer)

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
