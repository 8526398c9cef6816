r"""The grader "integer": the final integer of a text, compared by its digits.

An integer is compared as its canonical digits, never through `int`, so that neither a long answer
nor a clever one costs time. Every pattern below is linear in the text.

>>> judge("1080", "so 3*360 = $1,080.00")
Judgment(verdict='right', answer='1080', reason='')
>>> judge("12", r"first \boxed{7}, no: \boxed{12}").verdict
'right'
>>> judge("42", "41 or 42").verdict
'wrong'
"""

import re
import unicodedata

from papo_jax.grading import final_answer, hedges
from papo_jax.grading.judgment import ERROR, RIGHT, WRONG, Judgment

_MINUS = r"\-\u2212\u2013"  # hyphen, minus sign and en dash, as part of a character class
_THIN = r"\u00a0\u2009\u202f"  # the spaces that typesetting puts between thousands
_NUMBER = re.compile(
    # A sign directly after a digit, a letter or a closing bracket is an operator or a hyphen; "= -
    # 4" is a sign.
    rf"(?:(?<![0-9A-Za-z)\]}}])(?P<sign>[+{_MINUS}])|(?<==) ?(?P<spaced>[{_MINUS}]) )?\$?"
    rf"(?:(?P<whole>[0-9]{{1,3}}(?:[,{_THIN}][0-9]{{3}})+(?![0-9])|[0-9]+)(?:\.(?P<fraction>[0-9]+))?"
    r"|(?<![.0-9])\.(?P<bare>[0-9]+))"
    r"(?P<exponent>[eE][-+]?[0-9]+)?"
)
_INSIDE_A_TERM = re.compile(
    r"(?:[0-9]\s*/\s*|[0-9]\.|\^\{?|\}\{|\\sqrt\{)$"
)  # the rest of 1/2, 1.2.3, 10^5, \frac12
_EXPRESSION_GOES_ON = re.compile(rf"\s*(?:=|[+*/^×÷{_MINUS}]\s*[$(0-9])")
_UNIT = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|boldsymbol|mbox)\{([^{}]*?)(?:\^\{?[23]\}?)?\}(?:\^(?:[23]|\{[23]\}))?"
)
_SIGN_APART = re.compile(rf"(^|=)\s*([{_MINUS}])\s+(?=\$?[0-9])")
_SPACING = re.compile(
    r"\\(?:[;: ]|quad|left|right|displaystyle|textstyle|[Ll]arge|LARGE|[Hh]uge)|\^\{?\\circ\}?|[~{}]"
)
_NOT_A_NUMBER = re.compile("[<>≤≥±!|]")  # in a box: an inequality, two signs, a factorial
_HEDGED_BOX = re.compile(r"(?<![A-Za-z])(?:or|nor|no|not|maybe|perhaps)(?![A-Za-z])", re.IGNORECASE)


def judge(gold: str, text: str) -> Judgment:
    """Compares the final integer of a text with the gold answer.

    Args:
      gold: the right answer, such as "1,080".
      text: what the policy wrote, already `final_answer.cut`.

    Returns:
      A `Judgment`; an error where the gold is no integer.
    """
    answer, expected = extract_integer(text), canonical_integer(gold)
    if expected is None:
        return Judgment(ERROR, answer, f"the gold answer {gold[:40]!r} is no integer")
    return Judgment(RIGHT if answer == expected else WRONG, answer)


def extract_integer(text: str) -> str | None:
    r"""Finds the integer that a reader would take as the final answer.

    What stands in the last pair of `<answer>` tags is read alone. There, what follows the last
    `####` decides; else the last closed box; else the last number. Two numbers with only "or",
    "not" or the like between them are no answer.

    Args:
      text: what the policy wrote; only its last 10,000 characters count.

    Returns:
      Canonical ASCII digits, with "-" before a negative number; None if what decides is no integer.

    >>> [
    ...     extract_integer(text)
    ...     for text in ("3*4=12", "5-3", "x = −7.", "#### 1,234 apples", "3.5", "41, no 42")
    ... ]
    ['12', '3', '-7', '1234', None, None]
    """
    text = final_answer.cut(text)
    inside = final_answer.tagged(text)
    text = text if inside is None else inside
    for latex, plain in (("{,}", ","), (r"\!", ""), (r"\,", ""), (r"\$", "$"), (r"\%", "%")):
        text = text.replace(latex, plain)
    _, hashes, after = text.rpartition(final_answer.HASHES)
    return _after_hashes(after) if hashes else _boxed_or_last(text)


def canonical_integer(text: str) -> str | None:
    """Reads a text that should be one integer and nothing else, such as a gold answer.

    Args:
      text: the whole text; thousands commas, a sign, a leading "$" and ".00" are allowed.

    Returns:
      Canonical digits, or None.

    >>> (canonical_integer(" 1,080 "), canonical_integer("-0"), canonical_integer("5 apples"))
    ('1080', '0', None)
    """
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= final_answer.TAIL else None
    return _value(match) if match else None


def _after_hashes(after: str) -> str | None:
    """The number right behind `####`; a heading such as "#### Step 3" is read as the text that it
    starts."""
    after = _SIGN_APART.sub(r"\1\2", after.lstrip(" \t\r\n*_:`"))
    match = _NUMBER.match(after)
    if not match:
        return _boxed_or_last(after)
    line = after.partition("\n")[0]
    if _EXPRESSION_GOES_ON.match(after, match.end()):
        return _last_number(line)
    following = _NUMBER.search(line, match.end())
    return None if following and _hedged(match, following) else _value(match)


def _boxed_or_last(text: str) -> str | None:
    content = final_answer.boxed(text)
    return _last_number(text) if content is None else _boxed(content)


def _boxed(content: str) -> str | None:
    r"""The one integer in a box, with units; None for anything to work out, such as \frac{6}{2} or
    3*4."""
    content = _SPACING.sub(" ", _UNIT.sub(r" \1 ", content))
    content = _SIGN_APART.sub(r"\1\2", content)
    if _HEDGED_BOX.search(content) or _NOT_A_NUMBER.search(content):
        return None
    *others, content = content.split("=")
    if any(
        _NUMBER.fullmatch(side.strip()) and canonical_integer(side) != canonical_integer(content)
        for side in others
    ):
        return None  # 41 = 42 names two numbers
    if "\\" in content or "^" in content:
        return None
    numbers = list(_NUMBER.finditer(content))
    return _value(numbers[0]) if len(numbers) == 1 else None


def _last_number(text: str) -> str | None:
    before, last = None, None
    for match in _NUMBER.finditer(text):
        before, last = last, match
    if (
        last is None
        or (before and _hedged(before, last))
        or hedges.changes(text[: last.start()], text[last.end() :])
    ):
        return None
    return _value(last)


def _hedged(first: re.Match, second: re.Match) -> bool:
    return hedges.joins(first.string[first.end() : second.start()])


def _value(match: re.Match) -> str | None:
    """Canonical digits of a match; None if it is a decimal, or a part of a larger term."""
    text, start, end = match.string, match.start(), match.end()
    fraction = match["fraction"] or match["bare"] or ""
    if match["exponent"] or match["whole"] is None or fraction.strip("0"):
        return None
    # A digit of another script, an exponent or a fraction next to it belongs to the number: no
    # ASCII integer then.
    neighbors = text[max(start - 1, 0) : start] + text[end : end + 1]
    if any(not near.isascii() and unicodedata.category(near) in ("Nd", "No") for near in neighbors):
        return None
    if _INSIDE_A_TERM.search(text, max(start - 8, 0), start):
        return None
    digits = re.sub("[^0-9]", "", match["whole"]).lstrip("0") or "0"
    sign = match["sign"] or match["spaced"] or "+"
    return digits if sign == "+" or digits == "0" else "-" + digits
