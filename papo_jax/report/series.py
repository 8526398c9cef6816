"""Series out of the rows of a metrics file, their running mean and their correlations."""

import math

import numpy as np

from papo_jax.json_files import finite_number


def metric_series(rows: list[dict], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Picks a metric's finite values out of the rows.

    Args:
      rows: objects of a metrics file; those without the metric, or with null, are passed over.
      metric: its name.

    Returns:
      Steps and values, two float arrays of one length, in the order of the rows.
    """
    pairs = [(finite_number(row.get("step")), finite_number(row.get(metric))) for row in rows]
    found = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def running_mean(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Averages each value with those before it, over a twentieth of the run and at least 5 values.

    Returns:
      The means, as many as there are values, and the number of values that a mean takes.

    >>> running_mean(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))[0].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]
    """
    width = max(5, len(values) // 20)
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (total[ends] - total[starts]) / (ends - starts), width


def first_and_last_means(rows: list[dict], metric: str) -> tuple[float, float] | None:
    """Averages a metric over the first and the last tenth of its steps; None without values."""
    values = metric_series(rows, metric)[1]
    if not len(values):
        return None
    width = max(1, len(values) // 10)
    return float(values[:width].mean()), float(values[-width:].mean())


def pearson_and_spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Returns both correlations; NaN below 3 points or where one side is constant.

    >>> pearson_and_spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 4.0, 9.0, 16.0]))[1]
    1.0
    """
    return _pearson_correlation(x, y), _pearson_correlation(_mean_ranks(x), _mean_ranks(y))


def _pearson_correlation(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks values from 0; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[inverse]
