r"""The grader "math": numbers, formulas, sets, intervals, matrices and words, in LaTeX or not.

Equal texts are right at once; else both answers are taken apart (`structure`), and their values
compared one by one (`values`): numbers exactly, formulas by math-verify, gold first.

>>> judge(r"\frac{14}{3}", r"so $x = \boxed{\dfrac{14}{3}}$.")
Judgment(verdict='right', answer='14/3', reason='')
>>> (judge("42", r"\boxed{41 \text{ or } 42}").verdict, judge("42", "Answer: 41, no 42").verdict)
('wrong', 'wrong')
"""

import re

from papo_jax.grading import final_answer, hedges
from papo_jax.grading.judgment import ERROR, KEPT, RIGHT, WRONG, Judgment
from papo_jax.grading.math_answers import (
    canonical_latex,
    equivalence,
    rationals,
    structure,
    symbolic,
    values,
)

_SPAN = re.compile(r"(?<!\\)\$([^$\n]+)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_DISPLAYS = (("$$", "$$"), (r"\[", r"\]"))
_NUMBER = re.compile(
    r"(?<![\w.,^/*\\{)])[-\u2212]?\$?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:/\d+)?%?(?![\w^!*/+{(]|\.\d|,\d)"
)
_BEHIND = re.compile(
    r"[^0-9(=<>{}\[\]\\]*"
)  # a unit or a remark, but no more mathematics and no code
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|log|ln|sqrt|pi)(?![A-Za-z]))[A-Za-z]{2,}")
_DENIAL = re.compile(
    r"(?<![A-Za-z])(?:no|not|nor|neither|never|isn't|maybe|perhaps|possibly)(?![A-Za-z])",
    re.IGNORECASE,
)
_LONGEST_LINE = 100  # characters of a line that is an answer as it stands


def judge(gold: str, text: str) -> Judgment:
    r"""Compares the final answer of a text with the gold answer.

    Args:
      gold: the right answer in LaTeX, with or without \boxed or dollar signs.
      text: what the policy wrote, already `final_answer.cut`.

    Returns:
      A `Judgment`; an error where the gold is empty, or where it is a formula that cannot be
      compared and the answer is not the same text.
    """
    boxed_gold = final_answer.boxed(gold)
    expected = canonical_latex.canonical(gold if boxed_gold is None else boxed_gold)
    answer = canonical_latex.canonical(extract(text) or "")
    if not expected or len(gold) > final_answer.TAIL:
        return Judgment(ERROR, _kept(answer), f"a gold answer of {len(gold)} characters")
    if answer == expected:
        return Judgment(RIGHT, _kept(answer))
    if (
        not answer
        or len(answer) > canonical_latex.LONGEST
        or (_DENIAL.search(answer) and not _DENIAL.search(expected))
    ):
        return Judgment(WRONG, _kept(answer))
    try:
        equal = equivalence.same(structure.read(expected), structure.read(answer), values.equal)
    except symbolic.Unreadable as error:
        return Judgment(ERROR, _kept(answer), f"the gold answer: {error}")
    return Judgment(RIGHT if equal else WRONG, _kept(answer))


def extract(text: str) -> str | None:
    r"""Finds the final answer of a text.

    What is marked decides (`final_answer.marked`); else the last formula between dollar signs, \(
    \) or \[ \] of the last line, with those joined to it by "or" and the like; else that line if it
    is but a formula; else its last number.

    Args:
      text: what the policy wrote, already `final_answer.cut`.

    Returns:
      The answer as it stands there, or None.

    >>> (
    ...     extract("Hence $x = 4$, so $y = 5$ or $6$."),
    ...     extract("It is 3 or 4."),
    ...     extract("All in all 3 apples."),
    ... )
    ('y = 5$ or $6', None, '3')
    """
    marked = final_answer.marked(text)
    if marked is not None:
        return _only_formula(marked)
    if r"\boxed" in text or r"\fbox" in text:
        return None  # a box that was never closed
    text = text.rstrip(" \t\r\n.")
    for opening, closing in _DISPLAYS:
        before = text.removesuffix(closing)
        if before != text and opening in before:
            return before.rpartition(opening)[2]
    line = final_answer.plain(final_answer.last_line(text))
    line = (
        line
        if len(line) <= canonical_latex.LONGEST
        else "… " + line[-canonical_latex.LONGEST :].lstrip("0123456789.,")
    )
    return _last_formula(line) if _SPAN.search(line) else _last_number(line)


def _only_formula(marked: str) -> str:
    """ "$5$, the number of pupils" without the words; anything with digits outside of its one
    formula as it stands."""
    spans = list(_SPAN.finditer(marked))
    if len(spans) != 1:
        return marked
    outside = marked[: spans[0].start()] + marked[spans[0].end() :]
    starts_with_it = not marked[: spans[0].start()].strip(" *_")
    more = re.search(r"\d|\bor\b", outside) or _DENIAL.search(outside)
    return spans[0][0] if starts_with_it and not more else marked


def _last_formula(line: str) -> str | None:
    spans = list(_SPAN.finditer(line))
    if re.search(r"\d", line[spans[-1].end() :]):
        return None
    first = len(spans) - 1
    while first and _joined(line, spans[first - 1], spans[first]):
        first -= 1
    return line[spans[first].start() : spans[-1].end()].strip("$")


def _joined(line: str, before: re.Match, after: re.Match) -> bool:
    """Whether two formulas are members of one answer; "$2x = 8$, $x = 4$" is a chain of thought."""
    between = line[before.end() : after.start()]
    return hedges.joins(between) or (not between.strip(" ,;") and "=" not in before[0])


def _last_number(line: str) -> str | None:
    if len(line) <= _LONGEST_LINE and not _WORD.search(line):
        return line or None
    numbers = list(_NUMBER.finditer(line))
    if numbers and not _BEHIND.fullmatch(line, numbers[-1].end()):
        return None
    if numbers and hedges.changes(line[: numbers[-1].start()], line[numbers[-1].end() :]):
        return None
    if len(numbers) > 1:
        between = line[numbers[-2].end() : numbers[-1].start()]
        if hedges.joins(between) or not between.strip(" ,;"):
            return None
    return numbers[-1][0] if numbers else None


def _kept(answer: str) -> str | None:
    """What is put to the vote: the value of a number, else the canonical text."""
    form = (
        structure.read(answer)
        if len(answer) <= canonical_latex.LONGEST
        else structure.Form("value", (answer,))
    )
    form = form.parts[1] if form.kind == "named" else form
    value = rationals.read(form.parts[0]) if form.kind == "value" else None
    return (answer if value is None else str(value))[:KEPT] or None
