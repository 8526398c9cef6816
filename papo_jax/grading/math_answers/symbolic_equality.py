r"""Equality of two formulas by math-verify, for what `sympy_safety` lets through.

Only its LaTeX parser is used, which builds a formula without evaluating it, and not for numbers;
its other ways in hand text to sympy's `parse_expr`, which evaluates Python. Sympy is imported at
the first call.

Source: math-verify, Kydlicek et al., https://github.com/huggingface/Math-Verify.
"""

import functools
import logging
import re
from fractions import Fraction
from typing import Any

from papo_jax.grading.math_answers import sympy_safety
from papo_jax.grading.math_answers.numeric_evaluation import evaluate_formula, evaluate_real_formula
from papo_jax.grading.math_answers.rationals import matches_decimal, parse_rational

_RELATIVE_TOLERANCE = 1e-10
_DIGITS = 30
_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")


class UnreadableFormula(Exception):
    """Raised where math-verify cannot parse a formula, or it is too large to be evaluated."""


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
    expected = _parse_formula(reference)
    try:
        found = _parse_formula(answer)
    except UnreadableFormula:
        return False
    if _has_pending_arithmetic(found) and not _has_pending_arithmetic(expected):
        return False
    if expected.is_Relational != found.is_Relational:
        return False
    if expected.is_Relational:
        return _are_equal_equations(expected, found)
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
    value = evaluate_real_formula(_parse_formula(reference), digits=len(decimal) + _DIGITS)
    return value is not None and matches_decimal(value, decimal)


@functools.lru_cache(maxsize=1)
def _math_verify() -> Any:
    """Imports the package and silences its note that timeouts are off.

    A process that grades has a deadline of its own.
    """
    import math_verify

    logging.getLogger("math_verify.grader").setLevel(logging.ERROR)
    return math_verify


@functools.lru_cache(maxsize=512)
def _parse_formula(text: str) -> Any:
    """Returns a sympy formula, not evaluated.

    Decimals are exact fractions in it, and i is the imaginary unit.
    """
    if not sympy_safety.is_safe_to_parse(text):
        raise UnreadableFormula(f"{text[:40]!r} is not handed to math-verify")
    exact = _DECIMAL.sub(lambda match: _latex_fraction(match[0]), text)
    exact = _IMAGINARY.sub("I", exact)
    try:
        formula = _parser_class()().parse(exact)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # its parser raises plain Exception
        raise UnreadableFormula(f"math-verify cannot read {text[:40]!r}") from error
    if not sympy_safety.is_safe_to_evaluate(formula):
        raise UnreadableFormula(f"{text[:40]!r} is too large, or no formula")
    return formula


@functools.lru_cache(maxsize=1)
def _parser_class() -> Any:
    """Derives math-verify's parser with another way to read numbers.

    Its own hands them to `sympy.Number`, which ends in Python's `eval` of the digits.
    """
    import sympy
    from latex2sympy2_extended import latex2sympy2

    class Parser(latex2sympy2._Latex2Sympy):
        def __init__(self):
            config = latex2sympy2.ConversionConfig(lowercase_symbols=False)
            super().__init__(is_real=True, config=config)

        def parse_number(self, text: str):
            value = parse_rational(text.replace(",", ""))
            if value is None:
                raise ValueError(f"{text!r} is no number")
            return sympy.Rational(value.numerator, value.denominator)

    return Parser


def _latex_fraction(decimal: str) -> str:
    value = Fraction(decimal)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


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
    symbols = _list_symbols(expected, found)
    return not _are_near(_value_at(expected, symbols, 0), _value_at(found, symbols, 0))


def _are_equal_equations(expected: Any, found: Any) -> bool:
    """Returns True if two equations are multiples of each other.

    Math-verify would call any two without solutions the same.
    """
    import sympy

    symbols = _list_symbols(expected, found)
    ratio = (expected.lhs - expected.rhs) / (found.lhs - found.rhs)
    if not _are_near(_value_at(ratio, symbols, 0), _value_at(ratio, symbols, 1)):
        return False
    ratio = sympy.simplify(ratio)
    return bool(ratio.is_number and ratio.is_finite and ratio.is_nonzero)


def _are_near(expected: Any, value: Any) -> bool:
    """Returns True if two numbers are as good as equal; an unknown one is near to any."""
    if expected is None or value is None:
        return True
    return abs(expected - value) <= abs(expected) * _RELATIVE_TOLERANCE


def _list_symbols(expected: Any, found: Any) -> list:
    return sorted(expected.free_symbols | found.free_symbols, key=str)


def _value_at(formula: Any, symbols: list, point_index: int) -> Any:
    """Evaluates a formula at one of a few points, where only by chance different formulas meet."""
    point = {
        symbol: Fraction(1237 + 191 * index + 977 * point_index, 1009)
        for index, symbol in enumerate(symbols)
    }
    return evaluate_formula(formula, point, digits=_DIGITS)
