"""How well a prediction agrees with what happened, and what several seeds say together. Arrays are flat, [n]."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats


class Agreement(NamedTuple):
    """Of a prediction with what was realised.

    Attributes:
      sign: share of equal signs, among those where both are not 0.
      sign_large: the same on the half with the larger realised change.
      spearman, pearson: correlations.
      slope: least squares through 0 of realised on predicted.
    """

    sign: float
    sign_large: float
    spearman: float
    pearson: float
    slope: float


def agreement(predicted: np.ndarray, realised: np.ndarray) -> Agreement:
    """Compares them.

    >>> agreement(np.array([1.0, -2.0, 3.0]), np.array([2.0, -4.0, 6.0]))
    Agreement(sign=1.0, sign_large=1.0, spearman=1.0, pearson=1.0, slope=2.0)
    """
    predicted, realised = np.asarray(predicted, np.float64), np.asarray(realised, np.float64)
    both = (predicted != 0) & (realised != 0)
    same = np.sign(predicted[both]) == np.sign(realised[both])
    size = np.abs(realised[both])
    large = size >= np.median(size) if size.size else size > 0
    square = (predicted**2).sum()
    defined = predicted.std() > 0 and realised.std() > 0
    return Agreement(
        sign=_mean(same), sign_large=_mean(same[large]),
        spearman=float(stats.spearmanr(predicted, realised).statistic) if defined else math.nan,
        pearson=float(np.corrcoef(predicted, realised)[0, 1]) if defined else math.nan,
        slope=float((predicted * realised).sum() / square) if square else math.nan,
    )  # fmt: skip


def sign_by_size(predicted: np.ndarray, realised: np.ndarray, *, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the median size of the realised change, the share of equal signs) of equally full bins of size."""
    order = np.argsort(np.abs(realised))
    same = np.sign(predicted) == np.sign(realised)
    parts = np.array_split(order, bins)
    return np.array([np.median(np.abs(realised[part])) for part in parts]), np.array([same[part].mean() for part in parts])


def interval(values, *, level: float = 0.95) -> tuple[float, float, float]:
    """Returns (mean, low, high): Student's interval for the mean of independent seeds.

    >>> tuple(round(x, 3) for x in interval([1.0, 2.0, 3.0]))  # 2 -+ 4.303 x 1 / sqrt 3
    (2.0, -0.484, 4.484)
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if values.size < 2:
        return mean, math.nan, math.nan
    half = stats.t.ppf(0.5 + level / 2, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size)
    return mean, mean - float(half), mean + float(half)


def shown(values, *, digits: int = 3, sign: str = "") -> str:
    """Writes a mean with its interval; of values that are NaN only how many they are.

    >>> shown([1.0, 2.0, 3.0]), shown([1.0, 1.0, math.nan], digits=0, sign="+"), shown([math.nan])
    ('2.000 [-0.484, 4.484]', '+1 [+1, +1] (1 never)', 'never')
    """
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    if not known.size:
        return "never"
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in interval(known))
    bounds = f" [{low}, {high}]" if known.size > 1 else ""
    return mean + bounds + (f" ({values.size - known.size} never)" if known.size < values.size else "")


def _mean(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else math.nan
