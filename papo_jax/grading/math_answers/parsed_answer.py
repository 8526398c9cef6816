"""Parsed answers, and the brackets by which their texts are taken apart."""

import re
from typing import Any, NamedTuple

_MAX_DEPTH = 20  # brackets within brackets
_OPENING, _CLOSING = "([{", ")]}"
_LETTER = r"(?:[A-Za-z]|\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|phi|rho|sigma|omega))"
NAME = re.compile(  # of what an answer is the value of
    rf"{_LETTER}(?:_(?:[A-Za-z0-9]|\{{[A-Za-z0-9]+\}}))?'?"  # x, a_1, f(x,y)
    rf"(?:\({_LETTER}(?:,{_LETTER})*\))?"
    r"|\\(?:angle|triangle|overline|vec|mathbf)(?:\{?[A-Za-z]{1,2}\}?|«[A-Z]+»)"
    rf"|{_LETTER}_\{{«[a-z]+»\}}"
    rf"|\({_LETTER}(?:,{_LETTER})+\)|«[A-Za-z ]+»"
)


class ParsedAnswer(NamedTuple):
    r"""An answer, or a part of one.

    Attributes:
      kind: "value", "list" (a,b), "set" \{a,b\}, "union", "matrix", "determinant", "row",
        "equation", "relation", "congruence", the two brackets of a tuple or interval, or "named"
        (x=a).
      parts: the `ParsedAnswer`s within; of a "value" or "relation" its text, of an "equation" the
        texts of its sides, of a "named" the name and one `ParsedAnswer`, of a "congruence" the
        texts of residue and modulus.
    """

    kind: str
    parts: tuple[Any, ...]


def is_deeply_nested(text: str) -> bool:
    """Returns True if more than 20 brackets stand within each other, as in no honest answer."""
    depth = max_depth = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        max_depth = max(max_depth, depth)
    return max_depth > _MAX_DEPTH


def is_one_group(text: str, start: int) -> bool:
    """Returns True if the bracket that opens at `start` closes at the very end."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] in _OPENING) - (text[position] in _CLOSING)
        if not depth:
            return position == len(text) - 1
    return False


def split_top_level(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
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
