r"""Where a text says that its final answer stands: between tags, in a box, after a mark.

Every search is linear in the text, which `cut` keeps short.

>>> marked(r"<answer>41</answer> ... no: \boxed{42}")
'41'
>>> marked("#### 42 apples"), marked("Thus, the answer is **42**.")
('42 apples', '42**.')
"""

import re

TAIL = 10_000  # characters of a text that are read, and the most that a gold may have
HASHES = "####"  # GSM8K ends a solution with these and the answer
_BOX = re.compile(
    r"\\(?:boxed|fbox)\s*(?:(?P<open>\{)|(?P<bare>[-+]?[0-9](?:[0-9.,/]*[0-9])?|(?<=\s)[A-Za-z](?![A-Za-z])))"
)
_PHRASE = re.compile(
    r"^[^\w\n]{0,8}(?:(?:so|thus|hence|therefore|and|the|my|our|final|correct),?[ \t]+){0,5}"
    r"answer(?:[ \t]+is\b|[ \t*_]{0,5}[:=])(?P<rest>.*)",
    re.IGNORECASE | re.MULTILINE,
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ is a bracket of a set, not one of TeX's
_DECORATION = " \t\r\n*_`"


def cut(text: str) -> str:
    """Keeps the part of a text that graders read: its end, without a number cut in two.

    Args:
      text: what the policy wrote.

    Returns:
      At most `TAIL` characters; a text that lost its start begins with an ellipsis, so that it
      equals no gold.

    >>> cut("short"), len(cut("long " * TAIL)), cut("1" * TAIL + "2, 3")
    ('short', 10000, '… 3')
    """
    return text if len(text) <= TAIL else "…" + text[1 - TAIL :].lstrip("0123456789.,")


def spoken(text: str) -> str:
    """What a policy says after it has thought: the text behind the last `</think>`, or all of it
    where nothing is.

    >>> spoken("<think>41?</think> It is 42."), spoken("It is 42.")
    (' It is 42.', 'It is 42.')
    """
    _, closing, said = text.rpartition("</think>")
    return said if closing and said.strip() else text


def tagged(text: str) -> str | None:
    """What stands between the last `<answer>` and `</answer>`; None without such a pair.

    >>> tagged("<answer>1</answer> <answer> 2 </answer> <answer>")
    '2'
    """
    before, closing, _ = text.rpartition("</answer>")
    _, opening, content = before.rpartition("<answer>")
    return content.strip() if closing and opening else None


def boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}` or `\fbox{...}`; None without one, or if the last is
    never closed.

    >>> (boxed(r"\boxed{1} \boxed{\frac{1}{2}}"), boxed(r"\boxed 7."), boxed(r"\boxed{1} \boxed{2"))
    ('\\frac{1}{2}', '7', None)
    """
    last = None
    for last in _BOX.finditer(text):
        pass
    if last is None:
        return None
    return last["bare"] if last["bare"] else braced(text, last.end())


def marked(text: str) -> str | None:
    """What a text marks as its final answer.

    The last pair of `<answer>` tags decides, and a box within it; else the last box; else the line
    of the last `####`; else the last line that starts with "Answer:", "The answer is" or the like.

    Args:
      text: what the policy wrote, already `cut`.

    Returns:
      The answer as it stands there, or None if nothing is marked.
    """
    inside = tagged(text)
    if inside is not None:
        box = boxed(inside)
        return inside if box is None else box
    box = boxed(text)
    if box is not None:
        return box
    _, hashes, after = text.rpartition(HASHES)
    return _first_line(after) if hashes else _after_phrase(text)


def plain(text: str) -> str:
    """Takes white space, a full stop and Markdown's emphasis off both ends.

    >>> plain(" **42**.")
    '42'
    """
    return text.strip(_DECORATION).removesuffix(".").strip(_DECORATION)


def last_line(text: str) -> str:
    """The last line that is not blank; empty if all are."""
    return text.rstrip().rpartition("\n")[2].strip()


def _after_phrase(text: str) -> str | None:
    last = None
    for last in _PHRASE.finditer(text):
        pass
    if last is None:
        return None
    rest = last["rest"].lstrip(_DECORATION + ":=").strip()
    rest = rest if rest and rest not in (r"\[", "$$") else _first_line(rest + text[last.end() :])
    further = _PHRASE.match(rest)  # "Final Answer: The final answer is 42. I hope it is correct."
    rest = further["rest"].lstrip(_DECORATION + ":=") if further else rest
    return rest.removesuffix("I hope it is correct.").rstrip()


def _first_line(text: str) -> str:
    text = text.lstrip()
    for opening, closing in ((r"\[", r"\]"), ("$$", "$$")):
        if text.startswith(opening) and closing in text[2:]:
            return text[2:].partition(closing)[0].strip()
    return text.partition("\n")[0].strip()


def braced(text: str, start: int) -> str | None:
    """What stands between a brace that opens right before `start` and its partner; None if that
    never comes."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return text[start : brace.start()]
    return None
