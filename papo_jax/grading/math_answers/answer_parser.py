r"""Parser of answers: one value, or a list, set, tuple, interval, union or matrix of them.

An answer may name several values only where the reference does, so it is parsed before anything is
compared.

>>> value_3, value_5 = ParsedAnswer("value", ("3",)), ParsedAnswer("value", ("5",))
>>> parse_answer("3;5") == ParsedAnswer("list", (value_3, value_5))
True
>>> [parse_answer(text).kind for text in ("x=42", r"\pm42", "(3,4]")]
['named', 'list', '(]']
>>> [parse_answer(text).kind for text in ("2<x", "x+y=2", r"\{42\}")]
['()', 'equation', 'value']
"""

import re

from papo_jax.grading.math_answers.parsed_answer import (
    NAME,
    ParsedAnswer,
    is_deeply_nested,
    is_one_group,
    split_top_level,
)
from papo_jax.grading.math_answers.rationals import parse_rational
from papo_jax.grading.math_answers.relations.congruences import share_modulus, split_congruence
from papo_jax.grading.math_answers.relations.real_sets import (
    Interval,
    is_empty_set,
    parse_conditions,
    parse_inequality,
    parse_real_set,
    strip_set_builder,
)

_LIST = re.compile(r"[,;]")
_RELATION = re.compile(r"=|<|>|\\(?:le|ge|ne|in|approx)(?![A-Za-z])")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_ROW = re.compile(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])")
_CELL = re.compile("&")
_ANOTHER_VARIABLE = re.compile(
    r"(?<![A-Za-z\\])([A-Za-z])(?![A-Za-z]).*(?<![A-Za-z\\])(?!\1)[A-Za-df-z](?![A-Za-z])"
)
_UNIT_TAIL = re.compile(r"(?<=\S)(?:«[^«»]*»(?:\^\{?-?[0-9]\}?)?|\^\\circ)$")
_NEGATED = re.compile(r"^-\(([0-9./]+|\\frac\{[0-9]+\}\{[0-9]+\})\)$")
_MATRIX = re.compile(
    r"[\[(]?\\begin\{([pbvBV]?)(matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\2\}[\])]?"
)


def parse_answer(text: str) -> ParsedAnswer:
    """Parses an answer.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    Returns:
      A `ParsedAnswer`; what is nested too deeply, or not balanced, is one "value".
    """
    return ParsedAnswer("value", (text,)) if is_deeply_nested(text) else _parse(text)


def _parse(text: str) -> ParsedAnswer:
    # Sets and classes that are written as one value.
    if is_empty_set(text):
        return ParsedAnswer("value", (r"\emptyset",))
    intervals = parse_real_set(text)
    if intervals is not None:
        return _make_union(intervals)

    # Separators that stand outside of all brackets, from the loosest to the tightest.
    members, _ = split_top_level(text, _LIST)
    if len(members) > 1:
        return _parse_list(share_modulus([member for member in members if member]))
    congruence = split_congruence(text)
    if congruence is not None:
        return ParsedAnswer("congruence", congruence)
    sides, relations = split_top_level(text, _RELATION)
    if relations:
        return _parse_relation(text, sides, relations)
    members, _ = split_top_level(text, _UNION)
    if len(members) > 1:
        return ParsedAnswer("union", tuple(map(_parse, members)))

    # A matrix, or what stands in brackets.
    text = _NEGATED.sub(r"-\1", text)
    bracketed = _parse_matrix(text) or _parse_brackets(text)
    if bracketed is not None:
        return bracketed

    if r"\pm" in text:
        upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
        lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
        return _make_collection("list", [upper, lower])
    return ParsedAnswer("value", (text.removeprefix("+"),))


def _parse_list(members: list[str]) -> ParsedAnswer:
    conditions = parse_conditions(members)
    if conditions and isinstance(conditions[0], Interval):
        return _make_union([part for part in conditions if isinstance(part, Interval)])
    return _make_collection("list", [part for part in conditions if isinstance(part, str)])


def _make_union(intervals: list[Interval]) -> ParsedAnswer:
    """Makes a union; one of a single interval is that interval."""
    parts = [
        ParsedAnswer(opening + closing, (_parse(low), _parse(high)))
        for opening, low, high, closing in intervals
    ]
    return parts[0] if len(parts) == 1 else ParsedAnswer("union", tuple(parts))


def _make_collection(kind: str, texts: list[str]) -> ParsedAnswer:
    """Makes a list or set; one of a single member is that member, and inner lists are flattened."""
    parts = []
    for part in map(_parse, texts):
        parts += part.parts if part.kind == "list" else [part]
    is_one = len(parts) == 1 and (kind != "set" or parts[0].parts != (r"\emptyset",))
    return parts[0] if is_one else ParsedAnswer(kind, tuple(parts))


def _parse_brackets(text: str) -> ParsedAnswer | None:
    """Parses a set, tuple, interval or what stands in superfluous parentheses; else None."""
    condition = strip_set_builder(text)
    if condition is not None:
        return _parse(condition)
    if text.startswith(r"\{") and text.endswith(r"\}") and is_one_group(text, 1):
        return _make_collection("set", split_top_level(text[2:-2], _LIST)[0])
    if text[:1] not in ("(", "[") or text[-1:] not in (")", "]") or not is_one_group(text, 0):
        return None
    members, _ = split_top_level(text[1:-1], _LIST)
    if len(members) > 1:
        return ParsedAnswer(text[0] + text[-1], tuple(map(_parse, members)))
    return _parse(text[1:-1]) if text[0] + text[-1] == "()" else None


def _parse_matrix(text: str) -> ParsedAnswer | None:
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = []
    for row in filter(None, split_top_level(match[3], _ROW)[0]):
        cells, _ = split_top_level(row, _CELL)
        rows.append(ParsedAnswer("row", tuple(map(_parse, cells))))
    return ParsedAnswer("determinant" if match[1] in ("v", "V") else "matrix", tuple(rows))


def _parse_relation(text: str, sides: list[str], relations: list[str]) -> ParsedAnswer:
    r"""Parses x = 5, x+y = 2, x \in S, x \approx 5 or an interval written as an inequality."""
    is_named = NAME.fullmatch(sides[0]) is not None
    if relations == [r"\in"] and is_named:
        return _parse(sides[1])
    if relations == [r"\approx"] and (is_named or not sides[0] or _is_rounded(*sides)):
        return _parse(sides[0] if sides[0] and not is_named else sides[1])

    if set(relations) == {"="}:
        numbers = {parse_rational(_UNIT_TAIL.sub("", side)) for side in sides} - {None}
        named_sides = sides[1 if is_named else 0 : -1]
        has_words = any("«" in _UNIT_TAIL.sub("", side) for side in named_sides)
        if len(numbers) > 1 or has_words:
            return ParsedAnswer("relation", (text,))  # 41=42 names two values
        if is_named:
            return ParsedAnswer("named", (sides[0], _parse(sides[-1])))
        return ParsedAnswer("equation", tuple(sides))
    intervals = parse_inequality(sides, relations)
    if not intervals or (len(relations) == 1 and _ANOTHER_VARIABLE.search(text)):
        return ParsedAnswer("relation", (text,))
    return _make_union(intervals)


def resolve_relation(parsed: ParsedAnswer) -> ParsedAnswer:
    """Returns the interval that a relation is of its first variable, such as y > 2x; else itself.

    >>> resolve_relation(parse_answer("y>2x")).kind, resolve_relation(parse_answer("x+y>2")).kind
    ('()', 'relation')
    """
    if parsed.kind != "relation":
        return parsed
    intervals = parse_inequality(*split_top_level(parsed.parts[0], _RELATION))
    return _make_union(intervals) if intervals else parsed


def _is_rounded(exact: str, rounded: str) -> bool:
    """Returns True if the right side of an approximation is a number near to the left side."""
    value, near = parse_rational(exact), parse_rational(rounded)
    return near is not None and (value is None or abs(near - value) <= abs(value) / 100)
