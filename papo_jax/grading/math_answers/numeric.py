"""The value of a sympy formula at a point, in time that is linear in its size; sympy's own `evalf`
takes far longer.

>>> import sympy
>>> x = sympy.Symbol("x")
>>> (
...     complex(value(sympy.sqrt(2) * x, {x: 3}, digits=20)),
...     value(sympy.Function("f")(x), {x: 3}, digits=20),
... )
((4.242640687119285+0j), None)
"""

from collections.abc import Mapping
from fractions import Fraction

_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc asin acos atan sinh cosh tanh log exp factorial".split()
)


def value(formula, point: Mapping, *, digits: int):
    """Works a formula out in floating point.

    Args:
      formula: a sympy expression.
      point: a number for each of its symbols.
      digits: decimal digits of the arithmetic.

    Returns:
      An mpmath complex number; None where the formula has no finite value there or holds what is
      not worked out here.
    """
    import mpmath

    with mpmath.workdps(digits):
        try:
            found = mpmath.mpc(_value(formula, point))
        except (ArithmeticError, ValueError, KeyError):
            return None
        return found if mpmath.isfinite(found) else None


def real_value(formula, *, digits: int) -> Fraction | None:
    """The value of a formula without symbols, to `digits` decimal digits; None if it is not
    real."""
    import mpmath

    found = value(formula, {}, digits=digits)
    return None if found is None or found.imag else Fraction(mpmath.nstr(found.real, digits))


def _value(formula, point: Mapping):
    import mpmath
    import sympy

    if formula.is_Symbol:
        return _number(point[formula])
    if formula.is_Rational:
        return _number(formula)
    constants = {sympy.pi: mpmath.pi, sympy.E: mpmath.e, sympy.I: mpmath.j}
    if formula in constants:
        return +constants[formula]
    parts = [_value(part, point) for part in formula.args]
    if formula.is_Add:
        return mpmath.fsum(parts)
    if formula.is_Mul:
        return mpmath.fprod(parts)
    if formula.is_Pow:
        return mpmath.power(*parts)
    if isinstance(formula, sympy.Abs):
        return mpmath.fabs(parts[0])
    return getattr(mpmath, _known(type(formula).__name__))(*parts)


def _known(name: str) -> str:
    if name not in _FUNCTIONS:
        raise KeyError(name)
    return name


def _number(rational):
    import mpmath
    import sympy

    exact = sympy.Rational(rational)
    return mpmath.mpf(int(exact.p)) / int(exact.q)
