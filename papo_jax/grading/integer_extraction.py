r"""Extraction of the final integer of a completion: after a mark, in a box, or its last number.

What is marked is read strictly: "> 8", "at least 8", "8!" and "8 to 9" are no integers there. In
running text the last number counts.
"""

import re

from papo_jax.grading import final_answer
from papo_jax.grading.ambiguous_answers import is_changed_by_context, joins_alternatives
from papo_jax.grading.wording.multipliers import find_multiplier
from papo_jax.grading.wording.number_words import read_number_words
from papo_jax.grading.wording.numerals import NUMERAL, canonical_integer, read_numeral
from papo_jax.grading.wording.plain_latex import write_plainly

_OPENING = re.compile(r"(?:[\s*_:`$=({\[\\]|[-=]+>|[→⇒➔])*")  # before a number that starts a line
_SIGN_APART = re.compile(r"^(\W*?)(-)[ \t]+(?=\$?[0-9])")
_CONTINUATION = re.compile(r"[ \t]*(?:=|[-+*/^×÷xX][ \t]*[$(0-9])")  # of an expression
_EQUALS = re.compile(r"(?<![<>!=-])=(?![=>])")
_NOT_A_NUMBER = re.compile(r"[<>≤≥±∓≠!|√π^\\]")  # in a box: an inequality, a factorial, LaTeX
_HEDGE = re.compile(r"(?<![A-Za-z])(?:or|nor|no|not|maybe|perhaps)(?![A-Za-z])", re.IGNORECASE)
_HTML = re.compile(r"</?(?:b|i|u|em|strong|span|p|div|br|mark|code|font|sub)(?: [^<>\n]{0,60})?/?>")
_NEGATIVE = re.compile(
    r"(?:(?P<not>(?<![A-Za-z])(?:not|isn't))|(?P<operator>[0-9)]\s*)?(?<![A-Za-z])minus"
    r"|(?<![A-Za-z])negative)\s+[*_`$({]*$",
    re.IGNORECASE,
)
_MAX_LABEL = 40  # characters before a number in words, as in "The answer is five."
_LABEL = re.compile(r"(?:.*?(?:\bis|[:=]))?[\s*_`$({]*(?P<minus>minus|negative)?", re.IGNORECASE)


def extract_integer(text: str) -> str | None:
    r"""Finds the integer that a reader would take as the final answer.

    What stands in the last pair of `<answer>` tags is read alone. There, what follows the last
    `####` decides; else the last closed box; else the last number, or a number in words behind
    "The answer is". Two numbers with only "or", "not" or the like between them are no answer.

    Args:
      text: the completion; only its last 10,000 characters count.

    Returns:
      Canonical ASCII digits, with "-" before a negative number; None if what decides is no integer.

    >>> [extract_integer(text) for text in ("3*4=12", "5-3", "x = −7.")]
    ['12', '3', '-7']
    >>> [extract_integer(text) for text in ("#### 1,234 apples", "3.5", "41, no 42")]
    ['1234', None, None]
    >>> [extract_integer(text) for text in ("#### > 8", r"\boxed{7\text{ million}}", "#### five")]
    [None, '7000000', '5']
    """
    text = write_plainly(final_answer.truncate_to_tail(text))
    tagged = final_answer.find_tagged_answer(text)
    text = text if tagged is None else tagged
    after = final_answer.find_text_after_hashes(text)
    if after is not None:
        return _integer_after_hashes(after)
    content = final_answer.find_boxed_answer(text)
    if content is not None:
        return _integer_in_box(content)
    if tagged is None or "\n" in tagged:
        return _last_integer(text, marked_from=_start_of_phrase(text))
    # Numbers alone are an answer as in a box; a sentence ends with it.
    has_words = re.search("[A-Za-z]", tagged) is not None
    return _last_integer(text, marked_from=0) if has_words else _integer_in_box(text)


def _integer_after_hashes(after: str) -> str | None:
    """Returns the integer that the line after `####` starts with, or else the last one.

    A heading such as "#### Step 3" is read as the text that it starts.
    """
    after = _HTML.sub("", after).lstrip()
    line = _SIGN_APART.sub(r"\1\2", after.partition("\n")[0])
    opening = _OPENING.match(line)
    first = NUMERAL.search(line)
    if first is None and (value := _read_words(line, is_alone=not after[len(line) :].strip())):
        return value
    if first is None or not opening or first.start() > opening.end():
        content = final_answer.find_boxed_answer(after)
        if content is not None:
            return _integer_in_box(content)
        return _last_integer(after, marked_until=len(after.partition("\n")[0]))

    if _CONTINUATION.match(line, first.end()):
        return _value_of_equation(line)
    following = NUMERAL.search(line, first.end())
    if following and _are_alternatives(first, following):
        return None
    return _read_marked(first)


def _integer_in_box(content: str) -> str | None:
    r"""Returns the one integer in a box, with units.

    None for anything that is left to work out, such as \frac{6}{2} or 3*4.
    """
    content = re.sub(r"\\[()\[\]]|[{}]", " ", content)
    content = _SIGN_APART.sub(r"\1\2", content)
    if _HEDGE.search(content):
        return None
    return _value_of_equation(content)


def _value_of_equation(text: str) -> str | None:
    """Returns the value of the last side, unless another side is another number: 41 = 42."""
    *others, last = _EQUALS.split(text)
    for side in others:
        if NUMERAL.fullmatch(side.strip()) and canonical_integer(side) != canonical_integer(last):
            return None
    last = _SIGN_APART.sub(r"\1\2", last)
    if _NOT_A_NUMBER.search(last):
        return None
    numbers = list(NUMERAL.finditer(last))
    if not numbers:
        return _read_words(last)
    return _read_marked(numbers[0]) if len(numbers) == 1 else None


def _read_marked(match: re.Match[str]) -> str | None:
    """Reads a numeral that is marked as the answer, unless its context makes it another."""
    text, end = match.string, match.end()
    before = text[: match.start()] + (match["sign"] or "")
    if is_changed_by_context(before, text[end:]):
        return None
    scale = find_multiplier(text, end)
    if scale is not None:  # 2 thousand 5 hundred, 1 hundred thirty
        rest = text[scale.end :]
        if is_changed_by_context("", rest) or read_number_words(rest.strip()) is not None:
            return None
    return _apply_words_of_sign(text[: match.start()], read_numeral(match))


def _last_integer(
    text: str, *, marked_from: int | None = None, marked_until: int = 0
) -> str | None:
    """Returns the last number of running text, unless the words around it make it another.

    Args:
      text: that is read.
      marked_from: where what is marked as the answer starts, None where nothing is.
      marked_until: where it ends, if it starts with the text.
    """
    before, last = None, None
    for match in NUMERAL.finditer(text):
        before, last = last, match
    tail_start = last.end() if last else 0
    phrased = final_answer.find_phrased_answer(text[tail_start:])
    if phrased is not None or last is None:
        value = _read_words(text if phrased is None else phrased)
        if value is not None or last is None:
            return value
    if before and _are_alternatives(before, last):
        return None
    is_marked = last.start() < marked_until or (
        marked_from is not None and last.start() >= marked_from
    )
    if is_marked:
        return _read_marked(last)
    if re.search(r"[±∓√]\s*$|\\(?:pm|mp)\s*$|\+/-\s*$", text[: last.start()][-8:]):
        return None
    return _apply_words_of_sign(text[: last.start()], read_numeral(last, counting=False))


def _start_of_phrase(text: str) -> int | None:
    """Returns where what follows the last "The answer is" starts; None without one."""
    phrased = final_answer.find_phrased_answer(text)
    start = text.rfind(phrased) if phrased else -1
    return start if start >= 0 else None


def _apply_words_of_sign(before: str, value: str | None) -> str | None:
    """Applies "minus", "negative" or "not" in front of a number."""
    words = _NEGATIVE.search(before[-_MAX_LABEL:])
    if words is None or value is None:
        return value
    if words["not"] or words["operator"] or value.startswith("-"):
        return None
    return value if value == "0" else "-" + value


def _read_words(text: str, *, is_alone: bool = True) -> str | None:
    """Reads a number in words, alone or with a unit, such as "The answer is five apples."."""
    if re.search(r"\d", text) or _HEDGE.search(text):
        return None
    label = _LABEL.match(text)
    start = label.end() if label else 0
    found = read_number_words(text[start:])
    rest = text[start + found.end :].strip(" .*_`$)}!\n") if found else ""
    if found is None or (rest and not is_alone) or len(rest) > _MAX_LABEL:
        return None
    return f"-{found.value}" if label and label["minus"] else str(found.value)


def _are_alternatives(first: re.Match[str], second: re.Match[str]) -> bool:
    return joins_alternatives(first.string[first.end() : second.start()])
