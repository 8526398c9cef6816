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
from typing import Any, NamedTuple

from papo_jax.grading.math_answers.rationals import parse_rational

_MAX_DEPTH = 20  # brackets within brackets
_LIST = re.compile(r"[,;]")
_RELATION = re.compile(r"=|<|>|\\(?:le|ge|ne|in|approx)(?![A-Za-z])")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_ROW = re.compile(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])")
_CELL = re.compile("&")
_NEGATED = re.compile(r"^-\(([0-9./]+|\\frac\{[0-9]+\}\{[0-9]+\})\)$")
_MATRIX = re.compile(
    r"[\[(]?\\begin\{([pbvBV]?)(matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\2\}[\])]?"
)
_LETTER = r"(?:[A-Za-z]|\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|phi|rho|sigma|omega))"
_NAME = re.compile(
    rf"{_LETTER}(?:_(?:[A-Za-z0-9]|\{{[A-Za-z0-9]+\}}))?'?"  # x, a_1, f(x,y)
    rf"(?:\({_LETTER}(?:,{_LETTER})*\))?"
    r"|\\(?:angle|triangle|overline|vec|mathbf)(?:\{?[A-Za-z]{1,2}\}?|«[A-Z]+»)"
    rf"|{_LETTER}_\{{«[a-z]+»\}}"
    rf"|\({_LETTER}(?:,{_LETTER})+\)|«[A-Za-z ]+»"
)
_OPENING, _CLOSING = "([{", ")]}"
_MIRRORED = {">": "<", r"\ge": r"\le"}  # relations, when their sides change places


class ParsedAnswer(NamedTuple):
    r"""An answer, or a part of one.

    Attributes:
      kind: "value", "list" (a,b), "set" \{a,b\}, "union", "matrix", "determinant", "row",
        "equation", "relation", the two brackets of a tuple or interval, or "named" (x=a).
      parts: the `ParsedAnswer`s within; of a "value" or "relation" its text, of an "equation" the
        texts of its sides, of a "named" the name and one `ParsedAnswer`.
    """

    kind: str
    parts: tuple[Any, ...]


def parse_answer(text: str) -> ParsedAnswer:
    """Parses an answer.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    Returns:
      A `ParsedAnswer`; what is nested too deeply, or not balanced, is one "value".
    """
    return ParsedAnswer("value", (text,)) if is_deeply_nested(text) else _parse(text)


def is_deeply_nested(text: str) -> bool:
    """Returns True if more than 20 brackets stand within each other, as in no honest answer."""
    depth = max_depth = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        max_depth = max(max_depth, depth)
    return max_depth > _MAX_DEPTH


def _parse(text: str) -> ParsedAnswer:
    # Separators that stand outside of all brackets, from the loosest to the tightest.
    members, _ = _split_top_level(text, _LIST)
    if len(members) > 1:
        return _make_collection("list", [member for member in members if member])
    sides, relations = _split_top_level(text, _RELATION)
    if relations:
        return _parse_relation(text, sides, relations)
    members, _ = _split_top_level(text, _UNION)
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


def _make_collection(kind: str, texts: list[str]) -> ParsedAnswer:
    """Makes a list or set; one of a single member is that member, and inner lists are flattened."""
    parts = []
    for part in map(_parse, texts):
        parts += part.parts if part.kind == "list" else [part]
    return parts[0] if len(parts) == 1 else ParsedAnswer(kind, tuple(parts))


def _parse_brackets(text: str) -> ParsedAnswer | None:
    """Parses a set, tuple, interval or what stands in superfluous parentheses; else None."""
    if text.startswith(r"\{") and text.endswith(r"\}") and _is_one_group(text, 1):
        return _make_collection("set", _split_top_level(text[2:-2], _LIST)[0])
    if text[:1] not in ("(", "[") or text[-1:] not in (")", "]") or not _is_one_group(text, 0):
        return None
    members, _ = _split_top_level(text[1:-1], _LIST)
    if len(members) > 1:
        return ParsedAnswer(text[0] + text[-1], tuple(map(_parse, members)))
    return _parse(text[1:-1]) if text[0] + text[-1] == "()" else None


def _is_one_group(text: str, start: int) -> bool:
    """Returns True if the bracket that opens at `start` closes at the very end."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] in _OPENING) - (text[position] in _CLOSING)
        if not depth:
            return position == len(text) - 1
    return False


def _parse_matrix(text: str) -> ParsedAnswer | None:
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = []
    for row in filter(None, _split_top_level(match[3], _ROW)[0]):
        cells, _ = _split_top_level(row, _CELL)
        rows.append(ParsedAnswer("row", tuple(map(_parse, cells))))
    return ParsedAnswer("determinant" if match[1] in ("v", "V") else "matrix", tuple(rows))


def _parse_relation(text: str, sides: list[str], relations: list[str]) -> ParsedAnswer:
    r"""Parses x = 5, x+y = 2, x \in S, x \approx 5 or an interval written as an inequality."""
    is_named = _NAME.fullmatch(sides[0]) is not None
    if relations == [r"\in"] and is_named:
        return _parse(sides[1])
    if relations == [r"\approx"] and (is_named or not sides[0] or _is_rounded(*sides)):
        return _parse(sides[0] if sides[0] and not is_named else sides[1])

    if set(relations) == {"="}:
        numbers = {parse_rational(side) for side in sides} - {None}
        has_words = any("«" in side for side in sides[1 if is_named else 0 : -1])
        if len(numbers) > 1 or has_words:
            return ParsedAnswer("relation", (text,))  # 41=42 names two values
        if is_named:
            return ParsedAnswer("named", (sides[0], _parse(sides[-1])))
        return ParsedAnswer("equation", tuple(sides))
    return _parse_inequality(sides, relations) or ParsedAnswer("relation", (text,))


def _is_rounded(exact: str, rounded: str) -> bool:
    """Returns True if the right side of an approximation is a number near to the left side."""
    value, near = parse_rational(exact), parse_rational(rounded)
    return near is not None and (value is None or abs(near - value) <= abs(value) / 100)


def _parse_inequality(sides: list[str], relations: list[str]) -> ParsedAnswer | None:
    r"""Parses x<3 as (-\infty,3) and 3\le x<5 as [3,5)."""
    if not set(relations) <= {"<", r"\le"}:
        sides = sides[::-1]
        relations = [_MIRRORED.get(relation, "") for relation in relations[::-1]]
    if not set(relations) <= {"<", r"\le"}:
        return None

    # One-sided inequalities get the other side's infinity.
    if len(sides) == 2 and _NAME.fullmatch(sides[0]):
        sides, relations = [r"-\infty", *sides], ["<", *relations]
    elif len(sides) == 2:
        sides, relations = [*sides, r"\infty"], [*relations, "<"]
    if len(sides) != 3 or not _NAME.fullmatch(sides[1]):
        return None

    brackets = ("(" if relations[0] == "<" else "[") + (")" if relations[1] == "<" else "]")
    return ParsedAnswer(brackets, (_parse(sides[0]), _parse(sides[2])))


def _split_top_level(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Splits a text at the separators that stand outside of all brackets.

    Returns:
      The parts, and the separators between them; all of a text that is not balanced is one part.
    """
    parts, separators, start, position, depth = [], [], 0, 0, 0
    while position < len(text):
        match = separator.match(text, position) if not depth else None
        if match:
            parts.append(text[start:position].strip())
            separators.append(match[0])
            start = position = match.end()
            continue
        depth += (text[position] in _OPENING) - (text[position] in _CLOSING)
        position += 1
    return ([*parts, text[start:].strip()], separators) if not depth else ([text], [])
