"""The order of training problems, a pure function of the seed and of the number drawn before.

The construction uses only what NumPy keeps stable between versions: `SeedSequence` and the raw
output of Philox.
"""

from collections.abc import Sequence

import numpy as np

from papo_jax.tasks.shares import BLOCK, apportion, find_too_small
from papo_jax.tasks.task import Part


def draw_epoch_identifiers(seed: int, cursor: int, count: int, size: int) -> np.ndarray:
    """Draws problems of one part, each epoch in a new permutation; a draw may span two epochs.

    Args:
      seed: chooses the order; at least 0.
      cursor: the number of problems drawn since the beginning of training.
      count: the number of problems to draw.
      size: the number of problems that there are; identifiers run from 0.

    Returns:
      [count] int64 identifiers.

    Raises:
      ValueError: if a number is negative, or if there is no problem to draw from.

    >>> sorted(draw_epoch_identifiers(0, 0, 5, 5).tolist())
    [0, 1, 2, 3, 4]
    >>> whole = draw_epoch_identifiers(7, 0, 12, 5)
    >>> np.array_equal(whole[3:], draw_epoch_identifiers(7, 3, 9, 5))
    True
    """
    return _draw_epochs((seed,), cursor, count, size)


def draw_identifiers(seed: int, cursor: int, count: int, parts: Sequence[Part]) -> np.ndarray:
    """Draws problems of a task; of a single part as `draw_epoch_identifiers` does.

    A block of 1,024 draws holds each part as often as its weight says: after b blocks, 1,024 b w
    rounded by the largest remainder, so that no share ever drifts. Within a block the parts are
    shuffled; each part runs through epochs of its own.

    Args:
      seed: chooses the order; at least 0.
      cursor: the number of problems drawn since the beginning of training.
      count: the number of problems to draw.
      parts: of the task, in order; those without problems to train on are never drawn.

    Returns:
      [count] int64 identifiers, numbered through from part to part.

    Raises:
      ValueError: as `draw_epoch_identifiers`, or if a part's share is below one in 1,024.

    >>> parts = [Part("a", 0.75, train_size=2, held_out_size=0), Part("b", 0.25, 512, 0)]
    >>> int((draw_identifiers(0, 0, 1024, parts) >= 2).sum())  # a quarter
    256
    """
    sizes = [part.train_size for part in parts]
    drawn = [n for n, size in enumerate(sizes) if size]

    # A single part needs no blocks; its identifiers begin behind those of the parts before it.
    if len(drawn) == 1:
        first_identifier = sum(sizes[: drawn[0]])
        return draw_epoch_identifiers(seed, cursor, count, sizes[drawn[0]]) + first_identifier

    if min(seed, cursor, count) < 0 or not drawn:
        raise ValueError(
            f"cannot draw {count} of {sum(sizes)} problems at cursor {cursor} with seed {seed}"
        )
    weights = [parts[n].weight for n in drawn]
    if (too_small := find_too_small(weights)) is not None:
        raise ValueError(
            f"weight {weights[too_small]} is less than one draw in {BLOCK:,}, of weights {weights}"
        )

    # Draw the blocks that the wanted range touches, and cut the range out of them.
    drawn_sizes = [sizes[n] for n in drawn]
    first, last = cursor // BLOCK, (cursor + max(count, 1) - 1) // BLOCK
    blocks = [_draw_block(seed, block, weights, drawn_sizes) for block in range(first, last + 1)]
    start = cursor - first * BLOCK
    return np.concatenate(blocks)[start : start + count]


def _draw_block(
    seed: int, block: int, weights: Sequence[float], sizes: Sequence[int]
) -> np.ndarray:
    """Draws one whole block of a mixture."""
    before, after = (apportion(weights, BLOCK * number) for number in (block, block + 1))
    quotas = [end - start for start, end in zip(before, after, strict=True)]
    parts = np.repeat(np.arange(len(sizes)), quotas)[_random_permutation((seed, 0, block), BLOCK)]

    drawn = np.zeros(BLOCK, np.int64)
    for n, size in enumerate(sizes):
        in_part = _draw_epochs((seed, n + 1), before[n], quotas[n], size)
        drawn[parts == n] = sum(sizes[:n]) + in_part
    return drawn


def _draw_epochs(key: tuple[int, ...], cursor: int, count: int, size: int) -> np.ndarray:
    """Draws from the permutations of one epoch after the other."""
    if min(*key, cursor, count) < 0 or size < 1:
        raise ValueError(
            f"cannot draw {count} of {size} problems at cursor {cursor} with seed {key[0]}"
        )
    first, last = cursor // size, (cursor + max(count, 1) - 1) // size
    epochs = [_random_permutation((*key, epoch), size) for epoch in range(first, last + 1)]
    start = cursor - first * size
    return np.concatenate(epochs)[start : start + count]


def _random_permutation(key: tuple[int, ...], size: int) -> np.ndarray:
    """Sorts indices by random 64-bit keys; equal keys keep their order."""
    keys = np.random.Philox(np.random.SeedSequence(key)).random_raw(size)
    return np.argsort(keys, kind="stable").astype(np.int64)
