r"""Values of formulas as texts, in linear time.

>>> write_formula_value(r"\frac{\sqrt{3}}{3}"), write_formula_value(r"\frac{1}{1+\sqrt{2}}")
('\\frac{1}{3}\\sqrt{3}', '0.414213562373')
>>> write_formula_value(r"\sin2x") == write_formula_value(r"2\sin x\cos x")
True
"""

import math
from fractions import Fraction
from typing import Any

from papo_jax.grading.math_answers.formula_parser import parse_formula
from papo_jax.grading.math_answers.latex.canonical_latex import canonicalize_latex
from papo_jax.grading.math_answers.numeric_evaluation import evaluate_formula, list_symbols
from papo_jax.grading.math_answers.sympy_safety import count_terms

_DIGITS = 30  # of the arithmetic; half of them have to agree with a fraction
_SHOWN_DIGITS = 12
_MAX_DENOMINATOR = 10**5
_MAX_RADICAND = 10**9
_MAX_TERMS = 64  # of a polynomial that is multiplied out


def write_formula_value(text: str, factor: Fraction = Fraction(1)) -> str:
    """Writes the value of a formula.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.
      factor: that multiplies it.

    Returns:
      A number such as 2\\sqrt{3}, else its decimals; a polynomial multiplied out; the values of
      another formula with symbols at two points.

    Raises:
      formula_parser.UnreadableFormula: if it cannot be evaluated here.
      ValueError: if it has no finite value.
    """
    import sympy

    formula = parse_formula(text)
    symbols = list_symbols(formula)
    if symbols and factor == 1 and formula.is_polynomial() and count_terms(formula) <= _MAX_TERMS:
        return canonicalize_latex(sympy.latex(sympy.expand(formula)))
    points = (0, 1) if symbols else (0,)
    values = [_evaluate(formula, symbols, factor, point) for point in points]
    if not symbols:
        return values[0]
    names = ", ".join(map(str, symbols))
    return f"f({names}): {'; '.join(values)}"


def _evaluate(formula: Any, symbols: list, factor: Fraction, point_index: int) -> str:
    """Evaluates a formula at a point that depends on nothing but the names of its symbols."""
    import mpmath

    point = {
        symbol: Fraction(1237 + 191 * (sum(str(symbol).encode()) % 97) + 977 * point_index, 1009)
        for symbol in symbols
    }
    value = evaluate_formula(formula, point, digits=_DIGITS)
    if value is None:
        raise ValueError("no finite value")
    with mpmath.workdps(_DIGITS):
        value *= mpmath.mpf(factor.numerator) / factor.denominator
        real = _write_real(value.real)
        imaginary = _write_real(value.imag)
    if imaginary == "0":
        return real
    return f"{real}+({imaginary})i"


def _write_real(value: Any) -> str:
    """Writes a number as a fraction, a multiple of pi or of a root, or in decimals."""
    import mpmath

    if abs(value) < mpmath.mpf(10) ** (-_DIGITS // 2):
        return "0"
    for base, name in ((mpmath.mpf(1), ""), (mpmath.pi, r"\pi")):
        fraction = _find_fraction(value / base)
        if fraction is not None:
            return _write_multiple(fraction, name)
    square = _find_fraction(value * value)
    if square is None or square.numerator * square.denominator > _MAX_RADICAND:
        return str(mpmath.nstr(value, _SHOWN_DIGITS))
    root, radicand = _extract_square(square.numerator * square.denominator)
    sign = -1 if value < 0 else 1
    return _write_multiple(Fraction(sign * root, square.denominator), rf"\sqrt{{{radicand}}}")


def _write_multiple(fraction: Fraction, name: str) -> str:
    if not name or fraction == 0:
        return str(fraction)
    sign, size = "-" if fraction < 0 else "", abs(fraction)
    if size.denominator == 1:
        return f"{sign}{'' if size == 1 else size}{name}"
    return rf"{sign}\frac{{{size.numerator}}}{{{size.denominator}}}{name}"


def _find_fraction(value: Any) -> Fraction | None:
    """Returns the fraction with a small denominator that a number is to half of its digits."""
    import mpmath

    if abs(value) > 10**12:
        return None
    exact = Fraction(str(mpmath.nstr(value, _DIGITS)))
    fraction = exact.limit_denominator(_MAX_DENOMINATOR)
    is_near = abs(exact - fraction) <= abs(exact) / 10 ** (_DIGITS // 2 + 3)
    return fraction if is_near else None


def _extract_square(number: int) -> tuple[int, int]:
    """Returns the largest square's root that divides a number, and what is left."""
    root, rest = 1, number
    for prime in range(2, math.isqrt(number) + 1):
        while rest % (prime * prime) == 0:
            root, rest = root * prime, rest // (prime * prime)
        if prime * prime > rest:
            break
    return root, rest
