r"""Grader "integer": the final integer of a completion, compared by its digits.

An integer is compared as its canonical digits, never through `int`, so that neither a long answer
nor a clever one costs time. Every pattern below is linear in the text.

>>> judge_integer("1080", "so 3*360 = $1,080.00")
Judgment(verdict='right', answer='1080', reason='')
>>> judge_integer("12", r"first \boxed{7}, no: \boxed{12}").verdict
'right'
>>> judge_integer("42", "41 or 42").verdict
'wrong'
"""

import re
import unicodedata

from papo_jax.grading import final_answer
from papo_jax.grading.ambiguous_answers import joins_alternatives, negates_or_scales
from papo_jax.grading.judgment import ERROR, RIGHT, WRONG, Judgment

_MINUS = r"\-\u2212\u2013"  # hyphen, minus sign and en dash, as part of a character class
_THIN = r"\u00a0\u2009\u202f"  # the spaces that typesetting puts between thousands
_NUMBER = re.compile(
    # A sign directly after a digit, a letter or a closing bracket is an operator or a hyphen;
    # "= - 4" is a sign.
    rf"(?:(?<![0-9A-Za-z)\]}}])(?P<sign>[+{_MINUS}])|(?<==) ?(?P<spaced>[{_MINUS}]) )?\$?"
    rf"(?:(?P<whole>[0-9]{{1,3}}(?:[,{_THIN}][0-9]{{3}})+(?![0-9])|[0-9]+)"
    r"(?:\.(?P<fraction>[0-9]+))?"
    r"|(?<![.0-9])\.(?P<bare>[0-9]+))"
    r"(?P<exponent>[eE][-+]?[0-9]+)?"
)
_INSIDE_A_TERM = re.compile(
    r"(?:[0-9]\s*/\s*|[0-9]\.|\^\{?|\}\{|\\sqrt\{)$"
)  # the rest of 1/2, 1.2.3, 10^5, \frac12
_CONTINUATION = re.compile(rf"\s*(?:=|[+*/^×÷{_MINUS}]\s*[$(0-9])")  # of an expression
_UNIT = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|boldsymbol|mbox)"
    r"\{([^{}]*?)(?:\^\{?[23]\}?)?\}(?:\^(?:[23]|\{[23]\}))?"
)
_SEPARATE_SIGN = re.compile(rf"(^|=)\s*([{_MINUS}])\s+(?=\$?[0-9])")
_SPACING = re.compile(
    r"\\(?:[;: ]|quad|left|right|displaystyle|textstyle|[Ll]arge|LARGE|[Hh]uge)"
    r"|\^\{?\\circ\}?|[~{}]"
)
_NOT_A_NUMBER = re.compile("[<>≤≥±!|]")  # in a box: an inequality, two signs, a factorial
_HEDGE = re.compile(r"(?<![A-Za-z])(?:or|nor|no|not|maybe|perhaps)(?![A-Za-z])", re.IGNORECASE)
_PLAIN_SPELLINGS = (("{,}", ","), (r"\!", ""), (r"\,", ""), (r"\$", "$"), (r"\%", "%"))


def judge_integer(reference: str, completion: str) -> Judgment:
    """Compares the final integer of a completion with the reference answer.

    Args:
      reference: the right answer, such as "1,080".
      completion: text of the policy, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      A `Judgment`; an error where the reference is no integer.
    """
    answer, expected = extract_integer(completion), canonical_integer(reference)
    if expected is None:
        return Judgment(ERROR, answer, f"the reference answer {reference[:40]!r} is no integer")
    return Judgment(RIGHT if answer == expected else WRONG, answer)


def extract_integer(text: str) -> str | None:
    r"""Finds the integer that a reader would take as the final answer.

    What stands in the last pair of `<answer>` tags is read alone. There, what follows the last
    `####` decides; else the last closed box; else the last number. Two numbers with only "or",
    "not" or the like between them are no answer.

    Args:
      text: the completion; only its last 10,000 characters count.

    Returns:
      Canonical ASCII digits, with "-" before a negative number; None if what decides is no integer.

    >>> [extract_integer(text) for text in ("3*4=12", "5-3", "x = −7.")]
    ['12', '3', '-7']
    >>> [extract_integer(text) for text in ("#### 1,234 apples", "3.5", "41, no 42")]
    ['1234', None, None]
    """
    text = final_answer.truncate_to_tail(text)
    tagged = final_answer.find_tagged_answer(text)
    text = text if tagged is None else tagged
    for latex, plain in _PLAIN_SPELLINGS:
        text = text.replace(latex, plain)
    _, hashes, after = text.rpartition(final_answer.HASHES)
    return _integer_after_hashes(after) if hashes else _boxed_or_last_integer(text)


def canonical_integer(text: str) -> str | None:
    """Reads a text that should be one integer and nothing else, such as a reference answer.

    Args:
      text: the whole text; thousands commas, a sign, a leading "$" and ".00" are allowed.

    Returns:
      Canonical digits, or None.

    >>> [canonical_integer(text) for text in (" 1,080 ", "-0", "5 apples")]
    ['1080', '0', None]
    """
    if len(text) > final_answer.TAIL_CHARACTERS:
        return None
    match = _NUMBER.fullmatch(text.strip())
    return _canonical_digits(match) if match else None


def _integer_after_hashes(after: str) -> str | None:
    """Returns the integer right after `####`.

    A heading such as "#### Step 3" is read as the text that it starts.
    """
    after = _SEPARATE_SIGN.sub(r"\1\2", after.lstrip(" \t\r\n*_:`"))
    match = _NUMBER.match(after)
    if not match:
        return _boxed_or_last_integer(after)
    line = after.partition("\n")[0]
    if _CONTINUATION.match(after, match.end()):
        return _last_integer(line)
    following = _NUMBER.search(line, match.end())
    if following and _are_alternatives(match, following):
        return None
    return _canonical_digits(match)


def _boxed_or_last_integer(text: str) -> str | None:
    content = final_answer.find_boxed_answer(text)
    return _last_integer(text) if content is None else _integer_in_box(content)


def _integer_in_box(content: str) -> str | None:
    r"""Returns the one integer in a box, with units.

    None for anything that is left to work out, such as \frac{6}{2} or 3*4.
    """
    content = _SPACING.sub(" ", _UNIT.sub(r" \1 ", content))
    content = _SEPARATE_SIGN.sub(r"\1\2", content)
    if _HEDGE.search(content) or _NOT_A_NUMBER.search(content):
        return None

    # Of an equation the last side counts, unless another side is another number: 41 = 42 names two.
    *others, content = content.split("=")
    for side in others:
        is_number = _NUMBER.fullmatch(side.strip())
        if is_number and canonical_integer(side) != canonical_integer(content):
            return None

    if "\\" in content or "^" in content:
        return None
    numbers = list(_NUMBER.finditer(content))
    return _canonical_digits(numbers[0]) if len(numbers) == 1 else None


def _last_integer(text: str) -> str | None:
    """Returns the last number of running text, unless the words around it make it another."""
    before, last = None, None
    for match in _NUMBER.finditer(text):
        before, last = last, match
    if last is None or (before and _are_alternatives(before, last)):
        return None
    if negates_or_scales(text[: last.start()], text[last.end() :]):
        return None
    return _canonical_digits(last)


def _are_alternatives(first: re.Match[str], second: re.Match[str]) -> bool:
    return joins_alternatives(first.string[first.end() : second.start()])


def _canonical_digits(match: re.Match[str]) -> str | None:
    """Returns the digits of a number's match; None if it is a decimal or part of a larger term."""
    text, start, end = match.string, match.start(), match.end()
    fraction = match["fraction"] or match["bare"] or ""
    if match["exponent"] or match["whole"] is None or fraction.strip("0"):
        return None

    # A digit of another script, an exponent or a fraction next to it belongs to the number, which
    # is no ASCII integer then.
    neighbors = text[max(start - 1, 0) : start] + text[end : end + 1]
    if any(not near.isascii() and unicodedata.category(near) in ("Nd", "No") for near in neighbors):
        return None
    if _INSIDE_A_TERM.search(text, max(start - 8, 0), start):
        return None

    digits = re.sub("[^0-9]", "", match["whole"]).lstrip("0") or "0"
    sign = match["sign"] or match["spaced"] or "+"
    return digits if sign == "+" or digits == "0" else "-" + digits
