r"""Grader "approximate": a measured or computed number within one per cent of the reference.

Source: the rule for numeric answers of Minerva, Lewkowycz et al. 2022, arXiv 2206.14858, as we read
it: within 1 % of the reference, relative to it. A reference of zero has to be met exactly.

>>> answer = r"so $L \approx \boxed{4.48 \times 10^{33} \text{ erg/s}}$"
>>> judge_approximate("4.5e33", answer).verdict
'right'
>>> judge_approximate("4.5e33", "Answer: 4.6e33").verdict
'wrong'
>>> judge_approximate("4.5e33", "Answer: 4.5e33 or 4.6e33").verdict
'wrong'
"""

import re
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading.final_answer import TAIL_CHARACTERS
from papo_jax.grading.judgment import ERROR, MAX_ANSWER_CHARACTERS, RIGHT, WRONG, Judgment
from papo_jax.grading.math_answers.answer_extraction import extract_math_answer
from papo_jax.grading.math_answers.canonical_latex import canonicalize_latex
from papo_jax.grading.math_answers.rationals import parse_rational

_TOLERANCE = Fraction(1, 100)
_EQUALS = re.compile(r"=|≈|~|\\(?:approx|sim)(?![A-Za-z])|«(?:about|approximately|roughly|around)»")
_NUMBER = re.compile(
    r"[-+]?(?:\\frac\{[^{}]*\}\{[^{}]*\}|[0-9.]+(?:/[0-9.]+)?)"
    r"(?:[eE][-+]?[0-9]+|(?:\\times|\\cdot|\*|x)10\^(?:\{[-+]?[0-9]+\}|[-+]?[0-9]+))?"
    r"(?P<percent>%?)"
)
_UNIT = re.compile(
    r"(?![(*)]|\^(?!\\circ))"  # in 4.5^2 and 4.5(2) the number continues
    r"(?:[A-Za-zÅ«»/·*(){}'_ \-]"
    r"|\\(?:AA|odot|frac|mu|circ|cdot|Omega|mathrm|rm|degree)(?![A-Za-z])|\^\{?-?[0-9]\}?|\^)*"
)
_NOT_A_UNIT = re.compile(
    r"(?<![A-Za-z])"
    r"(?:or|and|no|not|nor|maybe|hundred|thousand|million|billion|trillion|dozen|[eixy])"
    r"(?![A-Za-z])",
    re.IGNORECASE,
)


class _Number(NamedTuple):
    value: Fraction
    is_percentage: bool


def judge_approximate(reference: str, completion: str) -> Judgment:
    """Compares the final number of a completion with the reference number; units are not compared.

    Args:
      reference: the right number, decimal, scientific or a fraction, with or without a unit.
      completion: text of the policy, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      A `Judgment`; an error where the reference is no number.
    """
    answer = canonicalize_latex(extract_math_answer(completion) or "")
    found, expected = _parse_number(answer), None
    if len(reference) <= TAIL_CHARACTERS:
        expected = _parse_number(canonicalize_latex(reference))
    logged = (answer if found is None else str(found.value))[:MAX_ANSWER_CHARACTERS] or None

    if expected is None:
        return Judgment(ERROR, logged, f"the reference answer {reference[:40]!r} is no number")
    return Judgment(RIGHT if found and _is_near(expected, found) else WRONG, logged)


def _is_near(expected: _Number, found: _Number) -> bool:
    """Returns True if a number is close; a percentage may mean its number or its fraction."""
    factors = [Fraction(1)]
    if expected.is_percentage and not found.is_percentage:
        factors.append(Fraction(100))
    if found.is_percentage and not expected.is_percentage:
        factors.append(Fraction(1, 100))
    return any(_is_within_tolerance(expected.value, found.value * factor) for factor in factors)


def _is_within_tolerance(expected: Fraction, value: Fraction) -> bool:
    return abs(value - expected) <= _TOLERANCE * abs(expected)


def _parse_number(text: str) -> _Number | None:
    """Reads the number behind the last sign of equality, with a unit or not.

    None if there is no number, or another side is a number far from it.
    """
    *others, last = _EQUALS.split(text)
    match = _NUMBER.match(last)
    if match is None or not _UNIT.fullmatch(last, match.end()):
        return None
    if _NOT_A_UNIT.search(last, match.end()):
        return None
    value = parse_rational(match[0].removesuffix("%"))
    if value is None:
        return None
    sides = [parse_rational(side) for side in others]
    if any(side is not None and not _is_within_tolerance(side, value) for side in sides):
        return None
    return _Number(value, bool(match["percent"]))
