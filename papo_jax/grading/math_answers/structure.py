r"""What an answer is made of: one value, or a list, set, tuple, interval, union or matrix of them.

An answer may name several values only where the gold answer does, so this is read before anything
is compared.

>>> read("3;5") == Form("list", (Form("value", ("3",)), Form("value", ("5",))))
True
>>> [read(text).kind for text in ("x=42", r"\pm42", "(3,4]", "2<x", "x+y=2", r"\{42\}")]
['named', 'list', '(]', '()', 'equation', 'value']
"""

import re
from typing import NamedTuple

from papo_jax.grading.math_answers import rationals

_DEEPEST = 20  # brackets within brackets
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
    rf"{_LETTER}(?:_(?:[A-Za-z0-9]|\{{[A-Za-z0-9]+\}}))?'?(?:\({_LETTER}(?:,{_LETTER})*\))?"  # x, a_1, f(x,y)
    rf"|\\(?:angle|triangle|overline|vec|mathbf)(?:\{{?[A-Za-z]{{1,2}}\}}?|«[A-Z]+»)|{_LETTER}_\{{«[a-z]+»\}}"
    rf"|\({_LETTER}(?:,{_LETTER})+\)|«[A-Za-z ]+»"
)
_OPEN, _SHUT = "([{", ")]}"


class Form(NamedTuple):
    r"""An answer, or a part of one.

    Attributes:
      kind: "value", "list" (a,b), "set" \{a,b\}, "union", "matrix", "determinant", "row",
        "equation", "relation", the two brackets of a tuple or interval, or "named" (x=a).
      parts: the `Form`s within; of a "value" or "relation" its text, of an "equation" the texts of
        its sides, of a "named" the name and one `Form`.
    """

    kind: str
    parts: tuple


def read(text: str) -> Form:
    """Takes an answer apart.

    Args:
      text: as `latex.canonical` writes it.

    Returns:
      Its `Form`; what is nested too deeply, or not balanced, is one "value".
    """
    return Form("value", (text,)) if is_deep(text) else _read(text)


def is_deep(text: str) -> bool:
    """Whether more than 20 brackets stand within each other, which no honest answer needs."""
    depth = deepest = 0
    for character in text:
        depth += (character in _OPEN) - (character in _SHUT)
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def _read(text: str) -> Form:
    parts, _ = _split(text, _LIST)
    if len(parts) > 1:
        return _collection("list", [part for part in parts if part])
    sides, relations = _split(text, _RELATION)
    if relations:
        return _relation(text, sides, relations)
    members, _ = _split(text, _UNION)
    if len(members) > 1:
        return Form("union", tuple(map(_read, members)))
    text = _NEGATED.sub(r"-\1", text)
    whole = _matrix(text) or _bracketed(text)
    if whole is None and r"\pm" in text:
        upper, lower = (
            text.replace(r"\pm", "+").replace(r"\mp", "-"),
            text.replace(r"\pm", "-").replace(r"\mp", "+"),
        )
        return _collection("list", [upper, lower])
    return whole or Form("value", (text.removeprefix("+"),))


def _collection(kind: str, texts: list[str]) -> Form:
    """A list or set; one of a single member is that member, and a list within it gives it its
    members."""
    parts = []
    for part in map(_read, texts):
        parts += part.parts if part.kind == "list" else [part]
    return parts[0] if len(parts) == 1 else Form(kind, tuple(parts))


def _bracketed(text: str) -> Form | None:
    if text.startswith(r"\{") and text.endswith(r"\}") and _is_one_group(text, 1):
        return _collection("set", _split(text[2:-2], _LIST)[0])
    if text[:1] not in ("(", "[") or text[-1:] not in (")", "]") or not _is_one_group(text, 0):
        return None
    parts, _ = _split(text[1:-1], _LIST)
    if len(parts) > 1:
        return Form(text[0] + text[-1], tuple(map(_read, parts)))
    return _read(text[1:-1]) if text[0] + text[-1] == "()" else None


def _is_one_group(text: str, start: int) -> bool:
    """Whether the bracket that opens at `start` closes at the very end."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] in _OPEN) - (text[position] in _SHUT)
        if not depth:
            return position == len(text) - 1
    return False


def _matrix(text: str) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = [row for row in _split(match[3], _ROW)[0] if row]
    cells = tuple(Form("row", tuple(map(_read, _split(row, _CELL)[0]))) for row in rows)
    return Form("determinant" if match[1] in ("v", "V") else "matrix", cells)


def _relation(text: str, sides: list[str], relations: list[str]) -> Form:
    named = _NAME.fullmatch(sides[0])
    if relations == [r"\in"] and named:
        return _read(sides[1])
    if relations == [r"\approx"] and (named or not sides[0] or _rounds(*sides)):
        return _read(sides[0] if sides[0] and not named else sides[1])
    if set(relations) == {"="}:
        numbers = {rationals.read(side) for side in sides} - {None}
        if len(numbers) > 1 or any("«" in side for side in sides[0 if not named else 1 : -1]):
            return Form("relation", (text,))  # 41=42 names two values
        return (
            Form("named", (sides[0], _read(sides[-1]))) if named else Form("equation", tuple(sides))
        )
    return _interval(sides, relations) or Form("relation", (text,))


def _rounds(exact: str, rounded: str) -> bool:
    """Whether what stands behind an approximation sign is a number near to what stands before
    it."""
    value, near = rationals.read(exact), rationals.read(rounded)
    return near is not None and (value is None or abs(near - value) <= abs(value) / 100)


def _interval(sides: list[str], relations: list[str]) -> Form | None:
    r"""x<3 as (-\infty,3) and 3\le x<5 as [3,5)."""
    if not set(relations) <= {"<", r"\le"}:
        sides, relations = (
            sides[::-1],
            [{">": "<", r"\ge": r"\le"}.get(relation, "") for relation in relations[::-1]],
        )
    if "" in relations or not set(relations) <= {"<", r"\le"}:
        return None
    if len(sides) == 2 and _NAME.fullmatch(sides[0]):
        sides, relations = [r"-\infty", *sides], ["<", *relations]
    elif len(sides) == 2:
        sides, relations = [*sides, r"\infty"], [*relations, "<"]
    if len(sides) != 3 or not _NAME.fullmatch(sides[1]):
        return None
    brackets = ("(" if relations[0] == "<" else "[") + (")" if relations[1] == "<" else "]")
    return Form(brackets, (_read(sides[0]), _read(sides[2])))


def _split(text: str, separator: re.Pattern) -> tuple[list[str], list[str]]:
    """The parts between separators that stand outside of all brackets, and those separators."""
    parts, found, start, position, depth = [], [], 0, 0, 0
    while position < len(text):
        match = separator.match(text, position) if not depth else None
        if match:
            parts.append(text[start:position].strip())
            found.append(match[0])
            start = position = match.end()
            continue
        depth += (text[position] in _OPEN) - (text[position] in _SHUT)
        position += 1
    return ([*parts, text[start:].strip()], found) if not depth else ([text], [])
