r"""Parser of formulas: math-verify's, for what `sympy_safety` lets through.

It builds a formula without evaluating it; math-verify's other ways in hand text to sympy's
`parse_expr`, which evaluates Python. Sympy is imported at the first call.

Source: math-verify, Kydlicek et al., https://github.com/huggingface/Math-Verify.
"""

import functools
import re
from fractions import Fraction
from typing import Any

from papo_jax.grading.math_answers import sympy_safety
from papo_jax.grading.math_answers.rationals import parse_rational

_DECIMAL = re.compile(r"[0-9]*\.[0-9]+")
# Math-verify takes 3(4) and (3)(4) for mixed numbers.
_PRODUCT = re.compile(r"((?<![\^_0-9.])[0-9.]+|\))\(")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")


class UnreadableFormula(Exception):
    """Raised where math-verify cannot parse a formula, or it is too large to be evaluated."""


@functools.lru_cache(maxsize=512)
def parse_formula(text: str) -> Any:
    """Returns a sympy formula, not evaluated.

    Decimals are exact fractions in it, and i is the imaginary unit.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    Raises:
      UnreadableFormula: if math-verify cannot read it, or it would take too long to evaluate.
    """
    if not sympy_safety.is_safe_to_parse(text):
        raise UnreadableFormula(f"{text[:40]!r} is not handed to math-verify")
    exact = _DECIMAL.sub(lambda match: _latex_fraction(match[0]), text)
    exact = _PRODUCT.sub(r"\1\\cdot(", _IMAGINARY.sub("I", exact))
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
