"""Numbers of files as text, in the digits in which they are written or stored there."""

import decimal
import math
import re
import struct
from typing import Any

_NARROW = re.compile(r"\b(halffloat|float)\b")
_FORMATS = {"halffloat": "e", "float": "f"}  # of `struct`; Arrow calls the widest "double"
_MOST_DIGITS = 9  # name every float32


class Number(str):
    """A number of a file, in the digits in which it is written there."""


def write_numbers(value: Any, kind: str) -> Any:
    """Turns a number of a parquet column into a `Number`, and every one in a list.

    A float gets the fewest digits that name it among the floats of its own width: 0.1 of float32 is
    not 0.10000000149011612. One that is not finite stays a float.

    Args:
      value: of the column.
      kind: the column's type in Arrow's words, such as "float" or "list<element: double>".

    >>> write_numbers(0.10000000149011612, "float")
    '0.1'
    >>> write_numbers([3, None], "list<element: int64>")
    ['3', None]
    """
    if isinstance(value, list):
        return [write_numbers(item, kind) for item in value]
    if isinstance(value, decimal.Decimal):
        return Number(format(value, "f")) if value.is_finite() else float(value)
    if isinstance(value, float) and math.isfinite(value):
        narrow = _NARROW.search(kind)
        return Number(repr(_shorten(value, _FORMATS[narrow[1]]) if narrow else value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Number(value)
    return value


def _shorten(value: float, width: str) -> float:
    """Returns the float of the fewest digits that is `value` in a narrower width."""
    stored = struct.pack(width, value)
    for digits in range(1, _MOST_DIGITS):
        shorter = float(f"{value:.{digits}g}")
        try:
            if struct.pack(width, shorter) == stored:
                return shorter
        except OverflowError:  # rounded up past the largest of this width
            continue
    return float(f"{value:.{_MOST_DIGITS}g}")
