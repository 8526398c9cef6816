r"""Quantities: a value, what multiplies it, and its unit.

>>> split_quantity("5«million dollars»")
Quantity(value='5', scale=Fraction(1000000, 1), unit='dollars', counts_groups=False)
>>> split_quantity("15«cm»^2").unit, split_quantity(r"30^\circ C").unit, split_quantity("5").unit
('cm ^2', '°C', '')
>>> split_quantity("5«more»").value
'5«more»'
"""

import re
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading.math_answers.measures.units import compare_units, is_unit
from papo_jax.grading.math_answers.rationals import parse_rational
from papo_jax.grading.wording.multipliers import COUNTING_WORDS, find_multiplier

_EXPONENT = r"\^(?:[0-9]|\{-?[0-9]+\})"
_TAIL = re.compile(
    r"(?P<degrees>\^\\circ ?(?:[CF](?![A-Za-z])|[NSEW](?![A-Za-z]))?)?"
    rf"(?:(?:/|\*|\\cdot|\\times)?«[^«»]*»(?:{_EXPONENT})?)*$"
)
_VALUE_CHANGING_WORDS = frozenset(
    """is wrong incorrect false more less fewer over under above below around plus minus times
    factorial negative double doubled twice triple tripled halved couple couples
    several hundred thousand million billion trillion dozen
    lakh crore""".split()
)
_MONEY = re.compile(r"(?P<money>(?:dollars|euros|pounds|rupees|yen|cents)) (?P<rest>.+)")
_OBJECTS = re.compile(r"pairs? of (?:\w+ )?(?:integers|numbers|primes|solutions|values|points)")


_BARE_SYMBOL = re.compile(
    r"(?P<value>[0-9.]+|[0-9]*\\frac\{[0-9]+\}\{[0-9]+\})(?P<unit>[a-zA-Z](?:\^[23])?)"
)

_SUM = re.compile(r"(?:[0-9.]+«[^«»]+»){2,}")
_TERM = re.compile(r"([0-9.]+)«([^«»]+)»")


class Quantity(NamedTuple):
    """A value with a unit.

    Attributes:
      value: text of a number or formula.
      scale: what multiplies it.
      unit: in words; empty where there is none.
      counts_groups: the scale is a word such as "pairs", of which a question may ask the number.
    """

    value: str
    scale: Fraction = Fraction(1)
    unit: str = ""
    counts_groups: bool = False


def split_quantity(text: str) -> Quantity:
    """Splits a value from its multiplier and its unit.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    Returns:
      A `Quantity`; the whole text is its value where the words are no unit.
    """
    total = _add_terms(text) if _SUM.fullmatch(text) else None
    if total is not None:
        return total
    match = _TAIL.search(text)
    if match is None or not match[0] or not match.start() or "«" in text[: match.start()]:
        return Quantity(text)
    value, words = text[: match.start()], _write_unit(match)
    money = _MONEY.fullmatch(words)
    if money and find_multiplier(money["rest"], 0):
        words = f"{money['rest']} {money['money']}"

    scale = None if _OBJECTS.match(words) else find_multiplier(words, 0, units=True)
    unit = words[scale.end if scale else 0 :].strip()
    if unit.casefold() in ("squared", "cubed") or _changes_value(unit):
        return Quantity(text)
    if scale is None:
        return Quantity(value, unit=unit)
    return Quantity(value, scale.factor, unit, words.split()[0].casefold() in COUNTING_WORDS)


def read_bare_symbol(text: str) -> Quantity:
    """Takes the letter behind a number for a unit, as is sure where the reference has one too.

    >>> read_bare_symbol("5000g").unit, read_bare_symbol("5x").unit
    ('g', '')
    """
    match = _BARE_SYMBOL.fullmatch(text)
    if match is None or not is_unit(match["unit"].replace("^", " ^")):
        return Quantity(text)
    return Quantity(match["value"], unit=match["unit"].replace("^", " ^"))


def _add_terms(text: str) -> Quantity | None:
    """Adds up 3 hours 20 minutes, in the first unit; None for what is no such sum."""
    (first, unit), *others = _TERM.findall(text)
    total = parse_rational(first)
    for number, other_unit in others:
        conversion, value = compare_units(unit, other_unit), parse_rational(number)
        if total is None or value is None or conversion is None or conversion.factor >= 1:
            return None
        total += value * conversion.factor
    return Quantity(str(total), unit=unit)


def _write_unit(match: re.Match[str]) -> str:
    degrees = (match["degrees"] or "").replace(r"^\circ", "°").replace(" ", "")
    if len(degrees) > 1 and degrees[1] in "NSEW":
        degrees = f"° {degrees[1]}"
    words = match[0].removeprefix(match["degrees"] or "")
    words = words.replace("«", " ").replace("»", " ").replace("*", " ").replace(r"\times", " ")
    if degrees == "°" and words.strip() in ("C", "F"):
        return f"°{words.strip()}"
    return " ".join(f"{degrees} {words}".split())


def _changes_value(unit: str) -> bool:
    return bool(_VALUE_CHANGING_WORDS.intersection(unit.casefold().split()))
