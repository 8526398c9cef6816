r"""Choices: the letter of a multiple-choice answer, with or without the text of its option.

>>> [read_choice(answer) for answer in ("E", "(E) twelve", r"\textbf{(E)}\ 12", "E: twelve")]
['E', 'E', 'E', 'E']
>>> [read_choice(answer) for answer in ("E or F", "E: F", "Elephant", "E, F", "A dog")]
[None, None, None, None, None]
"""

import re

from papo_jax.grading.wording.latex_decoration import unwrap_decoration

_CHOICE = re.compile(
    r"[\s*_`$({\[]*(?:(?:option|choice|answer):?\s+)?[\s*_`$({\[]*(?P<letter>[A-Z])[*_`$]*"
    r"(?:[)}\]]+[.:*_`]*|[.:][*_`]*(?=\s|$)|\s+[-–—](?=\s)|$)(?P<rest>.*)",
    re.IGNORECASE,
)
_OTHER_CHOICE = re.compile(
    r"\s*[*_`$({\[]*[A-Z](?![A-Za-z'’])|\s*(?i:or|and|nor|not)(?![A-Za-z])"
    r"|.*(?<![A-Za-z])(?i:or|and|nor|not)\s+(?i:option\s+)?[*_`$({\[]*[A-Z](?![A-Za-z'’])"
)
_LETTER = re.compile(r"\(?([A-Z])\)?")


def read_choice(answer: str) -> str | None:
    """Returns the letter that an answer chooses.

    Args:
      answer: one line; a letter, perhaps in brackets, and behind a colon, a full stop, a closing
        bracket or a dash perhaps the text of that option.

    Returns:
      The capital letter; None for any other text, and where a second letter follows.
    """
    match = _CHOICE.fullmatch(unwrap_decoration(answer).replace(r"\ ", " ").strip())
    if match is None or not match["letter"].isupper() or _OTHER_CHOICE.match(match["rest"]):
        return None
    return match["letter"]


def are_equal_choices(reference: str, answer: str) -> bool:
    """Returns True if the reference is a letter such as "E" or "(E)", and an answer chooses it."""
    letter = _LETTER.fullmatch(reference.strip())
    return letter is not None and read_choice(answer) == letter[1]
