"""Agreement of predicted with realized entropy changes; arrays are flat over tokens, [n]."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Agreement(NamedTuple):
    """Agreement of a prediction with the realized change.

    Attributes:
      silent: share of predictions that are 0, among changes that are not.
      sign: share of equal signs, among those where both are not 0.
      sign_large: share of equal signs in the half with the larger realized change, the same tokens
        for every predictor; a prediction of 0 counts one half, like a coin.
      spearman: rank correlation, predictions of 0 included.
      pearson: linear correlation, predictions of 0 included.
      slope: least squares through 0 of realized on predicted.
    """

    silent: float
    sign: float
    sign_large: float
    spearman: float
    pearson: float
    slope: float


def measure_agreement(predicted: np.ndarray, realized: np.ndarray) -> Agreement:
    """Compares a prediction with the realized change.

    >>> measure_agreement(np.array([1.0, -2.0, 3.0]), np.array([2.0, -4.0, 6.0]))
    Agreement(silent=0.0, sign=1.0, sign_large=1.0, spearman=1.0, pearson=1.0, slope=2.0)
    """
    predicted, realized = np.asarray(predicted, np.float64), np.asarray(realized, np.float64)

    # Tokens whose entropy changed, and the half of them that changed most.
    moved = realized != 0
    score, size = _sign_scores(predicted, realized), np.abs(realized)
    large = moved & (size >= np.median(size[moved])) if moved.any() else moved

    square = (predicted**2).sum()
    defined = predicted.std() > 0 and realized.std() > 0
    spearman: Any = stats.spearmanr(predicted, realized)[0] if defined else math.nan
    return Agreement(
        silent=_mean_or_nan(predicted[moved] == 0),
        sign=_mean_or_nan(score[moved & (predicted != 0)]),
        sign_large=_mean_or_nan(score[large]),
        spearman=float(spearman),
        pearson=float(np.corrcoef(predicted, realized)[0, 1]) if defined else math.nan,
        slope=float((predicted * realized).sum() / square) if square else math.nan,
    )


def bin_signs_by_size(
    predicted: np.ndarray, realized: np.ndarray, *, bins: int = 10
) -> list[dict[str, float]]:
    """Divides the changes that are not 0 into equally full bins of size.

    Args:
      predicted: [n].
      realized: [n].
      bins: how many.

    Returns:
      A row for each bin: "realized" is the median size, "sign" the share of equal signs where a
      prediction is not 0, "silent" the share that is.
    """
    moved = np.nonzero(realized)[0]
    order = moved[np.argsort(np.abs(realized[moved]), kind="stable")]
    score = _sign_scores(predicted, realized)
    return [
        {
            "realized": float(np.median(np.abs(realized[part]))),
            "sign": _mean_or_nan(score[part][predicted[part] != 0]),
            "silent": _mean_or_nan(predicted[part] == 0),
        }
        for part in np.array_split(order, bins)
    ]


def _sign_scores(predicted: np.ndarray, realized: np.ndarray) -> np.ndarray:
    """Scores each prediction's sign: 1 right, 0 wrong, one half for a prediction of 0."""
    return np.where(predicted == 0, 0.5, np.sign(predicted) == np.sign(realized))


def _mean_or_nan(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan
