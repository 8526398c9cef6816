r"""Verdicts on one answer: pure functions of text, with no evaluation of what the policy wrote.

An integer is compared as its canonical digits, never through `int`, so that neither a long answer nor a clever one
costs time. Every pattern below is linear in the text and sees only its last 10,000 characters.

>>> grade("integer", "1080", "so 3*360 = $1,080.00")
'right'
>>> grade("integer", "12", r"first \boxed{7}, no: \boxed{12}")
'right'
>>> grade("integer", "twelve", "12")
'error'
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable

from papo_jax.errors import InputError
from papo_jax.tasks.problem import Problem

TAIL = 10_000  # characters of an answer that are read, and the most that a gold may have
_MARK = "####"  # GSM8K ends a solution with this and the answer
_MINUS = r"\-\u2212\u2013"  # hyphen, minus sign and en dash, as part of a character class
_THIN = r"\u00a0\u2009\u202f"  # the spaces that typesetting puts between thousands
_NUMBER = re.compile(
    # A sign directly after a digit, a letter or a closing bracket is an operator or a hyphen; "= - 4" is a sign.
    rf"(?:(?<![0-9A-Za-z)\]}}])(?P<sign>[+{_MINUS}])|(?<==) ?(?P<spaced>[{_MINUS}]) )?\$?"
    rf"(?:(?P<whole>[0-9]{{1,3}}(?:[,{_THIN}][0-9]{{3}})+(?![0-9])|[0-9]+)(?:\.(?P<fraction>[0-9]+))?"
    r"|(?<![.0-9])\.(?P<bare>[0-9]+))"
    r"(?P<exponent>[eE][-+]?[0-9]+)?"
)
_INSIDE_A_TERM = re.compile(r"(?:[0-9]\s*/\s*|[0-9]\.|\^\{?|\}\{|\\sqrt\{)$")  # the rest of 1/2, 1.2.3, 10^5, \frac12
_EXPRESSION_GOES_ON = re.compile(rf"\s*(?:=|[+*/^×÷{_MINUS}]\s*[$(0-9])")
_UNIT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}]*)\}")
_SPACING = re.compile(r"\\(?:[;: ]|quad|left|right)|\^\{?\\circ\}?|[~{}]")


def extract_integer(text: str) -> str | None:
    r"""Finds the integer that a reader would take as the final answer.

    What follows the last `####` decides; else the last closed `\boxed{...}`; else the last number of the text.

    Args:
      text: what the policy wrote; only its last 10,000 characters count.

    Returns:
      Canonical ASCII digits, with "-" before a negative number; None if what decides is no integer.

    >>> [extract_integer(text) for text in ("3*4=12", "5-3", "x = −7.", "#### 1,234 apples", "3.5")]
    ['12', '3', '-7', '1234', None]
    """
    tail = _tail(text)
    _, mark, after = tail.rpartition(_MARK)
    return _marked(after) if mark else _boxed_or_last(tail)


def canonical_integer(text: str) -> str | None:
    """Reads a text that should be one integer and nothing else, such as a gold answer.

    Args:
      text: the whole text; thousands commas, a sign, a leading "$" and ".00" are allowed.

    Returns:
      Canonical digits, or None.

    >>> canonical_integer(" 1,080 "), canonical_integer("-0"), canonical_integer("5 apples")
    ('1080', '0', None)
    """
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= TAIL else None
    return _value(match) if match else None


def grade(grader: str, gold: str, answer: str) -> str:
    """Compares an answer with the gold answer.

    Args:
      grader: "integer" (the final integer of the answer) or "exact" (equal but for white space at the ends).
      gold: the right answer.
      answer: what the policy wrote.

    Returns:
      "right", "wrong", or "error" where the gold itself is unusable, so that no answer could be judged.

    Raises:
      InputError: if there is no such grader.
    """
    return _grader(grader)(gold, answer)


def self_test(grader: str, problems: Iterable[Problem]) -> None:
    """Checks before a run that the grader can tell every gold answer from a neighbour of it.

    Args:
      grader: as in `grade`.
      problems: every problem that the run may draw.

    Raises:
      InputError: names the first problem whose gold is not right against itself, or whose neighbour is not wrong.
    """
    for problem in problems:
        for answer, expected in ((problem.answer, "right"), (_neighbour(grader, problem.answer), "wrong")):
            verdict = grade(grader, problem.answer, answer)
            if verdict != expected:
                raise InputError(
                    f"grader {grader!r} says {verdict!r} to {answer[:40]!r} on problem {problem.identifier} "
                    f"({problem.prompt[:60]!r}, gold {problem.answer[:40]!r}); it should say {expected!r}: "
                    "mend that gold answer or choose another grader"
                )


def _integer(gold: str, answer: str) -> str:
    expected = canonical_integer(gold)
    if expected is None:
        return "error"
    return "right" if extract_integer(answer) == expected else "wrong"


def _exact(gold: str, answer: str) -> str:
    if not gold.strip():
        return "error"  # an empty gold would call an empty answer right
    return "right" if answer.strip() == gold.strip() else "wrong"


def _grader(name: str) -> Callable[[str, str], str]:
    graders = {"integer": _integer, "exact": _exact}
    if name not in graders:
        near = difflib.get_close_matches(str(name), graders, n=1, cutoff=0)[0]
        raise InputError(f"grader {name!r} is none of {', '.join(graders)}; the nearest is {near!r}")
    return graders[name]


def _neighbour(grader: str, gold: str) -> str:
    """The gold plus one, by its last digit alone: golds may be longer than `int` accepts."""
    digits = canonical_integer(gold) if grader == "integer" else None
    if digits is None:
        return gold + "1"
    return digits[:-1] + str((int(digits[-1]) + 1) % 10)


def _tail(text: str) -> str:
    """The end of a text, without a number cut in two, and with LaTeX's ways to write "," and "$" undone."""
    tail = text[-TAIL:]
    if len(text) > TAIL:
        tail = tail.lstrip("0123456789.,")
    for latex, plain in (("{,}", ","), (r"\!", ""), (r"\,", ""), (r"\$", "$"), (r"\%", "%")):
        tail = tail.replace(latex, plain)
    return tail


def _marked(after: str) -> str | None:
    """The number right behind `####`; a heading such as "#### Step 3" is read as the text that it starts."""
    after = after.lstrip(" \t\r\n*_:`")
    match = _NUMBER.match(after)
    if not match:
        return _boxed_or_last(after)
    if _EXPRESSION_GOES_ON.match(after, match.end()):
        return _last_number(after.partition("\n")[0])
    return _value(match)


def _boxed_or_last(text: str) -> str | None:
    start = text.rfind(r"\boxed{")
    content = _braced(text, start + len(r"\boxed{")) if start >= 0 else None
    return _last_number(text) if content is None else _boxed(content)


def _braced(text: str, start: int) -> str | None:
    """What stands between an opened brace and its partner; None if that never comes."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if not depth:
            return text[start:position]
    return None


def _boxed(content: str) -> str | None:
    r"""The one integer in a box, with units; None for anything to work out, such as \frac{6}{2} or 3*4."""
    content = _SPACING.sub(" ", _UNIT.sub(r" \1 ", content)).rpartition("=")[2]
    if "\\" in content or "^" in content:
        return None
    numbers = list(_NUMBER.finditer(content))
    return _value(numbers[0]) if len(numbers) == 1 else None


def _last_number(text: str) -> str | None:
    last = None
    for last in _NUMBER.finditer(text):
        pass
    return _value(last) if last else None


def _value(match: re.Match) -> str | None:
    """Canonical digits of a match; None if it is a decimal, or a part of a larger term."""
    text, start, end = match.string, match.start(), match.end()
    fraction = match["fraction"] or match["bare"] or ""
    if match["exponent"] or match["whole"] is None or fraction.strip("0"):
        return None
    # A digit of another script, an exponent or a fraction next to it belongs to the number: no ASCII integer then.
    neighbours = text[max(start - 1, 0) : start] + text[end : end + 1]
    if any(not near.isascii() and unicodedata.category(near) in ("Nd", "No") for near in neighbours):
        return None
    if _INSIDE_A_TERM.search(text, max(start - 8, 0), start):
        return None
    digits = re.sub("[^0-9]", "", match["whole"]).lstrip("0") or "0"
    sign = match["sign"] or match["spaced"] or "+"
    return digits if sign == "+" or digits == "0" else "-" + digits
