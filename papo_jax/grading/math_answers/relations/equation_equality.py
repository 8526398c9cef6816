r"""Equality of two relations: the same solutions, as the difference of the sides tells.

>>> from papo_jax.grading.math_answers.formula_parser import parse_formula
>>> are_equal_equations(parse_formula("x+2y-3=0"), parse_formula(r"y=\frac{3-x}{2}"))
True
>>> are_equal_equations(parse_formula("xy=6"), parse_formula(r"y=\frac{6}{x}"))
True
>>> are_equal_inequalities("x+2y<6", "12>2x+4y"), are_equal_inequalities("x+y<6", "x+y>6")
(True, False)
"""

import re
from typing import Any

from papo_jax.grading.math_answers.formula_parser import UnreadableFormula, parse_formula
from papo_jax.grading.math_answers.numeric_evaluation import (
    are_near,
    evaluate_at_point,
    list_symbols,
)

_RELATION = re.compile(r"<|>|\\(?:le|ge|ne)(?![A-Za-z])")
_MIRRORED = {">": "<", r"\ge": r"\le"}


def are_equal_equations(expected: Any, found: Any) -> bool:
    """Returns True if two equations are multiples of each other, without their denominators.

    Math-verify would call any two without solutions the same.

    Args:
      expected: a sympy equation.
      found: another one.
    """
    import sympy

    sides = [sympy.together(equation.lhs - equation.rhs) for equation in (expected, found)]
    if found.rhs - found.lhs == 0:
        return False
    numerators = [sympy.fraction(side)[0] for side in sides]
    return _find_constant_ratio(*numerators) is not None


def are_equal_inequalities(reference: str, answer: str) -> bool:
    """Returns True if two inequalities are multiples of each other, in the same direction.

    Args:
      reference: with one sign of relation, as `canonical_latex.canonicalize_latex` writes it.
      answer: likewise; a text that is not so is not equal.
    """
    try:
        expected, found = _subtract_sides(reference), _subtract_sides(answer)
    except UnreadableFormula:
        return False
    if expected is None or found is None or expected[0] != found[0]:
        return False
    ratio = _find_constant_ratio(expected[1], found[1])
    return ratio is not None and (expected[0] == r"\ne" or bool(ratio.is_positive))


def _subtract_sides(text: str) -> tuple[str, Any] | None:
    """Returns "<" and the left side less the right one, of a relation that is turned so."""
    relations = _RELATION.findall(text)
    if len(relations) != 1:
        return None
    left, right = (parse_formula(side) for side in _RELATION.split(text))
    if left.is_Relational or right.is_Relational:
        return None
    if relations[0] in _MIRRORED:
        return _MIRRORED[relations[0]], right - left
    return relations[0], left - right


def _find_constant_ratio(expected: Any, found: Any) -> Any:
    """Returns the number that one formula is times the other, or None if there is none."""
    import sympy

    symbols, ratio = list_symbols(expected, found), expected / found
    if not are_near(evaluate_at_point(ratio, symbols), evaluate_at_point(ratio, symbols, 1)):
        return None
    ratio = sympy.simplify(ratio)
    return ratio if ratio.is_number and ratio.is_finite and ratio.is_nonzero else None
