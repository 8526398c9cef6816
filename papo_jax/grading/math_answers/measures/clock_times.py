r"""Times of day: 6:00 and 06:00 are one, and so are 3:45 p.m. and 15:45.

>>> parse_clock_time("3:45«p.m»"), parse_clock_time("15:45")
(ClockTime(minutes=945.0, has_half=True), ClockTime(minutes=945.0, has_half=False))
>>> parse_clock_time("3«pm»").minutes, parse_clock_time("«noon»").minutes, parse_clock_time("2:3")
(900.0, 720.0, None)
"""

import re
from typing import NamedTuple

_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d))?(?::(?P<second>[0-5]\d))?(?:«(?P<words>[^«»]*)»)?"
)
_HALVES = {"am": 0, "a m": 0, "in the morning": 0, "midnight": 0} | dict.fromkeys(
    ("pm", "p m", "in the afternoon", "in the evening", "noon"), 12
)
_NAMED = {"«noon»": 720.0, "«midnight»": 0.0}
_HALF_DAY = 720.0  # minutes


class ClockTime(NamedTuple):
    """A time of day in minutes since midnight, and if its half of the day was said."""

    minutes: float
    has_half: bool


def parse_clock_time(text: str) -> ClockTime | None:
    """Reads a time of day, with minutes or with a word such as "pm"; None for anything else.

    Args:
      text: as `canonical_latex.canonicalize_latex` writes it.
    """
    if text in _NAMED:
        return ClockTime(_NAMED[text], True)
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    words = " ".join((match["words"] or "").casefold().replace(".", "").split())
    half_words = words.removeprefix("o'clock").strip()
    half, hour = _HALVES.get(half_words), int(match["hour"])
    is_time = match["minute"] or half is not None or words == "o'clock"
    if not is_time or hour > 24 or (half is not None and hour > 12 and half == 0):
        return None
    if half is not None and hour <= 12:
        hour = hour % 12 + half
    return ClockTime(
        60.0 * hour + int(match["minute"] or 0) + int(match["second"] or 0) / 60, half is not None
    )


def are_same_time(reference: ClockTime, answer: ClockTime) -> bool:
    """Returns True for one time of day, of which either may leave the half of the day out.

    >>> are_same_time(ClockTime(225, False), ClockTime(945, True))  # 3:45 and 3:45 p.m.
    True
    >>> are_same_time(ClockTime(225, False), ClockTime(945, False))  # 3:45 and 15:45
    False
    """
    if reference.minutes == answer.minutes:
        return True
    if reference.has_half == answer.has_half:
        return {reference.minutes, answer.minutes} == {0.0, 2 * _HALF_DAY}
    without_half = answer if reference.has_half else reference
    is_ambiguous = 60.0 <= without_half.minutes < _HALF_DAY + 60.0
    return is_ambiguous and (reference.minutes - answer.minutes) % _HALF_DAY == 0
