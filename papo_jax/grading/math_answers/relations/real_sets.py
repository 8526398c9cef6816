r"""Sets of real numbers in their many notations, as intervals.

So x > 1, (1, \infty) and \{x | x > 1\} are one answer, and |x| > 1 is a union.

>>> parse_inequality(["x", "3"], ["<"])
[Interval(opening='(', low='-\\infty', high='3', closing=')')]
>>> [(part.low, part.high) for part in parse_inequality(["|x-1|", "3"], [r"\ge"])]
[('-\\infty', '-2'), ('4', '\\infty')]
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from papo_jax.grading.math_answers.parsed_answer import NAME
from papo_jax.grading.math_answers.rationals import parse_rational

# Relations when their sides change places, and brackets at the other end.
_MIRRORED = {">": "<", r"\ge": r"\le", "(": ")", ")": "(", "[": "]", "]": "["}
_REAL_WORDS = (
    r"«(?:(?:the )?set of )?(?:(?:all|any|every) real|(?=reals|real numbers)real)s?(?: numbers?)?"
    "(?: [a-z])?"
)
_REALS = rf"(?:\\mathbb\{{R\}}|{_REAL_WORDS}»(?:[a-z](?![a-z]))?)"
_REAL_LINE = re.compile(_REALS, re.IGNORECASE)
_INFINITE_INTERVALS = (r"(-\infty,\infty)", r"(-\infty,+\infty)")
_WITHOUT_POINTS = re.compile(
    rf"(?:(?:{_REALS}|\(-\\infty,\+?\\infty\))(?:\\setminus|-)\\\{{(?P<points>.+)\\\}}"
    rf"|{_REAL_WORDS} (?:except|excluding|other than|but|but not|not)(?: for)?»(?P<others>.+))",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"\\emptyset|\\\{\\\}|«(?:(?:the )?(?:empty|null) set|none|(?:there (?:is|are|exists?) )?no"
    r"(?: (?:real|such|valid|possible|integer|positive|rational|finite|common|complex))*"
    r" (?:solutions?|roots?|values?|x)(?: exists?)?)»",
    re.IGNORECASE,
)
_ABSOLUTE = re.compile(
    r"\|(?P<scale>[0-9.]*)(?P<name>[A-Za-z])(?:(?P<sign>[-+])(?P<shift>[^|+\-A-Za-z]+))?\|"
)
_IN_REALS = re.compile(r"[A-Za-z]\\in\\mathbb\{R\}")
_UNEQUAL = re.compile(r"([A-Za-z])\\ne(.+)")
_SET_BUILDER = re.compile(r"\\\{(?:[A-Za-z])(?:\\in\\mathbb\{R\})?(?:\||:)(.+)\\\}")


class Interval(NamedTuple):
    """An interval: its brackets, and the texts of its ends."""

    opening: str
    low: str
    high: str
    closing: str


def is_empty_set(text: str) -> bool:
    r"""Returns True for \emptyset, \{\} and words such as "no solution".

    >>> [is_empty_set(text) for text in (r"\emptyset", "«No real solutions»", "«no»")]
    [True, True, False]
    """
    return _EMPTY.fullmatch(text) is not None


def parse_real_set(text: str) -> list[Interval] | None:
    r"""Parses the real line, and the line without some points.

    >>> parse_real_set(r"\mathbb{R}")
    [Interval(opening='(', low='-\\infty', high='\\infty', closing=')')]
    >>> len(parse_real_set(r"\mathbb{R}\setminus\{1,-1\}")), parse_real_set(r"\mathbb{Q}")
    (3, None)
    """
    if _REAL_LINE.fullmatch(text) or text in _INFINITE_INTERVALS:
        return _puncture_line([])
    match = _WITHOUT_POINTS.fullmatch(text)
    if match is None:
        return None
    return _puncture_line(re.split("[,;]", match["points"] or match["others"]))


def parse_conditions(members: Sequence[str]) -> list[Interval] | list[str]:
    r"""Reads several conditions on one variable together: x \ne 1, x \ne 2, or x \in R, x > 1.

    Returns:
      Intervals where they are one set; else the members that say more than that a number is real.
    """
    said = [member for member in members if not _IN_REALS.fullmatch(member)] or list(members)
    matches = [_UNEQUAL.fullmatch(member) for member in said]
    if len({match and match[1] for match in matches}) == 1 and matches[0]:
        return _puncture_line([match[2] for match in matches if match]) or said
    return said


def strip_set_builder(text: str) -> str | None:
    r"""Returns the condition of a set such as \{x | x > 1\}, else None."""
    match = _SET_BUILDER.fullmatch(text)
    return match[1] if match else None


def parse_inequality(sides: list[str], relations: list[str]) -> list[Interval] | None:
    r"""Parses x<3, 3\le x<5, x\ne 3, |x|>1 and 1<|x|<2; None for any other."""
    if relations == [r"\ne"] and NAME.fullmatch(sides[0]):
        return _puncture_line([sides[1]])
    if not set(relations) <= {"<", r"\le"}:
        sides = sides[::-1]
        relations = [_MIRRORED.get(relation, "") for relation in relations[::-1]]
    if not set(relations) <= {"<", r"\le"}:
        return None

    # One-sided inequalities get the other side's infinity.
    if len(sides) == 2 and (NAME.fullmatch(sides[0]) or _ABSOLUTE.fullmatch(sides[0])):
        sides, relations = [r"-\infty", *sides], ["<", *relations]
    elif len(sides) == 2:
        sides, relations = [*sides, r"\infty"], [*relations, "<"]
    if len(sides) != 3:
        return None
    opening, closing = "(" if relations[0] == "<" else "[", ")" if relations[1] == "<" else "]"
    interval = Interval(opening, sides[0], sides[2], closing)
    if NAME.fullmatch(sides[1]):
        return [interval]
    absolute = _ABSOLUTE.fullmatch(sides[1])
    return _resolve_absolute_value(interval, absolute) if absolute else None


def _resolve_absolute_value(interval: Interval, absolute: re.Match[str]) -> list[Interval] | None:
    """Returns the numbers whose distance from a number is in an interval."""
    opening, low, high, closing = interval
    center, scale = (
        f"{'' if absolute['sign'] == '-' else '-'}{absolute['shift'] or 0}",
        absolute["scale"],
    )
    if scale:
        center, low, high = (_divide(text, scale) for text in (center, low, high))
    near_left, near_right = _add(center, low, -1), _add(center, low, 1)
    far_left, far_right = _add(center, high, -1), _add(center, high, 1)
    if far_left is None or far_right is None:
        return None
    if low == r"-\infty":
        return [Interval(_MIRRORED[closing], far_left, far_right, closing)]
    if near_left is None or near_right is None:
        return None
    return [
        Interval(_MIRRORED[closing], far_left, near_left, _MIRRORED[opening]),
        Interval(opening, near_right, far_right, closing),
    ]


def _add(center: str, end: str, sign: int) -> str | None:
    """Returns the text of center + sign * end; None where that is not sure."""
    if end == r"\infty":
        return end if sign > 0 else r"-\infty"
    first, second = parse_rational(center), parse_rational(end)
    if first is not None and second is not None:
        return str(first + sign * second) if second >= 0 else None
    is_single_term = first == 0 and not re.search("[-+]", end)
    return (end if sign > 0 else f"-{end}") if is_single_term else None


def _divide(text: str, scale: str) -> str:
    """Returns the text of a quotient; text that is no number only if it is infinite."""
    number, divisor = parse_rational(text), parse_rational(scale)
    if number is None or not divisor:
        return text if text.endswith(r"\infty") else "?-"  # which `_add` refuses
    return str(number / divisor)


def _puncture_line(points: list[str]) -> list[Interval] | None:
    """Returns the real line without some points, of which several have to be rational numbers."""
    if len(points) > 1:
        values = {point: parse_rational(point) for point in points}
        if None in values.values():
            return None
        points = sorted(values, key=lambda point: values[point] or 0)
    ends = [r"-\infty", *points, r"\infty"]
    return [Interval("(", low, high, ")") for low, high in zip(ends, ends[1:], strict=False)]
