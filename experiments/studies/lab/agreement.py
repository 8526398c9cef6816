"""How well a prediction agrees with what happened, and what several seeds say together. Arrays are
flat, [n]."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats


class Agreement(NamedTuple):
    """Of a prediction with what was realized.

    Attributes:
      silent: share of predictions that are 0, among changes that are not.
      sign: share of equal signs, among those where both are not 0.
      sign_large: share of equal signs in the half with the larger realized change, the same tokens
        for every predictor; a prediction of 0 counts one half, like a coin.
      spearman, pearson: correlations, predictions of 0 included.
      slope: least squares through 0 of realized on predicted.
    """

    silent: float
    sign: float
    sign_large: float
    spearman: float
    pearson: float
    slope: float


def agreement(predicted: np.ndarray, realized: np.ndarray) -> Agreement:
    """Compares them.

    >>> agreement(np.array([1.0, -2.0, 3.0]), np.array([2.0, -4.0, 6.0]))
    Agreement(silent=0.0, sign=1.0, sign_large=1.0, spearman=1.0, pearson=1.0, slope=2.0)
    """
    predicted, realized = np.asarray(predicted, np.float64), np.asarray(realized, np.float64)
    moved = realized != 0
    score, size = _score(predicted, realized), np.abs(realized)
    large = moved & (size >= np.median(size[moved])) if moved.any() else moved
    square = (predicted**2).sum()
    defined = predicted.std() > 0 and realized.std() > 0
    return Agreement(
        silent=_mean(predicted[moved] == 0),
        sign=_mean(score[moved & (predicted != 0)]),
        sign_large=_mean(score[large]),
        spearman=float(stats.spearmanr(predicted, realized).statistic) if defined else math.nan,
        pearson=float(np.corrcoef(predicted, realized)[0, 1]) if defined else math.nan,
        slope=float((predicted * realized).sum() / square) if square else math.nan,
    )


def sign_by_size(
    predicted: np.ndarray, realized: np.ndarray, *, bins: int = 10
) -> list[dict[str, float]]:
    """Cuts the changes that are not 0 into equally full bins of size, and gives a row for each.

    "realized" is the median size, "sign" the share of equal signs where a prediction is not 0,
    "silent" the share that is.
    """
    moved = np.nonzero(realized)[0]
    order, score = (
        moved[np.argsort(np.abs(realized[moved]), kind="stable")],
        _score(predicted, realized),
    )
    return [
        {
            "realized": float(np.median(np.abs(realized[part]))),
            "sign": _mean(score[part][predicted[part] != 0]),
            "silent": _mean(predicted[part] == 0),
        }
        for part in np.array_split(order, bins)
    ]


def _score(predicted: np.ndarray, realized: np.ndarray) -> np.ndarray:
    return np.where(predicted == 0, 0.5, np.sign(predicted) == np.sign(realized))


def interval(values, *, level: float = 0.95) -> tuple[float, float, float]:
    """Returns (mean, low, high): Student's interval for the mean of independent seeds.

    >>> tuple(round(x, 3) for x in interval([1.0, 2.0, 3.0]))  # 2 -+ 4.303 x 1 / sqrt 3
    (2.0, -0.484, 4.484)
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if values.size < 2:
        return mean, math.nan, math.nan
    half = (
        stats.t.ppf(0.5 + level / 2, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size)
    )
    return mean, mean - float(half), mean + float(half)


def shown(values, *, digits: int = 3, sign: str = "") -> str:
    """Writes a mean with its interval; of values that are NaN only how many they are.

    >>> (shown([1.0, 2.0, 3.0]), shown([1.0, 1.0, math.nan], digits=0, sign="+"), shown([math.nan]))
    ('2.000 [-0.484, 4.484]', '+1 [+1, +1] (1 never)', 'never')
    """
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    if not known.size:
        return "never"
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in interval(known))
    bounds = f" [{low}, {high}]" if known.size > 1 else ""
    return (
        mean + bounds + (f" ({values.size - known.size} never)" if known.size < values.size else "")
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan
