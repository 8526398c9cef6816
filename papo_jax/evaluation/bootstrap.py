"""Bootstrap intervals over problems: 2,000 resamples, on the same problems for all figures.

Shapes: M problems, F figures, R resamples.
"""

import numpy as np

from papo_jax.evaluation.figures import Interval

RESAMPLES = 2000
_INDICES_AT_ONCE = 2**18  # 2,000 resamples of 2,000 problems would be 32 MB, these are 2


def bootstrap_means(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Draws M problems with replacement, R times, and returns the figures' means over each draw.

    All rows see the same problems, and so do all calls with the same M and seed: the difference of
    two runs' means is a resample of their paired difference.

    Args:
      values: [F, M], a row a figure.
      seed: of the resampling.

    Returns:
      [R, F].
    """
    values = np.asarray(values, np.float64)
    size, generator = values.shape[1], np.random.default_rng(seed)
    at_once, means = max(1, _INDICES_AT_ONCE // size), []
    for start in range(0, RESAMPLES, at_once):
        # Count how often each problem was drawn, all resamples of the piece in one pass.
        drawn = generator.integers(0, size, (min(at_once, RESAMPLES - start), size))
        cells = (drawn + size * np.arange(len(drawn))[:, None]).ravel()
        counts = np.bincount(cells, minlength=drawn.size).reshape(drawn.shape).astype(np.float64)

        # By einsum and not by BLAS, whose sums depend on its threads.
        means.append(np.einsum("rm,fm->rf", counts, values) / size)
    return np.concatenate(means)


def percentile_interval(value: float, resamples: np.ndarray) -> Interval:
    """Returns a figure with the 2.5 and 97.5 % quantiles of its resamples [R]."""
    low, high = np.quantile(resamples, [0.025, 0.975])
    # Where all problems agree, the resamples differ from the value by rounding alone.
    return Interval(value=float(value), low=float(min(low, value)), high=float(max(high, value)))


def bootstrap_interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Returns the mean over problems with its bootstrap interval, bounds at 2.5 and 97.5 %.

    Args:
      values: [M], one figure a problem. Where all are equal the interval has no width, whatever M
        is: the bootstrap knows of no problem outside the evaluation set.
      seed: of the resampling; the same values always give the same interval.
    """
    values = np.asarray(values, np.float64)
    return percentile_interval(values.mean(), bootstrap_means(values[None], seed=seed)[:, 0])
