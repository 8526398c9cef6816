r"""Equality of two formulas by math-verify, for what `admits` lets through; sympy is imported at the first call.

Only its LaTeX parser is used, which builds a formula without working it out; its other ways in hand text to sympy's
`parse_expr`, which evaluates Python. Words never come here, and of commands only those listed, so that sums, integrals,
binomials and matrices, which are worked out while they are read, never do either.

Source: math-verify, Kydlicek et al., https://github.com/huggingface/Math-Verify.
"""

import functools
import logging
import math
import re
from fractions import Fraction

from papo_jax.grading import rationals, structure

LONGEST = 300  # characters of a formula
_BITS = 4000  # of any number that a formula comes to
_TERMS = 5000  # that a formula has when it is multiplied out, counted without merging any
_LARGEST_FACTORIAL = 200
_MOST_BARS = 6  # whose pairing takes the parser a time that doubles with each
_NEAR = 1e-10  # relative
_COMMANDS = frozenset(
    "frac sqrt pi cdot times div sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp "
    "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi varphi chi psi omega Delta Omega Phi".split()
)
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_CHARACTERS = re.compile(r"[0-9A-Za-z+\-*/^_(){}|!.,=' ]*")
_LONG_WORD = re.compile(r"[A-Za-z]{4,}")
_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")
_ODD_ROOT = re.compile(r"\\sqrt\[(?![0-9]{1,2}\]|[a-z]\])")
_TOWER = re.compile(r"\^(?:\{[^A-Za-z\\]*[\^!]|[0-9A-Za-z]+[\^!])")


class Unreadable(Exception):
    """math-verify's parser makes nothing of a formula, or it is too large to be worked with."""


def admits(text: str) -> bool:
    r"""Whether a formula is short, flat and simple enough to be handed to math-verify.

    Args:
      text: as `latex.canonical` writes it.

    >>> [admits(text) for text in (r"2\sqrt{3}+x^2", "9^{9^9}", r"\sum_{n=1}^9n", "«apples»")]
    [True, False, False, False]
    """
    if len(text) > LONGEST or rationals.has_long_number(text) or _TOWER.search(text) or _ODD_ROOT.search(text):
        return False
    if structure.is_deep(text) or text.count("|") > _MOST_BARS or not set(_COMMAND.findall(text)) <= _COMMANDS:
        return False
    bare = _COMMAND.sub(" ", text).replace("[", "(").replace("]", ")")
    return bool(text and _CHARACTERS.fullmatch(bare)) and not _LONG_WORD.search(bare)


def equal(gold: str, answer: str) -> bool:
    r"""Whether two formulas are equal; the gold answer comes first, as math-verify wants it.

    An answer with sums, products or powers of plain numbers left to work out is not equal to a gold without any.

    Args:
      gold: the right answer, as `latex.canonical` writes it.
      answer: the other, likewise.

    Raises:
      Unreadable: if the gold cannot be used; an answer that cannot be is not equal.

    >>> equal(r"6\sqrt{2}", r"2\sqrt{18}"), equal("x^2-1", "(x-1)(x+1)"), equal(r"6\sqrt{2}", r"(2+4)\sqrt{2}")
    (True, True, False)
    """
    expected = _parsed(gold)
    try:
        found = _parsed(answer)
    except Unreadable:
        return False
    if expected.is_Relational != found.is_Relational or (_unfinished(found) and not _unfinished(expected)):
        return False
    if expected.is_Relational:
        return _same_equation(expected, found)
    return not _apart(expected, found) and _math_verify().verify(expected, found, timeout_seconds=None, raise_on_error=True)


def is_about(gold: str, decimal: str) -> bool:
    r"""Whether a decimal is a formula's value to at least six digits and to all that it has.

    Args:
      gold: the formula, such as "2\\pi".
      decimal: such as "6.28319".

    Raises:
      Unreadable: if the formula cannot be used.

    >>> is_about(r"2\pi", "6.28319"), is_about(r"2\pi", "6.28"), is_about("2x", "6.28319")
    (True, False, False)
    """
    formula = _parsed(gold)
    if formula.free_symbols:
        return False
    value = formula.evalf(len(decimal) + 5)
    return bool(value.is_Float) and rationals.stands_for(decimal, Fraction(str(value)))


@functools.lru_cache(maxsize=1)
def _math_verify():
    """The package; its note that timeouts are off is silenced, for the process that grades has a deadline of its own."""
    import math_verify

    logging.getLogger("math_verify.grader").setLevel(logging.ERROR)
    return math_verify


@functools.lru_cache(maxsize=512)
def _parsed(text: str):
    """A sympy formula, not worked out, with exact fractions for decimals and with i for the imaginary unit."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

    if not admits(text):
        raise Unreadable(f"{text[:40]!r} is not handed to math-verify")
    exact = _DECIMAL.sub(lambda match: _as_fraction(match[0]), text)
    exact = _IMAGINARY.sub("I", exact)
    try:
        formula = latex2sympy(exact, is_real=True, normalization_config=None, conversion_config=ConversionConfig(lowercase_symbols=False))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # its parser raises plain Exception
        raise Unreadable(f"math-verify cannot read {text[:40]!r}") from error
    if not hasattr(formula, "free_symbols") or _bits(formula) > _BITS or _terms(formula) > _TERMS:
        raise Unreadable(f"{text[:40]!r} is too large")
    return formula


def _as_fraction(decimal: str) -> str:
    value = Fraction(decimal)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _unfinished(formula) -> bool:
    """Whether a sum, product, power or factorial of plain numbers is left to work out."""
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


def _bits(formula) -> float:
    """About how many bits the largest number takes when a formula is worked out; infinite beyond any use."""
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
        return 0 if argument.free_symbols or (argument.is_Integer and argument <= _LARGEST_FACTORIAL) else float("inf")
    if isinstance(formula, sympy.exp):
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
        return float(inner[0]) ** min(abs(formula.exp.p), 100)
    return max(inner, default=1)


def _apart(gold, found) -> bool:
    """Whether two formulas have different values at a point, which settles most wrong answers in a millisecond.

    It also keeps apart what is smaller than 1e-15, for math-verify takes all of that for zero.
    """
    names = sorted(gold.free_symbols | found.free_symbols, key=str)
    expected, value = _at(gold, names, 0), _at(found, names, 0)
    return expected is not None and value is not None and abs(expected - value) > abs(expected) * _NEAR


def _same_equation(gold, found) -> bool:
    """Whether two equations are multiples of each other; math-verify would call any two without solutions the same."""
    import sympy

    names = sorted(gold.free_symbols | found.free_symbols, key=str)
    ratio = (gold.lhs - gold.rhs) / (found.lhs - found.rhs)
    here, there = _at(ratio, names, 0), _at(ratio, names, 1)
    if here is None or there is None or abs(here - there) > abs(here) * _NEAR:
        return False
    ratio = sympy.simplify(ratio)
    return bool(ratio.is_number and ratio.is_finite and ratio.is_nonzero)


def _at(formula, names: list, number: int):
    """A formula's value at one of a few points, to 20 digits; None if it has none there."""
    import sympy

    point = {name: sympy.Rational(1237 + 191 * place + 977 * number, 1009) for place, name in enumerate(names)}
    value = formula.evalf(20, subs=point)
    return value if value.is_number and value.is_finite else None
