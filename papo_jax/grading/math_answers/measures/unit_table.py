"""Units of measurement: their spellings, sizes and dimensions.

A size is relative to the dimension's base unit; sizes of a radian leave out the factor pi.
"""

from fractions import Fraction
from typing import NamedTuple

Dimensions = tuple[tuple[str, int], ...]  # base quantities and exponents, sorted


class Unit(NamedTuple):
    """A unit.

    Attributes:
      dimensions: what it measures.
      size: in base units.
      pi_power: of pi in its size.
      offset: in base units, of a temperature's zero.
    """

    dimensions: Dimensions
    size: Fraction
    pi_power: int = 0
    offset: Fraction = Fraction(0)


# Symbols; names; size; dimensions. These take the prefixes of the international system.
_PREFIXED = """
    m; meter metre; 1; length
    g; gram gramme; 1/1000; mass
    L l; liter litre; 1/1000; length3
    s; second; 1; time
    N; newton; 1; mass length time-2
    J; joule; 1; mass length2 time-2
    W; watt; 1; mass length2 time-3
    Wh; ; 3600; mass length2 time-2
    Pa; pascal; 1; mass length-1 time-2
    V; volt; 1; mass length2 time-3 current-1
    A; ampere amp; 1; current
    C; coulomb; 1; current time
    Hz; hertz; 1; time-1
    Ω ohm; ohm; 1; mass length2 time-3 current-2
    F; farad; 1; mass-1 length-2 time4 current2
    mol; mole; 1; amount
    eV; electronvolt; 1; electronvolt
    cal; calorie; 1046/250; mass length2 time-2
    bit; bit; 1; data
"""
_PREFIXES = """
    k kilo 1000; M mega 1000000; G giga 1000000000; T tera 1000000000000; h hecto 100; d deci 1/10;
    c centi 1/100; m milli 1/1000; µ micro 1/1000000; μ micro 1/1000000;
    n nano 1/1000000000; p pico 1/1000000000000
"""
# Spellings, of which those of more than three letters have plurals; size; dimensions.
_PLAIN = """
    in inch; 254/10000; length
    ft foot feet; 3048/10000; length
    yd yard; 9144/10000; length
    mi mile; 1609344/1000; length
    lightyear; 1; lightyear
    acre; 1; acre
    ha hectare; 10000; length2
    oz ounce; 45359237/1600000000; mass
    fl-oz; 1/128; gallon
    lb lbs pound; 45359237/100000000; mass
    st stone; 45359237/100000000*14; mass
    tonne; 1000; mass
    ton; 907184740/1000000; mass
    ton; 1000; mass
    gal gallon; 1; gallon
    qt quart; 1/4; gallon
    pt pint; 1/8; gallon
    cup; 1/16; gallon
    cc; 1/1000000; length3
    sec secs; 1; time
    min mins minute; 60; time
    h hr hrs hour; 3600; time
    d day; 86400; time
    wk week; 604800; time
    fortnight; 1209600; time
    mo month; 1; calendar
    yr yrs year; 12; calendar
    decade; 120; calendar
    century centurie; 1200; calendar
    deg degree °; 1/180pi; angle
    deg degree °; 0; temperature
    rad radian; 1; angle
    revolution; 2pi; angle
    °C degC celsius centigrade; 1+5463/20; temperature
    °F degF fahrenheit; 5/9+45967/180; temperature
    K kelvin; 1; temperature
    mph; 1609344/3600000; length time-1
    kph kmh kmph; 1000/3600; length time-1
    knot; 1; knot
    rpm; 1; rpm
    B byte; 8; data
    KB kilobyte; 1; kilobyte
    MB megabyte; 1; megabyte
    GB gigabyte; 1; gigabyte
    TB terabyte; 1; terabyte
    dollar $ usd buck; 1; dollar
    cent ¢; 1/100; dollar
    cent; 1/100; euro
    euro eur euros; 1; euro
    gbp quid pound; 1; sterling
    penny pence p; 1/100; sterling
    yen; 1; yen
    yuan rmb; 1; yuan
    rs inr rupee; 1; rupee
    paise; 1/100; rupee
    ruble rouble; 1; ruble
    peso; 1; peso
    unit; 0; length
"""  # a unit of size 0 is one whose size is not said


# Of dimensions that are not named after theirs.
BASE_UNITS = {"length": "m", "mass": "kg", "time": "s", "current": "A", "amount": "mol"} | {
    "temperature": "K",
    "angle": "rad",
    "calendar": "month",
    "data": "bit",
}


def _read_size(text: str) -> tuple[Fraction, int, Fraction]:
    """Reads the size of a unit, the power of pi in it, and its offset."""
    text, _, offset = text.partition("+")
    text, _, times = text.partition("*")
    size = Fraction(text.removesuffix("pi")) * Fraction(times or 1)
    return size, int(text.endswith("pi")), Fraction(offset or 0)


def _read_dimensions(text: str) -> Dimensions:
    dimensions = []
    for word in text.split():
        name = word.rstrip("-0123456789")
        dimensions.append((name, int(word[len(name) :] or 1)))
    return tuple(sorted(dimensions))


def _read_prefixed() -> list[tuple[str, Unit]]:
    prefixes = [("", "", Fraction(1))]
    for entry in _PREFIXES.split(";"):
        symbol, name, factor = entry.split()
        prefixes.append((symbol, name, Fraction(factor)))
    units = []
    for line in _PREFIXED.strip().splitlines():
        symbols, names, size, dimensions = (field.strip() for field in line.split(";"))
        for symbol_prefix, name_prefix, factor in prefixes:
            unit = Unit(_read_dimensions(dimensions), Fraction(size) * factor)
            units += [(symbol_prefix + symbol, unit) for symbol in symbols.split()]
            units += [(name_prefix + name, unit) for name in names.split()]
            units += [(name_prefix + name + "s", unit) for name in names.split()]
    return units


def _read_plain() -> list[tuple[str, Unit]]:
    units = []
    for line in _PLAIN.strip().splitlines():
        spellings, size, dimensions = (field.strip() for field in line.split(";"))
        unit = Unit(_read_dimensions(dimensions), *_read_size(size))
        for spelling in spellings.split():
            units.append((spelling, unit))
            if len(spelling) > 2:
                plural = "es" if spelling.endswith("ch") else "s"
                units.append((spelling + plural, unit))
    return units


def make_unit_table() -> dict[str, tuple[Unit, ...]]:
    """Returns every unit that a spelling may stand for, by spelling."""
    table: dict[str, tuple[Unit, ...]] = {}
    for spelling, unit in _read_plain() + _read_prefixed():
        found = table.get(spelling, ())
        if unit not in found and (not found or spelling in _AMBIGUOUS):
            table[spelling] = (*found, unit)
    return table


_AMBIGUOUS = frozenset("pound pounds cent cents ton tons deg degree degrees °".split())
