r"""Numerals: integers in digits, found in a text and read as canonical digits.

A numeral is read as its digits, never through `int` unless it is short, so that neither a long
answer nor a clever one costs time. Every pattern is linear in the text.

>>> [canonical_integer(text) for text in ("1,080", "12 500", "12,50,000", "12'500", "1,08")]
['1080', '12500', '1250000', '12500', None]
"""

import re
import unicodedata
from fractions import Fraction

from papo_jax.grading.final_answer import TAIL_CHARACTERS
from papo_jax.grading.wording.characters import replace_characters
from papo_jax.grading.wording.multipliers import find_multiplier

_CURRENCY = r"[A-Z]{0,3}[$€£¥₹₩₽₪₦₫₱฿]|Rs\.?|USD|EUR|GBP|INR|CAD|AUD|JPY|CNY|CHF"
_GROUPED = (  # groups of three digits, each between the same separators, or India's groups of two
    r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,2}(?:,[0-9]{2}){1,9},[0-9]{3}(?![0-9])"
    r"|[1-9][0-9]{0,2}(?: [0-9]{3}){1,9}(?![0-9])|[1-9][0-9]{0,2}(?:_[0-9]{3}){1,9}(?![0-9])"
    r"|[1-9][0-9]{0,2}(?:['’‘ʼ´`][0-9]{3}){1,9}(?![0-9])"
    r"|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,9}(?![0-9])"
)
NUMERAL = re.compile(
    # A sign directly after a digit, a letter or a closing bracket is an operator or a hyphen;
    # "= - 4" is a sign.
    r"(?:(?<![0-9A-Za-z)\]}+-])(?P<sign>[-+]+)(?P<opening>[({\[*_$]{0,4})"
    r"|(?<==) ?(?P<spaced>-) )?"
    rf"(?:(?<![A-Za-z])(?P<currency>{_CURRENCY}) ?)?"
    rf"(?:(?P<hour>[0-9]{{1,2}}):00(?![0-9:])|(?P<whole>{_GROUPED}|[0-9]+)"
    r"(?:\.(?P<fraction>[0-9]+))?"
    r"|(?<![.0-9])\.(?P<bare>[0-9]+))"
    r"(?P<exponent>[eE][-+]?[0-9]+)?"
    r"|(?P<foreign>(?=[^\x00-\x7f])\d+|[¼-¾⅐-⅞])"  # no integers here, but numbers all the same
)
_SEPARATED = re.compile(rf"(?<![0-9.,])(?:{_GROUPED})")
_INSIDE_A_TERM = re.compile(  # the rest of 1/2, 1.2.3, 10^5, \frac12, 52_8, √8
    r"(?:[0-9]\s*/\s*|[0-9]\.|\^\{?|\}\{|\\sqrt\{?|√\(?|[0-9A-Za-z}]_\{?)$"
)
_SEPARATORS = r"[.,'’‘ʼ´`_·˙،٫٬，、‚]"
_TORN_BEFORE = re.compile(rf"[0-9](?:{_SEPARATORS}|__+)$")
_TORN_AFTER = re.compile(rf"(?:{_SEPARATORS}|__+)[0-9]")
_LIST_OF_DIGITS = re.compile(r"(?<![0-9])[0-9],$")  # as in 1,2,3
_SUPERSCRIPT_SIGNS = "⁺⁻₊₋"
_JOINING_CATEGORIES = ("Nd", "No", "Nl", "Cf", "Mn")
_MAX_MULTIPLIED = 1000  # digits of a number in front of a multiplier


def canonical_integer(text: str) -> str | None:
    """Reads a text that should be one integer and nothing else, such as a reference answer.

    Args:
      text: the whole text; separators of thousands, a sign, a leading "$" and ".00" are allowed.

    Returns:
      Canonical digits, or None.

    >>> [canonical_integer(text) for text in (" 1,080 ", "-0", "5 apples")]
    ['1080', '0', None]
    """
    if len(text) > TAIL_CHARACTERS:
        return None
    match = NUMERAL.fullmatch(replace_characters(text).strip())
    if match is None or match["hour"] or (match["opening"] or "").strip("$"):
        return None  # an hour such as 5:00, or the start of an expression
    if len(match["sign"] or "") > 1:
        return None
    return read_numeral(match)


def read_numeral(match: re.Match[str], *, counting: bool = True) -> str | None:
    """Returns the canonical digits of a numeral, scaled by a multiplier behind it.

    Args:
      match: of `NUMERAL`.
      counting: as in `multipliers.find_multiplier`.

    Returns:
      Digits, with "-" before a negative number; None if it is no integer or part of a larger term.
    """
    if match["foreign"] or match["exponent"] or _is_part_of_another(match):
        return None
    whole = re.sub("[^0-9]", "", match["whole"] or match["hour"] or "")
    fraction = match["fraction"] or match["bare"] or ""
    scale = find_multiplier(
        match.string, match.end(), counting=counting, money=bool(match["currency"])
    )
    if scale is not None:
        if len(whole) + len(fraction) > _MAX_MULTIPLIED:
            return None
        value = Fraction(f"{whole or 0}.{fraction or 0}") * scale.factor
        whole, fraction = str(value.numerator), "" if value.denominator == 1 else "5"
    if not whole or fraction.strip("0"):
        return None

    digits = whole.lstrip("0") or "0"
    sign = match["sign"] or match["spaced"] or ""
    return "-" + digits if "-" in sign and digits != "0" else digits


def drop_group_separators(text: str) -> str:
    """Takes the separators out of the grouped digits of a text.

    >>> drop_group_separators("12 500 and 1,25,000.5")
    '12500 and 125000.5'
    """
    return _SEPARATED.sub(lambda match: re.sub("[^0-9]", "", match[0]), text)


def _is_part_of_another(match: re.Match[str]) -> bool:
    """Returns True if what stands directly at a numeral makes it a part of another number."""
    text, start, end = match.string, match.start(), match.end()
    # A digit of another script, an exponent or a fraction next to it belongs to the number, which
    # is no ASCII integer then; so may a character that nobody sees or that strikes it through.
    for near in text[max(start - 1, 0) : start] + text[end : end + 1]:
        joins = near in _SUPERSCRIPT_SIGNS or unicodedata.category(near) in _JOINING_CATEGORIES
        if joins and not near.isascii():
            return True

    before = text[max(start - 8, 0) : start]
    if _INSIDE_A_TERM.search(before) or _TORN_AFTER.match(text, end):
        return True
    is_listed = end - start == 1 and _LIST_OF_DIGITS.search(before) is not None
    return _TORN_BEFORE.search(before) is not None and not is_listed
