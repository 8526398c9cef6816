r"""The grader "approximate": a measured or computed number within one per cent of the gold answer.

Source: the rule for numeric answers of Minerva, Lewkowycz et al. 2022, arXiv 2206.14858, as we read
it: within 1 % of the gold, relative to it. A gold of zero has to be met exactly.

>>> judge("4.5e33", r"so $L \approx \boxed{4.48 \times 10^{33} \text{ erg/s}}$").verdict
'right'
>>> (judge("4.5e33", "Answer: 4.6e33").verdict, judge("4.5e33", "Answer: 4.5e33 or 4.6e33").verdict)
('wrong', 'wrong')
"""

import re
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading import final_answer
from papo_jax.grading.judgment import ERROR, KEPT, RIGHT, WRONG, Judgment
from papo_jax.grading.math_answers import canonical_latex, mathematics, rationals

_TOLERANCE = Fraction(1, 100)
_EQUALS = re.compile(r"=|≈|~|\\(?:approx|sim)(?![A-Za-z])|«(?:about|approximately|roughly|around)»")
_NUMBER = re.compile(
    r"[-+]?(?:\\frac\{[^{}]*\}\{[^{}]*\}|[0-9.]+(?:/[0-9.]+)?)"
    r"(?:[eE][-+]?[0-9]+|(?:\\times|\\cdot|\*|x)10\^(?:\{[-+]?[0-9]+\}|[-+]?[0-9]+))?(?P<percent>%?)"
)
_UNIT = re.compile(
    r"(?![(*)]|\^(?!\\circ))"  # 4.5^2 and 4.5(2) go on with the number
    r"(?:[A-Za-zÅ«»/·*(){}'_ \-]|\\(?:AA|odot|frac|mu|circ|cdot|Omega|mathrm|rm|degree)(?![A-Za-z])|\^\{?-?[0-9]\}?|\^)*"
)
_NO_UNIT = re.compile(
    r"(?<![A-Za-z])(?:or|and|no|not|nor|maybe|hundred|thousand|million|billion|trillion|dozen|[eixy])(?![A-Za-z])",
    re.IGNORECASE,
)


class _Number(NamedTuple):
    value: Fraction
    percent: bool


def judge(gold: str, text: str) -> Judgment:
    """Compares the final number of a text with the gold number.

    Args:
      gold: the right number, decimal, scientific or a fraction, with or without a unit.
      text: what the policy wrote, already `final_answer.cut`.

    Returns:
      A `Judgment`; an error where the gold is no number. The unit is not compared.
    """
    answer = canonical_latex.canonical(mathematics.extract(text) or "")
    found, expected = (
        _number(answer),
        _number(canonical_latex.canonical(gold)) if len(gold) <= final_answer.TAIL else None,
    )
    kept = (answer if found is None else str(found.value))[:KEPT] or None
    if expected is None:
        return Judgment(ERROR, kept, f"the gold answer {gold[:40]!r} is no number")
    return Judgment(RIGHT if found and _near(expected, found) else WRONG, kept)


def _near(gold: _Number, found: _Number) -> bool:
    """Whether a number is near enough; a percentage may be meant as its number or as its
    fraction."""
    factors = (
        (1,)
        if gold.percent == found.percent
        else (1, 100)
        if gold.percent
        else (1, Fraction(1, 100))
    )
    return any(_close(gold.value, found.value * factor) for factor in factors)


def _close(gold: Fraction, value: Fraction) -> bool:
    return abs(value - gold) <= _TOLERANCE * abs(gold)


def _number(text: str) -> _Number | None:
    """The number behind the last sign of equality, with a unit or not; None if another side is a
    number far from it."""
    *others, last = _EQUALS.split(text)
    match = _NUMBER.match(last)
    if (
        match is None
        or not _UNIT.fullmatch(last, match.end())
        or _NO_UNIT.search(last, match.end())
    ):
        return None
    value = rationals.read(match[0].removesuffix("%"))
    sides = [rationals.read(side) for side in others]
    if value is None or any(side is not None and not _close(side, value) for side in sides):
        return None
    return _Number(value, bool(match["percent"]))
