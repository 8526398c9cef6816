r"""Numbers in English words: cardinals such as "twenty-one thousand and five", and ordinals.

>>> read_number_words("Twenty-one thousand and five people")
NumberInWords(value=21005, end=28)
>>> read_number_words("a dozen").value, read_number_words("the twelfth").value
(12, 12)
>>> read_number_words("one half"), read_number_words("people")
(None, None)
"""

import re
from typing import NamedTuple

_BELOW_TWENTY = """zero one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SMALL_NUMBERS = {word: value for value, word in enumerate(_BELOW_TWENTY)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_GROUPS = {"hundred": 100, "dozen": 12, "score": 20}
_ORDINALS = (
    {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
    | {
        f"{word}th": value
        for word, value in SMALL_NUMBERS.items()
        if value not in (1, 2, 3, 5, 8, 9, 12)
    }
    | {f"{word[:-1]}ieth": 10 * value for value, word in enumerate(_TENS, 2)}
)
_WORD = re.compile(r"[\s\-]*([A-Za-z]+)")
_MAX_WORDS = 30
# Words behind a number that make it another, or no number: one half, two thirds, five or six.
_CHANGING = frozenset(
    """half halves quarter quarters thirds fourths fifths sixths sevenths eighths ninths tenths
    hundredth hundredths thousandth thousandths percent point and or to of plus minus times over by
    more less fewer squared cubed factorial pair pairs gross""".split()
) | (
    frozenset((*SMALL_NUMBERS, *_GROUPS, *_SCALES, *_ORDINALS)) - {"second"}
)  # which is a unit too


class NumberInWords(NamedTuple):
    """A number in words: its value, and where it ends in its text."""

    value: int
    end: int


def read_number_words(text: str) -> NumberInWords | None:
    """Reads the number in words that a text starts with.

    Args:
      text: English, in any case; "a", "an" and "the" may stand before the number.

    Returns:
      The number; None if the text starts with none, or goes on so that it means another.
    """
    total = group = 0  # what is complete, and what a following "thousand" would scale
    last, end, words = "", 0, 0
    for word, word_end in _words_of(text):
        words += 1
        if word in ("a", "an", "the") and words == 1 or word == "and" and last in _GROUPS | _SCALES:
            last = word
            continue
        step = _add_word(word, last, total, group)
        if step is None:
            break
        total, group = step
        last, end = word, word_end
        if word in _ORDINALS:
            break
    if not end or _is_changed(text[end:]):
        return None
    return NumberInWords(total + group, end)


def _words_of(text: str):
    """Yields the words that a text starts with, in lower case, and where each of them ends."""
    end = 0
    for _ in range(_MAX_WORDS):
        match = _WORD.match(text, end)
        if match is None:
            return
        end = match.end()
        yield match[1].lower(), end


def _add_word(word: str, last: str, total: int, group: int) -> tuple[int, int] | None:
    """Returns the total and the group with one word more; None if it does not continue a number."""
    can_add = last not in SMALL_NUMBERS or (last in _TENS and 0 < SMALL_NUMBERS.get(word, 10) < 10)
    if word in SMALL_NUMBERS and can_add:
        return total, group + SMALL_NUMBERS[word]
    if word in _ORDINALS and last not in ("a", "an"):  # a fifth is a part
        can_add = last not in SMALL_NUMBERS or (last in _TENS and _ORDINALS[word] < 10)
        return (total, group + _ORDINALS[word]) if can_add else None
    if word in _GROUPS and group < 100 and last not in _GROUPS:
        return total, (group or 1) * _GROUPS[word]
    if word in _SCALES and last not in _SCALES and (not total or total >= 1000 * _SCALES[word]):
        return total + (group or 1) * _SCALES[word], 0
    return None


def _is_changed(rest: str) -> bool:
    """Returns True if the text behind a number in words makes it another number, or two."""
    following = [word for word, _ in _words_of(rest)]
    if not following:
        return bool(re.match(r"\s*[-+*/^×÷0-9]", rest))
    return following[0] in _CHANGING or "or" in following[:3]
