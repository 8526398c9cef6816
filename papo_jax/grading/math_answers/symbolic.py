r"""Equality of two formulas by math-verify, for what `admission` lets through; sympy is imported at
the first call.

Only its LaTeX parser is used, which builds a formula without working it out, and not for numbers;
its other ways in hand text to sympy's `parse_expr`, which evaluates Python.

Source: math-verify, Kydlicek et al., https://github.com/huggingface/Math-Verify.
"""

import functools
import logging
import re
from fractions import Fraction

from papo_jax.grading.math_answers import admission, numeric, rationals

_NEAR = 1e-10  # relative
_DIGITS = 30
_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")


class Unreadable(Exception):
    """math-verify's parser makes nothing of a formula, or it is too large to be worked with."""


def equal(gold: str, answer: str) -> bool:
    r"""Whether two formulas are equal; the gold answer comes first, as math-verify wants it.

    An answer with sums, products or powers of plain numbers left to work out is not equal to a gold
    without any.

    Args:
      gold: the right answer, as `latex.canonical` writes it.
      answer: the other, likewise.

    Raises:
      Unreadable: if the gold cannot be used; an answer that cannot be is not equal.

    >>> (
    ...     equal(r"6\sqrt{2}", r"2\sqrt{18}"),
    ...     equal("x^2-1", "(x-1)(x+1)"),
    ...     equal(r"6\sqrt{2}", r"(2+4)\sqrt{2}"),
    ... )
    (True, True, False)
    """
    expected = _parsed(gold)
    try:
        found = _parsed(answer)
    except Unreadable:
        return False
    if admission.is_unfinished(found) and not admission.is_unfinished(expected):
        return False
    if expected.is_Relational != found.is_Relational:
        return False
    if expected.is_Relational:
        return _same_equation(expected, found)
    if _apart(expected, found):
        return False
    return _math_verify().verify(expected, found, timeout_seconds=None, raise_on_error=True)


def is_about(gold: str, decimal: str) -> bool:
    r"""Whether a decimal is a formula's value to at least six digits and to all that it has.

    Args:
      gold: the formula, such as "2\\pi".
      decimal: such as "6.28319".

    Raises:
      Unreadable: if the formula cannot be used.

    >>> (is_about(r"2\pi", "6.28319"), is_about(r"2\pi", "6.28"), is_about("2x", "6.28319"))
    (True, False, False)
    """
    value = numeric.real_value(_parsed(gold), digits=len(decimal) + _DIGITS)
    return value is not None and rationals.stands_for(decimal, value)


@functools.lru_cache(maxsize=1)
def _math_verify():
    """The package; its note that timeouts are off is silenced, for a process that grades has a
    deadline of its own."""
    import math_verify

    logging.getLogger("math_verify.grader").setLevel(logging.ERROR)
    return math_verify


@functools.lru_cache(maxsize=512)
def _parsed(text: str):
    """A sympy formula, not worked out, with exact fractions for decimals and with i for the
    imaginary unit."""
    if not admission.admits(text):
        raise Unreadable(f"{text[:40]!r} is not handed to math-verify")
    exact = _DECIMAL.sub(lambda match: _as_fraction(match[0]), text)
    exact = _IMAGINARY.sub("I", exact)
    try:
        formula = _reader()().parse(exact)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # its parser raises plain Exception
        raise Unreadable(f"math-verify cannot read {text[:40]!r}") from error
    if not admission.is_small(formula):
        raise Unreadable(f"{text[:40]!r} is too large, or no formula")
    return formula


@functools.lru_cache(maxsize=1)
def _reader():
    """math-verify's parser, but for numbers, which it hands to `sympy.Number`: that ends in
    Python's `eval` of the digits."""
    import sympy
    from latex2sympy2_extended import latex2sympy2

    class Reader(latex2sympy2._Latex2Sympy):
        def __init__(self):
            super().__init__(
                is_real=True, config=latex2sympy2.ConversionConfig(lowercase_symbols=False)
            )

        def parse_number(self, text: str):
            value = rationals.read(text.replace(",", ""))
            if value is None:
                raise ValueError(f"{text!r} is no number")
            return sympy.Rational(value.numerator, value.denominator)

    return Reader


def _as_fraction(decimal: str) -> str:
    value = Fraction(decimal)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _apart(gold, found) -> bool:
    """Whether two formulas have different values at a point, which settles most wrong answers in a
    millisecond.

    It also keeps apart what is smaller than 1e-15, for math-verify takes all of that for zero.
    """
    names = _names(gold, found)
    return not _near(_at(gold, names, 0), _at(found, names, 0))


def _same_equation(gold, found) -> bool:
    """Whether two equations are multiples of each other; math-verify would call any two without
    solutions the same."""
    import sympy

    names = _names(gold, found)
    ratio = (gold.lhs - gold.rhs) / (found.lhs - found.rhs)
    if not _near(_at(ratio, names, 0), _at(ratio, names, 1)):
        return False
    ratio = sympy.simplify(ratio)
    return bool(ratio.is_number and ratio.is_finite and ratio.is_nonzero)


def _near(expected, value) -> bool:
    """Whether two numbers are as good as equal; one that is not known is near to any."""
    return expected is None or value is None or abs(expected - value) <= abs(expected) * _NEAR


def _names(gold, found) -> list:
    return sorted(gold.free_symbols | found.free_symbols, key=str)


def _at(formula, names: list, number: int):
    """A formula's value at one of a few points, where nothing but luck would make different
    formulas meet."""
    point = {
        name: Fraction(1237 + 191 * place + 977 * number, 1009) for place, name in enumerate(names)
    }
    return numeric.value(formula, point, digits=_DIGITS)
