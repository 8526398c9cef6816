r"""Final answers as a completion marks them: between tags, in a box, after a mark.

Every search is linear in the text, which `truncate_to_tail` keeps short.

>>> find_marked_answer(r"<answer>41</answer> ... no: \boxed{42}")
'41'
>>> find_marked_answer("#### 42 apples"), find_marked_answer("Thus, the answer is **42**.")
('42 apples', '42**.')
"""

import collections
import re

TAIL_CHARACTERS = 10_000  # of a completion that are read, and the most that a reference may have
HASHES = "####"  # GSM8K ends a solution with these and the answer
_BOX = re.compile(
    r"\\(?:boxed|fbox)\s*"
    r"(?:(?P<open>\{)|(?P<bare>[-+]?[0-9](?:[0-9.,/]*[0-9])?|(?<=\s)[A-Za-z](?![A-Za-z])))"
)
_PHRASE = re.compile(
    r"^[^\w\n]{0,8}(?:(?:so|thus|hence|therefore|and|the|my|our|final|correct),?[ \t]+){0,5}"
    r"answer(?:[ \t]+is\b|[ \t*_]{0,5}[:=])(?P<rest>.*)",
    re.IGNORECASE | re.MULTILINE,
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ is a bracket of a set, not one of TeX's
_DECORATION = " \t\r\n*_`"


def truncate_to_tail(text: str) -> str:
    """Keeps the part of a text that graders read: its end, without a number cut in two.

    Args:
      text: the completion.

    Returns:
      At most `TAIL_CHARACTERS` characters; a text that lost its start begins with an ellipsis, so
      that it equals no reference answer.

    >>> truncate_to_tail("short"), len(truncate_to_tail("long " * TAIL_CHARACTERS))
    ('short', 10000)
    >>> truncate_to_tail("1" * TAIL_CHARACTERS + "2, 3")
    '… 3'
    """
    if len(text) <= TAIL_CHARACTERS:
        return text
    return "…" + text[1 - TAIL_CHARACTERS :].lstrip("0123456789.,")


def strip_thinking(text: str) -> str:
    """Returns the text after the last `</think>`, or all of it where nothing follows.

    >>> strip_thinking("<think>41?</think> It is 42."), strip_thinking("It is 42.")
    (' It is 42.', 'It is 42.')
    """
    _, closing, after = text.rpartition("</think>")
    return after if closing and after.strip() else text


def find_tagged_answer(text: str) -> str | None:
    """Returns the content of the last `<answer>...</answer>`; None without such a pair.

    >>> find_tagged_answer("<answer>1</answer> <answer> 2 </answer> <answer>")
    '2'
    """
    before, closing, _ = text.rpartition("</answer>")
    _, opening, content = before.rpartition("<answer>")
    return content.strip() if closing and opening else None


def find_boxed_answer(text: str) -> str | None:
    r"""Returns the content of the last `\boxed{...}` or `\fbox{...}`.

    None without a box, or if the last one is never closed.

    >>> find_boxed_answer(r"\boxed{1} \boxed{\frac{1}{2}}"), find_boxed_answer(r"\boxed 7.")
    ('\\frac{1}{2}', '7')
    >>> find_boxed_answer(r"\boxed{1} \boxed{2") is None
    True
    """
    last = _last_match(_BOX, text)
    if last is None:
        return None
    return last["bare"] if last["bare"] else braced_content(text, last.end())


def find_text_after_hashes(text: str) -> str | None:
    """Returns what follows the last `####`; None without one.

    Where nothing follows, the last ones may close what the ones before opened: "#### 42 ####".

    >>> find_text_after_hashes("#### 42 apples"), find_text_after_hashes("#### 42 ####")
    (' 42 apples', ' 42 ')
    """
    before, hashes, after = text.rpartition(HASHES)
    if not hashes:
        return None
    if not after.strip(_DECORATION + "#."):
        _, opened, enclosed = before.rstrip("#").rpartition(HASHES)
        content = enclosed.strip()
        if opened and content and "\n" not in content:
            return enclosed
    return after


def find_marked_answer(text: str) -> str | None:
    """Returns what a text marks as its final answer.

    The last pair of `<answer>` tags decides, and a box within it; else the last box; else the line
    of the last `####`; else the last line that starts with "Answer:", "The answer is" or the like.

    Args:
      text: the completion, already truncated by `truncate_to_tail`.

    Returns:
      The answer as it stands there, or None if nothing is marked.
    """
    tagged = find_tagged_answer(text)
    if tagged is not None:
        boxed = find_boxed_answer(tagged)
        return tagged if boxed is None else boxed

    boxed = find_boxed_answer(text)
    if boxed is not None:
        return boxed

    after = find_text_after_hashes(text)
    return find_phrased_answer(text) if after is None else _first_line(after)


def strip_decoration(text: str) -> str:
    """Takes white space, a full stop and Markdown's emphasis off both ends.

    >>> strip_decoration(" **42**.")
    '42'
    """
    return text.strip(_DECORATION).removesuffix(".").strip(_DECORATION)


def last_line(text: str) -> str:
    """Returns the last line that is not blank; empty if all are."""
    return text.rstrip().rpartition("\n")[2].strip()


def braced_content(text: str, start: int) -> str | None:
    """Returns the text between a brace that opens right before `start` and its partner.

    None if that partner never comes.
    """
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return text[start : brace.start()]
    return None


def find_phrased_answer(text: str) -> str | None:
    """Returns what follows the last "Answer:", "The answer is" or the like."""
    last = _last_match(_PHRASE, text)
    if last is None:
        return None

    # The rest of the line; the next line where that is empty or only opens a display.
    rest = last["rest"].lstrip(_DECORATION + ":=").strip()
    if not rest or rest in (r"\[", "$$"):
        rest = _first_line(rest + text[last.end() :])

    further = _PHRASE.match(rest)  # "Final Answer: The final answer is 42. I hope it is correct."
    rest = further["rest"].lstrip(_DECORATION + ":=") if further else rest
    return rest.removesuffix("I hope it is correct.").rstrip()


def _first_line(text: str) -> str:
    """Returns the first line that is not blank, or all of a displayed formula that starts it."""
    text = text.lstrip()
    for opening, closing in ((r"\[", r"\]"), ("$$", "$$")):
        if text.startswith(opening) and closing in text[2:]:
            return text[2:].partition(closing)[0].strip()
    return text.partition("\n")[0].strip()


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    matches = collections.deque(pattern.finditer(text), maxlen=1)
    return matches[0] if matches else None
