r"""Which formulas are handed to sympy: what is short, flat and small, and only commands that are
known to be harmless.

Of LaTeX's commands only those listed are let in, so that sums, integrals, binomials and matrices,
which would be worked out while they are read, never are. Of what has been read, nothing is worked
out before its size has been bounded.
"""

import math
import re

from papo_jax.grading.math_answers import rationals, structure

LONGEST = 300  # characters of a formula
_BITS = 10_000  # of any number that a formula comes to
_TERMS = 5000  # that a formula has when it is multiplied out, counted without merging any
_LARGEST_FACTORIAL = 200
_MOST_BARS = 6  # whose pairing takes the parser a time that doubles with each
_COMMANDS = frozenset(
    "frac sqrt pi cdot times div sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp "
    "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi varphi chi psi omega Delta Omega Phi".split()
)
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_CHARACTERS = re.compile(r"[0-9A-Za-z+\-*/^_(){}|!.=' ]*")
_LONG_WORD = re.compile(r"[A-Za-z]{4,}")
_ODD_ROOT = re.compile(r"\\sqrt\[(?![0-9]{1,2}\]|[a-z]\])")
_TOWER = re.compile(r"\^(?:\{(?:[^{}A-Za-z\\]|\{[^{}]*\})*[\^!]|[0-9A-Za-z]+[\^!])")


def admits(text: str) -> bool:
    r"""Whether a formula is short, flat and simple enough to be handed to math-verify.

    Args:
      text: as `latex.canonical` writes it.

    >>> [admits(text) for text in (r"2\sqrt{3}+x^2", "9^{9^9}", r"\sum_{n=1}^9n", "«apples»")]
    [True, False, False, False]
    """
    if (
        len(text) > LONGEST
        or rationals.has_long_number(text)
        or _TOWER.search(text)
        or _ODD_ROOT.search(text)
    ):
        return False
    if (
        structure.is_deep(text)
        or text.count("|") > _MOST_BARS
        or not set(_COMMAND.findall(text)) <= _COMMANDS
    ):
        return False
    bare = _COMMAND.sub(" ", text).replace("[", "(").replace("]", ")")
    return bool(text and _CHARACTERS.fullmatch(bare)) and not _LONG_WORD.search(bare)


def is_unfinished(formula) -> bool:
    """Whether a sum, product, power or factorial of plain numbers is left to work out in a sympy
    formula."""
    import sympy

    for node in sympy.preorder_traversal(formula):
        numbers = [part for part in node.args if part.is_Number and part != -1]
        if (node.is_Add or node.is_Mul) and len(numbers) > 1:
            return True
        if node.is_Pow and node.base.is_Rational and node.exp.is_Integer and node.exp > 1:
            return True
        if isinstance(node, sympy.factorial) and numbers:
            return True
    return False


def is_small(formula) -> bool:
    """Whether what was read is a sympy formula or equation that can be worked out and multiplied
    out in little time."""
    import sympy

    if not isinstance(formula, (sympy.Expr, sympy.Eq)):
        return False
    return _bits(formula) <= _BITS and _terms(formula) <= _TERMS


def _bits(formula) -> float:
    """About how many bits the largest number takes when a formula is worked out; infinite beyond
    any use."""
    import sympy

    if formula.is_Rational:
        return max(abs(formula.p).bit_length(), formula.q.bit_length())
    inner = [_bits(part) for part in formula.args]
    if formula.is_Mul:
        return sum(inner)
    if formula.is_Pow:
        power = abs(formula.exp.p) if formula.exp.is_Rational else 2.0 ** min(inner[1], 100)
        return max(inner[0], 1) * max(power, 1)
    if isinstance(formula, sympy.factorial):
        argument = formula.args[0]
        return (
            0
            if argument.free_symbols or (argument.is_Integer and argument <= _LARGEST_FACTORIAL)
            else float("inf")
        )
    if isinstance(formula, (sympy.exp, sympy.sinh, sympy.cosh, sympy.tanh)):
        return 2.0 ** min(inner[0], 100)
    return max(inner, default=1) + len(inner)


def _terms(formula) -> float:
    """How many terms a formula has when it is multiplied out."""
    inner = [_terms(part) for part in formula.args]
    if formula.is_Add:
        return sum(inner)
    if formula.is_Mul:
        return math.prod(inner)
    if formula.is_Pow and formula.exp.is_Rational and inner[0] > 1:
        return 2.0 ** min(math.log2(inner[0]) * min(abs(formula.exp.p), 100), 100)
    return max(inner, default=1)
