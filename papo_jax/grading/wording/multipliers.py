r"""Multipliers: what stands behind a number and scales it, such as "million", "k" and "dozen".

>>> find_multiplier("7 hundred thousand dollars", 1)
Multiplier(factor=Fraction(100000, 1), end=18)
>>> find_multiplier("7k", 1).factor, find_multiplier("7 km", 1)
(Fraction(1000, 1), None)
"""

import re
from fractions import Fraction
from typing import NamedTuple

_POWERS_OF_TEN = """
    1 ten tens; 2 hundred hundreds 百; 3 thousand thousands grand k K тыс 千;
    4 myriad myriads 万 萬;
    5 lakh lakhs lac lacs; 6 million millions millón millones millionen mn mln mio M MM млн;
    7 crore crores; 8 亿 億; 9 billion billions milliard milliards milliarden bn bln mrd B млрд;
    12 trillion trillions tn trn T; 15 quadrillion quadrillions; 18 quintillion quintillions;
    100 googol
"""
_PARTS = """
    2 half halves; 3 thirds; 4 fourths; 5 fifths; 6 sixths; 7 sevenths; 8 eighths; 9 ninths;
    10 tenths; 100 hundredths; 1000 thousandths; 1000000 millionths
"""  # "quarters" are coins
_COUNTS = "2 pair pairs; 12 dozen dozens; 20 score; 144 gross"


def _read_table(table: str) -> list[tuple[int, list[str]]]:
    entries = [entry.split() for entry in table.split(";")]
    return [(int(number), spellings) for number, *spellings in entries]


MULTIPLIERS = (
    {word: Fraction(10**power) for power, words in _read_table(_POWERS_OF_TEN) for word in words}
    | {word: Fraction(1, parts) for parts, words in _read_table(_PARTS) for word in words}
    | {word: Fraction(count) for count, words in _read_table(_COUNTS) for word in words}
)
# Words that count things as often as they scale a number: seven pairs of shoes, a score of seven.
COUNTING_WORDS = frozenset("pair pairs score gross ten tens half grand".split())
_SYMBOLS = frozenset("k K M MM B T".split())  # whose case matters
_UNIT_SYMBOLS = frozenset("K M B T".split())  # kelvin, mol/L, bytes, tesla
_FOLDED = {word.casefold(): factor for word, factor in MULTIPLIERS.items() if word not in _SYMBOLS}
_MAX_GAP = 12  # characters between a number and its multiplier
_GAP = rf"(?:[\s\-*_`${{}}(]|\\[ ;:]){{0,{_MAX_GAP}}}"
_WORD = re.compile(rf" ?(?P<sign>[万萬亿億千百])|{_GAP}(?P<word>[^\W\d_]+)(?![&'’]|\.[A-Za-z])")


class Multiplier(NamedTuple):
    """A multiplier: the exact factor, and where it ends in its text."""

    factor: Fraction
    end: int


def find_multiplier(
    text: str, start: int, *, counting: bool = True, money: bool = False, units: bool = False
) -> Multiplier | None:
    """Finds the multipliers that directly follow a number, such as "hundred thousand".

    Args:
      text: with the number.
      start: where the number ends.
      counting: also the words of `COUNTING_WORDS`, which running text uses otherwise.
      money: the number has a sign of currency, so that m and b are millions and billions.
      units: the number is a measurement, where K, M, B and T are units.

    Returns:
      The product of all of them, or None where there is none.
    """
    factor, end = Fraction(1), start
    while (match := _WORD.match(text, end)) and factor < 10**300:
        word = match["word"] or match["sign"]
        found = _find_factor(word, counting=counting, money=money)
        is_option = word in _SYMBOLS and "(" in match[0]  # as in "7 (B)"
        is_unit = units and word in _UNIT_SYMBOLS
        if found is None or is_option or is_unit:
            break
        factor, end = factor * found, match.end()
    return Multiplier(factor, end) if end > start else None


def _find_factor(word: str, *, counting: bool, money: bool) -> Fraction | None:
    if not counting and word.casefold() in COUNTING_WORDS:
        return None
    if money and word in ("m", "b", "t"):
        word = word.upper()
    return MULTIPLIERS[word] if word in _SYMBOLS else _FOLDED.get(word.casefold())
