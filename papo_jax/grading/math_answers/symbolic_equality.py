r"""Equality of two formulas by math-verify, as `formula_parser` reads them.

Source: math-verify, Kydlicek et al., https://github.com/huggingface/Math-Verify.
"""

import functools
import logging
from fractions import Fraction
from typing import Any

from papo_jax.grading.math_answers.formula_parser import UnreadableFormula, parse_formula
from papo_jax.grading.math_answers.numeric_evaluation import (
    are_near,
    evaluate_at_point,
    evaluate_real_formula,
    list_symbols,
)
from papo_jax.grading.math_answers.rationals import matches_decimal
from papo_jax.grading.math_answers.relations.equation_equality import are_equal_equations

_DIGITS = 30


def are_equal_formulas(reference: str, answer: str) -> bool:
    r"""Returns True if two formulas are equal; math-verify wants the reference first.

    An answer with sums, products or powers of plain numbers left to evaluate is not equal to a
    reference without any.

    Args:
      reference: the right answer, as `canonical_latex.canonicalize_latex` writes it.
      answer: the other, likewise.

    Raises:
      UnreadableFormula: if the reference cannot be used; an answer that cannot be is not equal.

    >>> are_equal_formulas(r"6\sqrt{2}", r"2\sqrt{18}")
    True
    >>> are_equal_formulas("x^2-1", "(x-1)(x+1)")
    True
    >>> are_equal_formulas(r"6\sqrt{2}", r"(2+4)\sqrt{2}")
    False
    """
    expected = parse_formula(reference)
    try:
        found = parse_formula(answer)
    except UnreadableFormula:
        return False
    if _has_pending_arithmetic(found) and not _has_pending_arithmetic(expected):
        return False
    if expected.is_Relational != found.is_Relational:
        return False
    if expected.is_Relational:
        return are_equal_equations(expected, found)
    if _differ_at_a_point(expected, found):
        return False
    return _math_verify().verify(expected, found, timeout_seconds=None, raise_on_error=True)


def is_rounded_to(reference: str, decimal: str) -> bool:
    r"""Returns True if a decimal is a formula's value to all its digits, at least six of them.

    Args:
      reference: the formula, such as "2\\pi".
      decimal: such as "6.28319".

    Raises:
      UnreadableFormula: if the formula cannot be used.

    >>> is_rounded_to(r"2\pi", "6.28319"), is_rounded_to(r"2\pi", "6.28")
    (True, False)
    >>> is_rounded_to("2x", "6.28319")
    False
    """
    value = evaluate_real_formula(parse_formula(reference), digits=len(decimal) + _DIGITS)
    return value is not None and matches_decimal(value, decimal)


def is_multiple(reference: str, answer: str, factor: Fraction, *, pi_power: int = 0) -> bool:
    r"""Returns True if a formula is factor * pi^pi_power times another, as units are converted.

    Args:
      reference: the right answer, such as "\\frac{\\pi}{2}".
      answer: the other, such as "90".
      factor: such as 1/180.
      pi_power: of pi in the factor.

    Raises:
      UnreadableFormula: if the reference cannot be used; an answer that cannot be is none.

    >>> is_multiple(r"\frac{\pi}{2}", "90", Fraction(1, 180), pi_power=1)
    True
    """
    import sympy

    expected = parse_formula(reference)
    try:
        found = parse_formula(answer)
    except UnreadableFormula:
        return False
    if expected.is_Relational or found.is_Relational or _has_pending_arithmetic(found):
        return False
    ratio = sympy.Rational(factor.numerator, factor.denominator) * sympy.pi**pi_power
    symbols, scaled = list_symbols(expected, found), sympy.Mul(found, ratio, evaluate=False)
    values = evaluate_at_point(expected, symbols), evaluate_at_point(scaled, symbols)
    return None not in values and are_near(*values)


@functools.lru_cache(maxsize=1)
def _math_verify() -> Any:
    """Imports the package and silences its note that timeouts are off.

    A process that grades has a deadline of its own.
    """
    import math_verify

    logging.getLogger("math_verify.grader").setLevel(logging.ERROR)
    return math_verify


def _has_pending_arithmetic(formula: Any) -> bool:
    """Returns True if a sum, product, power or factorial of plain numbers is left to evaluate."""
    import sympy

    for node in sympy.preorder_traversal(formula):
        numbers = [part for part in node.args if part.is_Number and part != -1]
        if (node.is_Add or node.is_Mul) and len(numbers) > 1:
            return True
        if (
            isinstance(node, sympy.Pow)
            and node.base.is_Rational
            and node.exp.is_Integer
            and node.exp > 1
        ):
            return True
        if isinstance(node, sympy.factorial) and numbers:
            return True
    return False


def _differ_at_a_point(expected: Any, found: Any) -> bool:
    """Returns True if two formulas have different values at a point.

    That settles most wrong answers in a millisecond. It also keeps apart what is smaller than
    1e-15, for math-verify takes all of that for zero.
    """
    symbols = list_symbols(expected, found)
    return not are_near(evaluate_at_point(expected, symbols), evaluate_at_point(found, symbols))
