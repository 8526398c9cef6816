r"""Safety limits on formulas handed to sympy: short, flat, small, and of harmless commands alone.

Of LaTeX's commands only those listed are let in, so that sums, integrals, binomials and matrices,
which would be evaluated while they are parsed, never are. Of what has been parsed, nothing is
evaluated before its size has been bounded.
"""

import math
import re
from typing import Any

from papo_jax.grading.math_answers.parsed_answer import is_deeply_nested
from papo_jax.grading.math_answers.rationals import has_long_number

_MAX_CHARACTERS = 300  # of a formula
_MAX_BITS = 10_000  # of any number that a formula comes to
_MAX_TERMS = 5000  # that a formula has when it is multiplied out, counted without merging any
_MAX_FACTORIAL = 200
_MAX_BARS = 6  # whose pairing takes the parser a time that doubles with each
_COMMANDS = frozenset(
    """frac sqrt pi cdot times div sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log
    ln exp alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi varphi chi psi omega
    Delta Omega Phi""".split()
)
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_CHARACTERS = re.compile(r"[0-9A-Za-z+\-*/^_(){}|!.=' ]*")
_LONG_WORD = re.compile(r"[A-Za-z]{4,}")
_ODD_ROOT = re.compile(r"\\sqrt\[(?![0-9]{1,2}\]|[a-z]\])")
_TOWER = re.compile(r"\^(?:\{(?:[^{}A-Za-z\\]|\{[^{}]*\})*[\^!]|[0-9A-Za-z]+[\^!])")


def is_safe_to_parse(text: str) -> bool:
    r"""Returns True if a formula is short, flat and simple enough to be handed to math-verify.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    >>> is_safe_to_parse(r"2\sqrt{3}+x^2")
    True
    >>> [is_safe_to_parse(text) for text in ("9^{9^9}", r"\sum_{n=1}^9n", "«apples»")]
    [False, False, False]
    """
    if len(text) > _MAX_CHARACTERS or has_long_number(text):
        return False
    if _TOWER.search(text) or _ODD_ROOT.search(text):
        return False
    if is_deeply_nested(text) or text.count("|") > _MAX_BARS:
        return False
    if not set(_COMMAND.findall(text)) <= _COMMANDS:
        return False
    bare = _COMMAND.sub(" ", text).replace("[", "(").replace("]", ")")
    return bool(text and _CHARACTERS.fullmatch(bare)) and not _LONG_WORD.search(bare)


def is_safe_to_evaluate(formula: Any) -> bool:
    """Returns True for a sympy formula or equation that is quickly evaluated and multiplied out."""
    import sympy

    if not isinstance(formula, (sympy.Expr, sympy.Eq)):
        return False
    return _estimate_bits(formula) <= _MAX_BITS and count_terms(formula) <= _MAX_TERMS


def _estimate_bits(formula: Any) -> float:
    """Estimates the bits of the largest number on the way to a formula's value.

    It is infinite beyond any use.
    """
    import sympy

    if formula.is_Rational:
        return max(abs(formula.p).bit_length(), formula.q.bit_length())
    parts = formula.args
    inner = [_estimate_bits(part) for part in parts]
    if formula.is_Mul:
        return sum(inner)
    if formula.is_Pow:
        power = abs(formula.exp.p) if formula.exp.is_Rational else 2.0 ** min(inner[1], 100)
        return max(inner[0], 1) * max(power, 1)
    if isinstance(formula, sympy.factorial):
        argument = parts[0]
        if argument.free_symbols or (argument.is_Integer and argument <= _MAX_FACTORIAL):
            return 0
        return math.inf
    if isinstance(formula, (sympy.exp, sympy.sinh, sympy.cosh, sympy.tanh)):
        return 2.0 ** min(inner[0], 100)
    return max(inner, default=1) + len(inner)


def count_terms(formula: Any) -> float:
    """Counts the terms that a sympy formula has when it is multiplied out."""
    inner = [count_terms(part) for part in formula.args]
    if formula.is_Add:
        return sum(inner)
    if formula.is_Mul:
        return math.prod(inner)
    if formula.is_Pow and formula.exp.is_Rational and inner[0] > 1:
        return 2.0 ** min(math.log2(inner[0]) * min(abs(formula.exp.p), 100), 100)
    return max(inner, default=1)
