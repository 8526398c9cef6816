"""The order of training problems, a pure function of the seed and of how many were drawn before.

The construction uses only what NumPy keeps stable between versions: `SeedSequence` and the raw
  output of Philox.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from papo_jax.tasks.shares import BLOCK, apportion, too_small


class Sized(Protocol):
    """What the order needs to know of a part: its weight, and how many problems there are to train
    on."""

    weight: float
    train: int


def identifiers(seed: int, cursor: int, count: int, size: int) -> np.ndarray:
    """Draws the next problems: every epoch is its own permutation, and a draw may span the edge of
    one.

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
    return _epochs((seed,), cursor, count, size)


def draw(seed: int, cursor: int, count: int, parts: Sequence[Sized]) -> np.ndarray:
    """Draws the next problems of a mixture; of one part, as `identifiers` does.

    A block of 1,024 draws holds each part as often as its weight says: after b blocks, 1,024 b w
    rounded by the largest remainder, so that no share ever drifts. Within a block the parts are
    shuffled; each part runs through epochs of its own.

    Args:
      seed: chooses the order; at least 0.
      cursor: how many problems were drawn since the beginning of training.
      count: how many to draw.
      parts: of the task, in order; those without problems to train on are never drawn.

    Returns:
      [count] int64 identifiers, which run on from part to part.

    Raises:
      ValueError: as `identifiers`, or if a part's share is below one in 1,024.

    >>> from types import SimpleNamespace as Part
    >>> sorted(draw(0, 0, 1024, [Part(weight=3, train=2), Part(weight=1, train=512)]) >= 2).count(
    ...     True
    ... )  # a quarter
    256
    """
    sizes = [part.train for part in parts]
    drawn = [n for n, size in enumerate(sizes) if size]
    if len(drawn) == 1:
        return identifiers(seed, cursor, count, sizes[drawn[0]]) + sum(sizes[: drawn[0]])
    if min(seed, cursor, count) < 0 or not drawn:
        raise ValueError(
            f"cannot draw {count} of {sum(sizes)} problems at cursor {cursor} with seed {seed}"
        )
    weights = [parts[n].weight for n in drawn]
    if (small := too_small(weights)) is not None:
        raise ValueError(
            f"weight {weights[small]} is less than one draw in {BLOCK:,}, of weights {weights}"
        )
    first, last = cursor // BLOCK, (cursor + max(count, 1) - 1) // BLOCK
    blocks = [
        _block(seed, block, weights, [sizes[n] for n in drawn]) for block in range(first, last + 1)
    ]
    start = cursor - first * BLOCK
    return np.concatenate(blocks)[start : start + count]


def _block(seed: int, block: int, weights: Sequence[float], sizes: Sequence[int]) -> np.ndarray:
    """The draws of one block of a mixture."""
    before, after = (apportion(weights, BLOCK * number) for number in (block, block + 1))
    quotas = [end - start for start, end in zip(before, after, strict=True)]
    parts = np.repeat(np.arange(len(sizes)), quotas)[_permutation((seed, 0, block), BLOCK)]
    drawn = np.zeros(BLOCK, np.int64)
    for n, size in enumerate(sizes):
        drawn[parts == n] = sum(sizes[:n]) + _epochs((seed, n + 1), before[n], quotas[n], size)
    return drawn


def _epochs(key: tuple[int, ...], cursor: int, count: int, size: int) -> np.ndarray:
    """Draws from the permutations of one epoch after the other."""
    if min(*key, cursor, count) < 0 or size < 1:
        raise ValueError(
            f"cannot draw {count} of {size} problems at cursor {cursor} with seed {key[0]}"
        )
    first, last = cursor // size, (cursor + max(count, 1) - 1) // size
    epochs = np.concatenate([_permutation((*key, epoch), size) for epoch in range(first, last + 1)])
    start = cursor - first * size
    return epochs[start : start + count]


def _permutation(key: tuple[int, ...], size: int) -> np.ndarray:
    """The order of 64-bit random keys, ties kept in place."""
    keys = np.random.Philox(np.random.SeedSequence(key)).random_raw(size)
    return np.argsort(keys, kind="stable").astype(np.int64)
