r"""Extraction of a mathematical answer from a completion, marked or not."""

import re

from papo_jax.grading.ambiguous_answers import joins_alternatives, negates_or_scales
from papo_jax.grading.final_answer import find_marked_answer, last_line, strip_decoration
from papo_jax.grading.math_answers.latex.canonical_latex import MAX_CHARACTERS
from papo_jax.grading.math_answers.latex.digit_groups import join_spaced_groups
from papo_jax.grading.wording.multipliers import find_multiplier

DENIAL = re.compile(
    r"(?<![A-Za-z])(?:no|not|nor|neither|never|isn't|maybe|perhaps|possibly)(?![A-Za-z])",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"(?<!\\)\$([^$\n]+)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_DISPLAYS = (("$$", "$$"), (r"\[", r"\]"))
_NUMBER = re.compile(
    r"(?<![\w.,^/*\\{)])[-\u2212]?\$?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:/\d+)?%?"
    r"(?![\w^!*/+{(]|\.\d|,\d)"
)
_REMARK = re.compile(  # behind a number: a unit or a remark, but no more mathematics and no code
    r"[^0-9(=<>{}\[\]\\]*"
)
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|log|ln|sqrt|pi)(?![A-Za-z]))[A-Za-z]{2,}")
_MAX_FORMULA_LINE = 100  # characters of a last line that is an answer as it stands


def extract_math_answer(text: str) -> str | None:
    r"""Finds the final answer of a completion.

    What is marked decides (`final_answer.find_marked_answer`); else the last formula between dollar
    signs, \( \) or \[ \] of the last line, with those joined to it by "or" and the like; else that
    line if it is but a formula; else its last number.

    Args:
      text: the completion, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      The answer as it stands there, or None.

    >>> extract_math_answer("Hence $x = 4$, so $y = 5$ or $6$.")
    'y = 5$ or $6'
    >>> extract_math_answer("All in all 3 apples."), extract_math_answer("It is 3 or 4.")
    ('3', None)
    """
    marked = find_marked_answer(text)
    if marked is not None:
        return _drop_words_around_formula(marked)
    if r"\boxed" in text or r"\fbox" in text:
        return None  # a box that was never closed

    # A displayed formula at the very end.
    text = text.rstrip(" \t\r\n.")
    for opening, closing in _DISPLAYS:
        before = text.removesuffix(closing)
        if before != text and opening in before:
            return before.rpartition(opening)[2]

    line = strip_decoration(last_line(text))
    if len(line) > MAX_CHARACTERS:
        line = "… " + line[-MAX_CHARACTERS:].lstrip("0123456789.,")
    return _last_formula(line) if _FORMULA.search(line) else _last_number(line)


def _drop_words_around_formula(marked: str) -> str:
    """Shortens "$5$, the number of pupils" to its one formula.

    Anything with another formula, or with digits outside of it, stays as it stands.
    """
    formulas = list(_FORMULA.finditer(marked))
    if len(formulas) != 1:
        return marked
    before, after = marked[: formulas[0].start()], marked[formulas[0].end() :]
    outside = before + after
    has_more = re.search(r"\d|\bor\b", outside) or DENIAL.search(outside)
    return formulas[0][0] if not before.strip(" *_") and not has_more else marked


def _last_formula(line: str) -> str | None:
    """Returns the last formula of a line, with those before it that are part of one answer."""
    formulas = list(_FORMULA.finditer(line))
    if re.search(r"\d", line[formulas[-1].end() :]):
        return None
    first = len(formulas) - 1
    while first and _form_one_answer(line, formulas[first - 1], formulas[first]):
        first -= 1
    return line[formulas[first].start() : formulas[-1].end()].strip("$")


def _form_one_answer(line: str, before: re.Match[str], after: re.Match[str]) -> bool:
    """Returns True if two formulas are members of one answer.

    They are not in "$2x = 8$, $x = 4$", which is a chain of thought.
    """
    between = line[before.end() : after.start()]
    return joins_alternatives(between) or (not between.strip(" ,;") and "=" not in before[0])


def _last_number(line: str) -> str | None:
    """Returns a line that is but a formula, or the last number of one with words."""
    if len(line) <= _MAX_FORMULA_LINE and not _WORD.search(line):
        return line or None
    line = join_spaced_groups(line)
    numbers = list(_NUMBER.finditer(line))
    if not numbers:
        return None

    last = numbers[-1]
    scale = find_multiplier(line, last.end(), counting=False, units=True)
    end = scale.end if scale else last.end()
    if not _REMARK.fullmatch(line, end) or negates_or_scales(line[: last.start()], line[end:]):
        return None
    if len(numbers) > 1:
        between = line[numbers[-2].end() : last.start()]
        if joins_alternatives(between) or not between.strip(" ,;"):
            return None
    return line[last.start() : end]
