"""Reader of units in words: "square meters", "km/h", "miles per hour north"."""

import functools
import itertools
import re
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading.math_answers.measures.unit_table import Unit, make_unit_table

_TOKEN = re.compile(r"\^\{?(-?[0-9]+)\}?|[A-Za-zµμΩ°$¢]+(?:-oz)?|/")
# Letters of a unit's name, which is an abbreviation only where it cannot be another word.
_FULL_NAME, _NEVER = 4, 99
_ALWAYS_POLES = frozenset("am pm bc ad ce up".split())
_SPELLINGS = (
    (re.compile(r"\."), ""),
    (re.compile(r"\\cdot|(?<=[A-Za-z])-(?=[A-Za-z])"), " "),
    (re.compile(r"\b(?:fl|fluid) (?:oz|ounces?)\b"), "fl-oz"),
    (re.compile(r"\b(?:degrees?|deg) (celsius|centigrade|fahrenheit)", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(?:degrees?|deg) ([CF])\b"), r"°\1"),
    (re.compile(r"\b(?:us|american) (?=dollars?\b)", re.IGNORECASE), ""),
)
_SLOPPY = frozenset("kg km cm mm ml lb lbs oz ft hr hrs sec min usd eur gbp inr rs kph mph".split())
_PREPOSITIONS = frozenset(
    "of in from for to that which by on with after before ago later than at until each".split()
)
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_COMPASS = "north south east west northeast northwest southeast southwest n s e w ne nw se sw"
_POLES = """
    am morning, pm afternoon evening; bc bce, ad ce; clockwise, counterclockwise anticlockwise;
    left, right; up upward upwards, down downward downwards; profit gain, loss;
    increase rise growth, decrease drop decline reduction; boy, girl; boys, girls; men, women;
    adults, children; heads, tails; odd, even
"""  # words that contradict each other: between semicolons, on the two sides of a comma


class Measure(NamedTuple):
    """A unit as read.

    Attributes:
      numerators: what its numerator may mean; empty without a known unit.
      totals: what all of it may mean.
      has_denominator: whether it has one.
      poles: words with a contrary, such as "north", as (what they are about, which side).
    """

    numerators: tuple[Unit, ...]
    totals: tuple[Unit, ...]
    has_denominator: bool
    poles: frozenset[tuple[str, str]]


@functools.lru_cache(maxsize=1)
def _unit_table() -> dict[str, tuple[Unit, ...]]:
    return make_unit_table()


@functools.lru_cache(maxsize=1)
def _pole_table() -> dict[str, tuple[str, str]]:
    table = {word: ("compass", word[0] + word[5:6]) for word in _COMPASS.split() if len(word) > 2}
    table |= {word: ("compass", word) for word in _COMPASS.split() if len(word) <= 2}
    for group in _POLES.split(";"):
        for pole in group.split(","):
            table |= dict.fromkeys(pole.split(), (group, pole))
    return table


@functools.lru_cache(maxsize=512)
def read_measure(text: str) -> Measure:
    """Reads a unit in words, such as "km per hour"; what is no known unit counts for nothing."""
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    reader = _UnitReader()
    for match in _TOKEN.finditer(text):
        reader.read(match[0], exponent=match[1])
    start, factors = reader.denominator_start, reader.factors
    return Measure(
        numerators=_combine(factors[:start]),
        totals=_combine(factors),
        has_denominator=start is not None and len(factors) > start,
        poles=frozenset(reader.poles),
    )


class _UnitReader:
    """Reads a unit word by word; what follows a preposition is no part of it."""

    def __init__(self):
        self.factors: list[tuple[tuple[Unit, ...], int]] = []  # meanings, and their exponent
        self.denominator_start: int | None = None  # index of its first factor
        self.poles: set[tuple[str, str]] = set()
        self._power, self._least_letters = 1, 1  # of the next factor; of a unit's name

    def read(self, token: str, *, exponent: str | None) -> None:
        """Reads the next word, sign or exponent."""
        word = token.casefold()
        if word in _pole_table() and (
            len(word) > 2 or word in _ALWAYS_POLES or self._is_course(token)
        ):
            self.poles.add(_pole_table()[word])
        elif exponent or word in ("squared", "cubed"):
            self._raise_last(int(exponent) if exponent else _POWERS[word])
        elif word in _POWERS:
            self._power = _POWERS[word]
        elif word in ("/", "per") or (word in ("a", "an", "every") and self.factors):
            self.denominator_start, self._least_letters = len(self.factors), 1
        elif word in _PREPOSITIONS and not (word == "in" and self._expects_abbreviation()):
            self._least_letters = _NEVER
        else:
            self._read_unit(token)

    def _read_unit(self, token: str) -> None:
        meanings = _find_unit(token) if len(token) >= self._least_letters else ()
        if not meanings:
            self._least_letters = max(self._least_letters, _FULL_NAME)
            return
        sign = 1 if self.denominator_start is None else -1
        if not self.factors or self.factors[-1] != (meanings, self._power * sign):  # $5 dollars
            self.factors.append((meanings, self._power * sign))
        self._power = 1

    def _raise_last(self, exponent: int) -> None:
        if self.factors and self._least_letters == 1:
            meanings, power = self.factors[-1]
            self.factors[-1] = (meanings, power * exponent)

    def _is_course(self, token: str) -> bool:
        """Returns True for the N of 5 km N and 30° N, which is no newton."""
        last = self.factors[-1][0][0].dimensions if self.factors else ()
        return token.isupper() and bool(last) and last[0][0] in ("length", "angle")

    def _expects_abbreviation(self) -> bool:
        start = self.denominator_start or 0
        return self._least_letters == 1 and (len(self.factors) == start or self._power > 1)


def _find_unit(word: str) -> tuple[Unit, ...]:
    """Returns the meanings of a unit's name or symbol; the case of most symbols matters."""
    folded = word.casefold()
    can_fold = len(word) >= _FULL_NAME or folded in _SLOPPY
    return _unit_table().get(word) or _unit_table().get(folded if can_fold else word, ())


def _combine(factors: list[tuple[tuple[Unit, ...], int]]) -> tuple[Unit, ...]:
    """Multiplies units out, for every combination of their meanings."""
    products = []
    for combination in itertools.product(*(meanings for meanings, _ in factors)):
        dimensions: dict[str, int] = {}
        size, pi_power, offset = Fraction(1), 0, Fraction(0)
        for unit, (_, exponent) in zip(combination, factors, strict=True):
            for name, power in unit.dimensions:
                dimensions[name] = dimensions.get(name, 0) + power * exponent
            size *= unit.size**exponent if unit.size else 0
            pi_power, offset = pi_power + unit.pi_power * exponent, offset + unit.offset
        kept = tuple(sorted((name, power) for name, power in dimensions.items() if power))
        if kept:
            products.append(
                Unit(kept, size, pi_power, offset if len(factors) == 1 else Fraction(0))
            )
    return tuple(products)
