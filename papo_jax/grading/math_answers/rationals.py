r"""Rational numbers that are written out, as exact fractions.

>>> [str(parse_rational(text)) for text in ("-42", ".5", r"1\frac{4}{5}")]
['-42', '1/2', '9/5']
>>> [str(parse_rational(text)) for text in (r"4.5\times10^{3}", "3/6")]
['4500', '1/2']
>>> [str(parse_rational(text)) for text in (r"0.\overline{3}", "2+3")]
['1/3', 'None']
"""

import re
from fractions import Fraction

_MAX_DIGITS = 200  # in a row; a longer number is compared as text
_MAX_EXPONENT = 999
_MIN_SIGNIFICANT = 6  # digits of a decimal that may stand for a value that no decimal equals
_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)(?:"
    rf"(?P<decimal>{_DECIMAL})"
    r"(?:(?:[eE]|(?:\\times|\\cdot|\*|x)10\^)(?P<exponent>[-+]?[0-9]+|\{[-+]?[0-9]+\}))?"
    rf"|(?P<whole>[0-9]+ ?)?\\frac\{{(?P<above>-?{_DECIMAL})\}}\{{(?P<below>-?{_DECIMAL})\}}"
    rf"|(?P<over>{_DECIMAL})/(?P<under>{_DECIMAL})"
    r"|(?P<start>[0-9]*)\.(?P<once>[0-9]*)\\overline\{(?P<again>[0-9]+)\})"
)
_POWER = re.compile(r"(?P<base>[0-9]{1,9})\^(?:\{(?P<exponent>[0-9]{1,3})\}|(?P<digit>[0-9]))")
_ROOT = re.compile(r"\\sqrt(?:\[(?P<degree>[0-9])\])?\{(?P<radicand>[0-9]{1,12})\}")
_MAX_POWER_BITS = 600  # of a power that is evaluated; references have at most about 200 digits
_LONG_RUN = re.compile(rf"[0-9]{{{_MAX_DIGITS + 1}}}")
_PLAIN_DECIMAL = re.compile(r"-?[0-9]*\.[0-9]+")


def parse_rational(text: str) -> Fraction | None:
    """Reads a number that is written out: decimal, scientific, fraction, mixed or repeating.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.

    Returns:
      Its exact value; None for anything else, anything still to be evaluated, and anything too
      long.
    """
    match = None if has_long_number(text) else _NUMBER.fullmatch(text)
    if match is None:
        return None
    try:
        value = _unsigned_value(match)
    except ZeroDivisionError:
        return None
    return -value if value is not None and match["sign"] == "-" else value


def parse_power_or_root(text: str) -> Fraction | None:
    r"""Reads a single power or root of whole numbers, such as 2^{10} or \sqrt{9}.

    None for anything else, or if it is no whole number.

    >>> [str(parse_power_or_root(text)) for text in ("2^{10}", r"\sqrt{9}", r"\sqrt[3]{8}")]
    ['1024', '3', '2']
    >>> [parse_power_or_root(text) for text in (r"\sqrt{8}", "2^3+1", "9^{999}")]
    [None, None, None]
    """
    if match := _POWER.fullmatch(text):
        base, exponent = int(match["base"]), int(match["exponent"] or match["digit"])
        return Fraction(base**exponent) if base.bit_length() * exponent <= _MAX_POWER_BITS else None
    match = _ROOT.fullmatch(text)
    if not match:
        return None
    radicand, degree = int(match["radicand"]), int(match["degree"] or 2)
    root = round(radicand ** (1 / degree)) if degree else 0
    return Fraction(root) if degree and root**degree == radicand else None


def has_long_number(text: str) -> bool:
    """Returns True if more than 200 digits stand in a row."""
    return _LONG_RUN.search(text) is not None


def matches_decimal(value: Fraction, decimal: str) -> bool:
    """Returns True if a decimal is a value, rounded or cut off, to all its digits, at least six.

    Args:
      value: the value, which should be one that no decimal equals.
      decimal: such as "0.333333", as `canonical_latex.canonicalize_latex` writes it.

    >>> [matches_decimal(Fraction(1, 3), text) for text in ("0.333333", "0.33", "0.333332")]
    [True, False, False]
    """
    found = parse_rational(decimal)
    if found is None or not _PLAIN_DECIMAL.fullmatch(decimal):
        return False
    whole, _, fraction = decimal.lstrip("-").partition(".")
    has_enough_digits = len((whole + fraction).lstrip("0")) >= _MIN_SIGNIFICANT
    last_place = Fraction(1, 10 ** len(fraction))
    missing = abs(value) - abs(found)
    return has_enough_digits and found * value > 0 and -last_place / 2 <= missing < last_place


def _unsigned_value(match: re.Match[str]) -> Fraction | None:
    if match["decimal"]:
        exponent = int((match["exponent"] or "0").strip("{}"))
        if abs(exponent) > _MAX_EXPONENT:
            return None
        return Fraction(match["decimal"]) * Fraction(10) ** exponent
    if match["below"]:
        part, whole = Fraction(match["above"]) / Fraction(match["below"]), match["whole"]
        if not whole:
            return part
        return int(whole) + part if 0 < part < 1 else None
    if match["under"]:
        return Fraction(match["over"]) / Fraction(match["under"])
    places = len(match["once"])
    once = Fraction(f"{match['start'] or 0}.{match['once'] or 0}")
    return once + Fraction(int(match["again"]), 10**places * (10 ** len(match["again"]) - 1))
