"""Numeric evaluation of sympy formulas in linear time; sympy's own `evalf` takes far longer.

>>> import sympy
>>> x = sympy.Symbol("x")
>>> complex(evaluate_formula(sympy.sqrt(2) * x, {x: 3}, digits=20))
(4.242640687119285+0j)
>>> evaluate_formula(sympy.Function("f")(x), {x: 3}, digits=20) is None
True
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

_RELATIVE_TOLERANCE = 1e-10
_DIGITS = 30  # of values that are compared
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc asin acos atan sinh cosh tanh log exp factorial".split()
)


def evaluate_formula(formula: Any, point: Mapping, *, digits: int) -> Any:
    """Evaluates a formula in floating point.

    Args:
      formula: a sympy expression.
      point: a number for each of its symbols.
      digits: decimal digits of the arithmetic.

    Returns:
      An mpmath complex number; None where the formula has no finite value there or holds what is
      not evaluated here.
    """
    import mpmath

    with mpmath.workdps(digits):
        try:
            value = mpmath.mpc(_evaluate(formula, point))
        except (ArithmeticError, ValueError, KeyError):
            return None
        return value if mpmath.isfinite(value) else None


def evaluate_real_formula(formula: Any, *, digits: int) -> Fraction | None:
    """Evaluates a formula without symbols to `digits` decimal digits; None if it is not real."""
    import mpmath

    value = evaluate_formula(formula, {}, digits=digits)
    return None if value is None or value.imag else Fraction(str(mpmath.nstr(value.real, digits)))


def list_symbols(*formulas: Any) -> list:
    """Returns the symbols of some formulas, sorted by name."""
    return sorted(set().union(*(formula.free_symbols for formula in formulas)), key=str)


def evaluate_at_point(formula: Any, symbols: list, point_index: int = 0) -> Any:
    """Evaluates a formula at one of a few points, where only by chance different formulas meet."""
    point = {
        symbol: Fraction(1237 + 191 * index + 977 * point_index, 1009)
        for index, symbol in enumerate(symbols)
    }
    return evaluate_formula(formula, point, digits=_DIGITS)


def are_near(expected: Any, value: Any) -> bool:
    """Returns True if two numbers are as good as equal; an unknown one is near to any."""
    if expected is None or value is None:
        return True
    return abs(expected - value) <= abs(expected) * _RELATIVE_TOLERANCE


def _evaluate(formula: Any, point: Mapping) -> Any:
    import mpmath
    import sympy

    # Leaves: symbols, rationals, constants.
    if formula.is_Symbol:
        return _to_mpmath(point[formula])
    if formula.is_Rational:
        return _to_mpmath(formula)
    constants = {sympy.pi: mpmath.pi, sympy.E: mpmath.e, sympy.I: mpmath.j}
    if formula in constants:
        return +constants[formula]

    # Operations and functions of parts.
    parts = [_evaluate(part, point) for part in formula.args]
    if formula.is_Add:
        return mpmath.fsum(parts)
    if formula.is_Mul:
        return mpmath.fprod(parts)
    if formula.is_Pow:
        return mpmath.power(*parts)
    if isinstance(formula, sympy.Abs):
        return mpmath.fabs(parts[0])
    name = type(formula).__name__
    if name not in _FUNCTIONS:
        raise KeyError(name)
    return getattr(mpmath, name)(*parts)


def _to_mpmath(rational: Any) -> Any:
    import mpmath
    import sympy

    numerator, denominator = sympy.Rational(rational).as_numer_denom()
    return mpmath.mpf(int(numerator)) / int(denominator)
