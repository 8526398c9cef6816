"""Confidence intervals for the mean over independent seeds."""

import math

import numpy as np
from scipy import stats


def confidence_interval(values, *, level: float = 0.95) -> tuple[float, float, float]:
    """Returns (mean, low, high): Student's interval for the mean of independent seeds.

    >>> tuple(round(x, 3) for x in confidence_interval([1.0, 2.0, 3.0]))  # 2 -+ 4.303 x 1 / sqrt 3
    (2.0, -0.484, 4.484)
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if values.size < 2:
        return mean, math.nan, math.nan
    quantile = stats.t.ppf(0.5 + level / 2, values.size - 1)
    half_width = float(quantile * values.std(ddof=1) / math.sqrt(values.size))
    return mean, mean - half_width, mean + half_width


def format_interval(values, *, digits: int = 3, sign: str = "") -> str:
    """Writes a mean with its interval, and how many values are NaN.

    >>> format_interval([1.0, 2.0, 3.0])
    '2.000 [-0.484, 4.484]'
    >>> format_interval([1.0, 1.0, math.nan], digits=0, sign="+"), format_interval([math.nan])
    ('+1 [+1, +1] (1 never)', 'never')
    """
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    if not known.size:
        return "never"
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in confidence_interval(known))
    bounds = f" [{low}, {high}]" if known.size > 1 else ""
    missing = values.size - known.size
    return mean + bounds + (f" ({missing} never)" if missing else "")
