"""Packing: the real tokens of a minibatch in bins of one width, so that padding costs no time.

Answers are of very unequal length, and a row with a slot for every token of the longest one is
mostly padding. Bins are as wide as a row and hold several short rows side by side, each a sequence
of its own to attention. Only the bins that hold a token are gone over: their number is known when
the program runs, their shapes when it is compiled.

Shapes: B rows of the minibatch, P prompt slots, T completion slots, W = P + T; R bins, M of them in
a micro-batch.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.learner.batches import Trajectories
from papo_jax.models.attention import TokenPlaces


class PackedRows(NamedTuple):
    """Bins of tokens; the statistics of a token come from the hidden state one place before.

    Attributes:
      tokens: [R, W] int32.
      places: [R, W], each row a segment of its own.
      mask: [R, W - 1] boolean of tokens[:, 1:], those whose statistics are wanted.
    """

    tokens: jax.Array
    places: TokenPlaces
    mask: jax.Array


class Packing(NamedTuple):
    """The places of a minibatch's tokens in bins.

    Attributes:
      sources: [R, W] int32, index of the token of each place among the B W slots of the rows;
        B W where no token stands.
      targets: [B, T] int32, index among the R W places of each completion slot; R W of those that
        are not packed.
      used: [] int32, bins that hold a token; they come first.
    """

    sources: jax.Array
    targets: jax.Array
    used: jax.Array


def pack_rows(trajectories: Trajectories, wanted: jax.Array, *, multiple: int) -> Packing:
    """Packs the rows that have a wanted token.

    Args:
      trajectories: B rows.
      wanted: [B, T] boolean, tokens whose statistics are wanted.
      multiple: the number of bins is rounded up to a multiple of this.

    Returns:
      `Packing`.
    """
    valid = jnp.concatenate([trajectories.prompt_valid, trajectories.valid], axis=1)
    valid &= wanted.any(axis=1, keepdims=True)
    rows, width = valid.shape
    count = math.ceil(rows / multiple) * multiple
    bins, offsets = fill_bins(valid.sum(axis=1, dtype=jnp.int32), width=width)
    ranks = jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1
    nowhere = count * width
    targets = jnp.where(valid, (bins * width + offsets)[:, None] + ranks, nowhere)
    sources = jnp.full(nowhere, rows * width, jnp.int32)
    slots = jnp.arange(rows * width, dtype=jnp.int32)
    sources = sources.at[targets.reshape(-1)].set(slots, mode="drop")
    return Packing(
        sources=sources.reshape(count, width),
        targets=targets[:, trajectories.prompt_tokens.shape[1] :],
        used=jnp.where(valid.any(axis=1), bins + 1, 0).max(),
    )


def fill_bins(lengths: jax.Array, *, width: int) -> tuple[jax.Array, jax.Array]:
    """Puts rows into bins, the longest first, each into the first bin with room for it.

    Args:
      lengths: [B] int32, at most `width`.
      width: of a bin.

    Returns:
      (bin [B], offset [B] in it), int32.

    >>> bins, offsets = fill_bins(jnp.array([2, 5, 3, 1]), width=6)
    >>> bins.tolist(), offsets.tolist()
    ([1, 0, 1, 0], [3, 0, 0, 5])
    """

    def put_row(room, length):
        chosen = jnp.argmax(room >= length)
        return room.at[chosen].add(-length), (chosen.astype(jnp.int32), width - room[chosen])

    order = jnp.argsort(-lengths, stable=True)
    empty = jnp.full(lengths.shape, width, jnp.int32)
    _, (bins, offsets) = jax.lax.scan(put_row, empty, lengths[order])
    back = jnp.argsort(order)
    return bins[back], offsets[back]


def pack_trajectories(
    packing: Packing, trajectories: Trajectories, wanted: jax.Array
) -> PackedRows:
    """Lays the tokens of some rows into their bins; `wanted` is that of `pack_rows`."""
    rows, prompt_slots = trajectories.prompt_tokens.shape
    width = packing.sources.shape[1]
    filled = packing.sources < rows * width
    tokens = jnp.concatenate([trajectories.prompt_tokens, trajectories.tokens], axis=1)
    wanted = jnp.pad(wanted, ((0, 0), (prompt_slots, 0)))
    segments = jnp.where(filled, packing.sources // width + 1, 0)
    # A token's position is its distance from the first place of its segment.
    columns = jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), segments.shape)
    begins = segments != jnp.pad(segments, ((0, 0), (1, 0)))[:, :-1]
    starts = jax.lax.cummax(jnp.where(begins, columns, 0), axis=1)
    return PackedRows(
        tokens=_take(packing, tokens),
        places=TokenPlaces(segments=segments, positions=columns - starts),
        mask=_take(packing, wanted)[:, 1:],
    )


def pack_arrays(packing: Packing, tree):
    """Lays [B, T] arrays of completion slots beside `PackedRows.mask`, [R, W - 1]; 0 elsewhere."""

    def pack(array):
        prompt_slots = packing.sources.shape[1] - array.shape[1]
        return _take(packing, jnp.pad(array, ((0, 0), (prompt_slots, 0))))[:, 1:]

    return jax.tree.map(pack, tree)


def unpack_arrays(packing: Packing, tree):
    """Undoes `pack_arrays`: [R, W - 1] -> [B, T], 0 in slots that are not packed."""

    def unpack(array):
        flat = jnp.pad(array, ((0, 0), (1, 0))).reshape(-1)
        return jnp.take(flat, packing.targets, mode="fill", fill_value=0)

    return jax.tree.map(unpack, tree)


def fold_used(function: Callable, carry, packing: Packing, tree, *, size: int):
    """Folds function(carry, index, micro-batch) over the micro-batches that hold a token.

    Args:
      function: (carry, [] index, micro-batch of `tree`, [M, ...]) -> carry.
      carry: the first one.
      packing: of the bins.
      tree: pytree of [R, ...] arrays.
      size: M, a divisor of R.

    Returns:
      The last carry.
    """
    cut = jax.tree.map(lambda array: array.reshape(-1, size, *array.shape[1:]), tree)

    def fold(index, carry):
        part = jax.tree.map(
            lambda array: jax.lax.dynamic_index_in_dim(array, index, keepdims=False), cut
        )
        return function(carry, index, part)

    return jax.lax.fori_loop(0, (packing.used + size - 1) // size, fold, carry)


def _take(packing: Packing, array: jax.Array) -> jax.Array:
    """Takes [B, W] values to their places, [R, W]; 0 where no token stands."""
    return jnp.take(array.reshape(-1), packing.sources, mode="fill", fill_value=0)
