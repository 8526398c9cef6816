"""The order of training problems, a pure function of the seed and of how many were drawn before."""

import numpy as np


def identifiers(seed: int, cursor: int, count: int, size: int) -> np.ndarray:
    """Draws the next problems: every epoch is its own permutation, and a draw may span the edge of one.

    The construction uses only what NumPy keeps stable between versions: `SeedSequence` and the raw output of Philox.

    Args:
      seed: chooses the order; at least 0.
      cursor: how many problems were drawn since the beginning of training.
      count: how many to draw.
      size: how many problems there are; identifiers run from 0.

    Returns:
      [count] int64 identifiers.

    Raises:
      ValueError: if a number is negative, or if there is no problem to draw from.

    >>> sorted(identifiers(0, 0, 5, 5).tolist())
    [0, 1, 2, 3, 4]
    >>> whole = identifiers(7, 0, 12, 5)
    >>> np.array_equal(whole[3:], identifiers(7, 3, 9, 5))
    True
    """
    if min(seed, cursor, count) < 0 or size < 1:
        raise ValueError(f"cannot draw {count} of {size} problems at cursor {cursor} with seed {seed}")
    first, last = cursor // size, (cursor + max(count, 1) - 1) // size
    epochs = np.concatenate([_epoch(seed, epoch, size) for epoch in range(first, last + 1)])
    start = cursor - first * size
    return epochs[start : start + count]


def _epoch(seed: int, epoch: int, size: int) -> np.ndarray:
    """The permutation of one epoch: the order of 64-bit random keys, ties kept in place."""
    keys = np.random.Philox(np.random.SeedSequence((seed, epoch))).random_raw(size)
    return np.argsort(keys, kind="stable").astype(np.int64)
