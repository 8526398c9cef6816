r"""Plain text of an answer in LaTeX, for graders that look for numbers: spacing, fonts and units.

>>> write_plainly(r"12{,}345\text{ cm}^2"), write_plainly(r"{-}12\ 345"), write_plainly(r"5^{th}")
('12,345 cm', '-12 345', '5th')
"""

import re

from papo_jax.grading.wording.characters import MINUS_SIGNS, replace_characters
from papo_jax.grading.wording.latex_decoration import unwrap_decoration

_SPELLINGS = (
    ("{,}", ","),
    (r"\!", ""),
    (r"\,", ""),
    (r"\$", "$"),
    (r"\%", "%"),
    (r"\_", "_"),
    (r"\ ", " "),
    (r"\;", " "),
    (r"\:", " "),
    (r"\>", " "),
    (r"\-", "-"),
    ("{-}", "-"),
    (r"\textminus", "-"),
    (r"\thinspace", " "),
)
_LONG_SPACE = re.compile(r"\\q?quad(?![A-Za-z])")
_TIE = re.compile(r"(?<=[0-9+-])~(?=[0-9])")  # LaTeX's space that does not break a line
# A minus sign that stands apart, but not between the two sides of a difference such as x − 3.
_MINUS_APART = re.compile(
    rf"((?:^|[:=]|[A-Za-z]{{2}})[ \t]*|[(\[{{$])[{MINUS_SIGNS}][ \t]+(?=[$0-9])", re.MULTILINE
)
_HYPHEN_APART = re.compile(r"([:=][ \t]*|[(\[{$])-[ \t]+(?=[$0-9])")
_SQUARED_UNIT = re.compile(
    r"(?<=[0-9 {}])(\\(?:text|textrm|mathrm|mbox|rm|operatorname)\s*\{[^{}0-9]*[A-Za-z][^{}0-9^]*"
    r"(?:\^\{?[23]\}?)?\})(?:\^(?:[23]|\{[23]\}))?"
)
_UNIT_EXPONENT = re.compile(
    r"(?<=[0-9 ])((?:[cdkm]?m|ft|in|yd|mi|feet|meters?|inch(?:es)?|units?))\^(?:[23]|\{[23]\})"
)
_ORDINAL = re.compile(
    r"(?<=[0-9])\s*(?:\^|\\textsuperscript)\s*\{?\s*(?:\\(?:text|mathrm|rm)\s*\{?)?\s*(st|nd|rd|th)"
    r"\s*\}{0,2}"
)
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degrees?(?![A-Za-z])")


def write_plainly(text: str) -> str:
    """Writes the characters, spaces, fonts and units of an answer as plain text has them."""
    if not text.isascii():
        text = replace_characters(_MINUS_APART.sub(r"\1-", text))
    if not set(text).isdisjoint("\\{~^"):
        for latex, plain in _SPELLINGS:
            text = text.replace(latex, plain)
        text = _ORDINAL.sub(r"\1", _DEGREES.sub(" ", text))
        text = _UNIT_EXPONENT.sub(r"\1", _SQUARED_UNIT.sub(_drop_unit_exponent, text))
        text = unwrap_decoration(_TIE.sub(" ", _LONG_SPACE.sub("  ", text)))
    return _HYPHEN_APART.sub(r"\1-", text)


def _drop_unit_exponent(match: re.Match[str]) -> str:
    return re.sub(r"\^\{?[23]\}?", "", match[1])
