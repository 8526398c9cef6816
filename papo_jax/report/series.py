"""Series out of the rows of a metrics file, and the two statistics that the report takes of
them."""

import math

import numpy as np


def series(rows: list[dict], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Picks a metric's finite values out of the rows.

    Args:
      rows: objects of a metrics file; those without the metric, or with null, are passed over.
      metric: its name.

    Returns:
      Steps and values, two float arrays of one length, in the order of the rows.
    """
    pairs = [(number(row.get("step")), number(row.get(metric))) for row in rows]
    found = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def number(value: object) -> float | None:
    """Returns a finite number as a float, and None for anything else."""
    if not isinstance(value, (int, float)) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        return None
    return float(value) if abs(value) < 1e300 else None  # an integer of JSON may exceed any float


def running_mean(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Averages each value with those before it, over a twentieth of the run and at least 5 values.

    >>> running_mean(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))[0].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
    """
    width = max(5, len(values) // 20)
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (total[ends] - total[starts]) / (ends - starts), width


def correlations(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Returns Pearson's and Spearman's correlation; NaN below 3 points or where one side is
    constant.

    >>> correlations(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 4.0, 9.0, 16.0]))[1]
    1.0
    """
    return _pearson(x, y), _pearson(_ranks(x), _ranks(y))


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks values from 0; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[inverse]
