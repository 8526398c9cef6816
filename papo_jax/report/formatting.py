"""Text of the numbers in a report."""

from papo_jax.evaluation.figures import Interval
from papo_jax.json_files import finite_number


def format_share(share: Interval) -> str:
    """Formats a share in per cent, with its interval.

    >>> format_share(Interval(0.3125, 0.28, 0.351))
    '31.2 % [28.0, 35.1]'
    """
    if share.low is None or share.high is None:
        return f"{100 * share.value:.1f} %"
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def format_difference(difference: Interval) -> str:
    """Formats a difference of shares in percentage points, with its interval.

    >>> format_difference(Interval(0.25, None, None))
    '+25.0 points'
    """
    points = f"{100 * difference.value:+.1f} points"
    if difference.low is None or difference.high is None:
        return points
    return f"{points} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def format_duration(seconds: float) -> str:
    """Formats seconds in the two units that matter.

    >>> format_duration(3725.0)
    '1 h 2 min'
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def format_number(value: object) -> str:
    """Formats a number to three digits, and leaves other values as they are.

    >>> format_number(0.12345), format_number(1234.5), format_number("12")
    ('0.123', '1234', '12')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if finite_number(value) is None:
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
