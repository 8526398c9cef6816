r"""Units behind a value: what they measure, whether two contradict, and the factor between them.

>>> compare_units("cm", "m").factor, compare_units("cm", "cm^2")
(Fraction(100, 1), None)
>>> compare_units("cm", "apples") == SAME, compare_units("km north", "km south")
(True, None)
"""

import itertools
from fractions import Fraction
from typing import NamedTuple

from papo_jax.grading.math_answers.measures.unit_reader import read_measure
from papo_jax.grading.math_answers.measures.unit_table import BASE_UNITS, Unit


class Conversion(NamedTuple):
    """What turns a value in one unit into one in another: value * factor * pi^pi_power + offset."""

    factor: Fraction
    pi_power: int = 0
    offset: Fraction = Fraction(0)


SAME = Conversion(Fraction(1))


def compare_units(reference: str, answer: str) -> Conversion | None:
    """Compares two units in words.

    A unit that is missing or unknown agrees with every other, and so does a missing "per hour".

    Args:
      reference: what stands behind a value, such as "square meters" or "km/h north".
      answer: likewise.

    Returns:
      The conversion of a value in the answer's unit into the reference's; None where the two
      contradict each other, or where the conversion is not sure.
    """
    expected, found = read_measure(reference), read_measure(answer)
    sides = dict(expected.poles)
    if any(sides.get(group, pole) != pole for group, pole in found.poles):
        return None
    if not expected.totals or not found.totals:
        return SAME
    pairs = _pair_meanings(expected.totals, found.totals)
    if not pairs and expected.has_denominator != found.has_denominator:
        if not expected.numerators or not found.numerators:
            return SAME
        pairs = _pair_meanings(expected.numerators, found.numerators)
    if any(one == other or not one.size or not other.size for one, other in pairs):
        return SAME
    return _convert(*pairs[0]) if len(pairs) == 1 else None


def is_unit(text: str) -> bool:
    """Returns True if words hold a unit that is known here, such as "km per hour"."""
    return bool(read_measure(text).totals)


def convert_to_base(text: str) -> tuple[Fraction, str]:
    """Returns the size of a unit, and the name of the base unit that this is relative to.

    Args:
      text: in words, such as "cm per hour"; one that is not known has size 1 and no name.

    >>> convert_to_base("cm"), convert_to_base("apples")
    ((Fraction(1, 100), 'm'), (Fraction(1, 1), ''))
    """
    totals = read_measure(text).totals
    if not totals:
        return Fraction(1), ""
    unit = totals[0]
    if unit.pi_power or unit.offset or not unit.size:
        return Fraction(1), " ".join(text.casefold().split()).removesuffix("s")
    names = [
        BASE_UNITS.get(name, name) + (f"^{power}" if power != 1 else "")
        for name, power in unit.dimensions
    ]
    return unit.size, " ".join(names)


def _pair_meanings(expected: tuple[Unit, ...], found: tuple[Unit, ...]) -> list[tuple[Unit, Unit]]:
    pairs = itertools.product(expected, found)
    return [(one, other) for one, other in pairs if one.dimensions == other.dimensions]


def _convert(expected: Unit, found: Unit) -> Conversion:
    return Conversion(
        found.size / expected.size,
        found.pi_power - expected.pi_power,
        (found.offset - expected.offset) / expected.size,
    )
