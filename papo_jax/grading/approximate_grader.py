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

from papo_jax.grading.ambiguous_answers import joins_alternatives
from papo_jax.grading.final_answer import TAIL_CHARACTERS, find_marked_answer, last_line
from papo_jax.grading.judgment import ERROR, MAX_ANSWER_CHARACTERS, RIGHT, WRONG, Judgment
from papo_jax.grading.math_answers.answer_extraction import extract_math_answer
from papo_jax.grading.math_answers.latex.canonical_latex import MAX_CHARACTERS, canonicalize_latex
from papo_jax.grading.math_answers.rationals import parse_rational
from papo_jax.grading.wording.multipliers import find_multiplier
from papo_jax.grading.wording.number_words import read_number_words
from papo_jax.grading.wording.numerals import drop_group_separators
from papo_jax.grading.wording.plain_latex import write_plainly

_TOLERANCE = Fraction(1, 100)
_EQUALS = re.compile(r"=|≈|~|\\(?:approx|sim)(?![A-Za-z])|«(?:about|approximately|roughly|around)»")
_NUMBER = re.compile(
    r"[-+]?(?:\\frac\{[^{}]*\}\{[^{}]*\}|[0-9.]+(?:/[0-9.]+)?)"
    r"(?:[eE][-+]?[0-9]+|(?:\\times|\\cdot|\*|x)10\^(?:\{[-+]?[0-9]+\}|[-+]?[0-9]+))?"
    r"(?P<percent>%?)"
)
_MONEY = re.compile(r"\W*[$€£]\s*[-+]?[0-9.,]+ ?[mbt](?![A-Za-z])[^$]*")
_SPOKEN_NUMBER = re.compile(  # in running text
    r"(?<![\w.,^/*\\{)+-])[-+]?[$€£]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?"
    r"(?:[eE][-+]?[0-9]+|\s*(?:[x×·*]|\\times|\\cdot)\s*10(?:(?:\^|\*\*)\{?[-+]?[0-9]+\}?|[⁻⁰¹²³⁴-⁹]+))?"
    r"(?![0-9])"
)
_REMARK = re.compile(r"[^0-9(=<>{}\[\]\\]*")  # behind a number: words, but no more mathematics
_TRIED_NUMBERS = 6  # at the end of a line: a unit has few exponents
_CHANGING_WORD = re.compile(r"(?<![A-Za-z])(?:not|isn't|minus|negative)\s+[*_`$]*$", re.IGNORECASE)
_UNIT = re.compile(
    r"(?![(*)]|\^(?!\\circ))"  # in 4.5^2 and 4.5(2) the number continues
    r"(?:[A-Za-zÅ«»/·*(){}'_ \-]"
    r"|\\(?:AA|odot|frac|mu|circ|cdot|Omega|mathrm|rm|degree)(?![A-Za-z])|\^\{?-?[0-9]\}?|\^)*"
)
_NOT_A_UNIT = re.compile(
    r"(?<![A-Za-z])"
    r"(?:or|and|no|not|nor|maybe|to|more|less|fewer|squared|cubed|half|[eixy])"
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
    text = write_plainly(completion)
    answer, found = _spoken_answer(text) if find_marked_answer(text) is None else ("", None)
    if found is None:
        answer = extract_math_answer(text) or ""
        found = _read_number(answer)
    expected = _read_number(reference) if len(reference) <= TAIL_CHARACTERS else None
    answer = canonicalize_latex(answer)
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


def _spoken_answer(text: str) -> tuple[str, _Number | None]:
    """Returns the last number of running text with its unit, such as "about 4.5 × 10^33 erg/s"."""
    line = drop_group_separators(last_line(text).rstrip(" .*_`"))
    if len(line) > MAX_CHARACTERS or line.count("$") > 1:  # a formula
        return "", None
    numbers = list(_SPOKEN_NUMBER.finditer(line))
    # From the last number on that a unit may follow: the exponents of units are numbers too.
    for index in reversed(range(max(0, len(numbers) - _TRIED_NUMBERS), len(numbers))):
        match, rest = numbers[index], line[numbers[index].end() :]
        found = _read_number(match[0] + rest)
        if found is None and _REMARK.fullmatch(rest):
            scale = find_multiplier(line, match.end(), counting=False, units=True)
            found = None if scale else _read_number(match[0])
        if found is None:
            continue
        before = numbers[index - 1] if index else None
        is_alternative = before and joins_alternatives(line[before.end() : match.start()])
        is_changed = _CHANGING_WORD.search(line[: match.start()])
        return line[match.start() :], None if is_alternative or is_changed else found
    return "", None


def _read_number(text: str) -> _Number | None:
    """Reads an answer as it stands: digits or words, grouped or not, with a unit or not."""
    plain = drop_group_separators(write_plainly(text))
    canonical = canonicalize_latex(plain)
    if len(canonical) > MAX_CHARACTERS:
        return None
    if not re.search(r"\d", canonical):
        words = read_number_words(plain.strip(" .*_`$"))
        return None if words is None else _Number(Fraction(words.value), False)
    return _parse_number(canonical, money=_MONEY.fullmatch(plain) is not None)


def _parse_number(text: str, *, money: bool) -> _Number | None:
    """Reads the number behind the last sign of equality, with a unit or not.

    None if there is no number, or another side is a number far from it.
    """
    *others, last = _EQUALS.split(text)
    match = _NUMBER.match(last)
    if match is None or not _UNIT.fullmatch(last, match.end()):
        return None
    words = re.sub("[«»]", " ", last)  # of the same length
    scale = find_multiplier(words, match.end(), money=money, units=True)
    if _NOT_A_UNIT.search(last, scale.end if scale else match.end()):
        return None
    value = parse_rational(match[0].removesuffix("%"))
    if value is None:
        return None
    value *= scale.factor if scale else 1
    sides = [parse_rational(side) for side in others]
    if any(side is not None and not _is_within_tolerance(side, value) for side in sides):
        return None
    return _Number(value, bool(match["percent"]))
