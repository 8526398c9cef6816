"""Token statistics tile by tile in plain XLA operations: the implementation for CPU, and for
anything else.

The vocabulary is gone through in tiles of which one lives at a time, forward and backward; the
backward pass is written by hand (`sums.py`), since automatic differentiation of such a loop keeps
every tile. Its memory is the outputs and one tile. No forward mode: `forward.py` is for that.

Shapes: N tokens, V vocabulary, D width.
"""

import functools

import jax
import jax.numpy as jnp

from kernels.token_stats import sums, tile_sizes
from kernels.token_stats.reference import precision_of, wide
from kernels.token_stats.sums import Pull, Rows, Sums
from kernels.token_stats.tiling import RowBlocks, Tiles, cut, slice_rows
from kernels.token_stats.varying_axes import varying_as


def linear_sums(operands: tuple[jax.Array, jax.Array], rows: Rows) -> Sums:
    """Sums over the vocabulary of hidden @ unembedding^T.

    Args:
      operands: (hidden [N, D], unembedding [V, D]); differentiable.
      rows: [N].

    Returns:
      `Sums` of shape [N].
    """
    return sums.differentiable(_linear_forward, _linear_backward)(operands, rows)


def logits_sums(logits: jax.Array, rows: Rows) -> Sums:
    """Sums over the vocabulary of logits [N, V]; arguments otherwise as in `linear_sums`."""
    return sums.differentiable(_logits_forward, _logits_backward)(logits, rows)


def linear_block(
    hidden: jax.Array, unembedding: jax.Array, rows: Rows, tiles: Tiles, *, keep: bool = False
) -> tuple[Sums, jax.Array | None]:
    """Goes over the vocabulary once for a block of rows.

    Args:
      hidden: [N, D].
      unembedding: [V, D].
      rows: [N].
      tiles: of the vocabulary.
      keep: return the logits too.

    Returns:
      (`Sums` of shape [N, 1], logits [tiles, N, width] or None).
    """
    tokens = rows.tokens[:, None]
    dtype = wide(hidden, unembedding)

    def step(index, carry):
        total, kept = carry
        start, columns = tiles.place(index)
        logits = _logits(hidden, slice_rows(unembedding, start, tiles.width), dtype)
        tile = sums.of_tile(logits, columns, tokens, rows.limit, rows.temperature, _once)
        kept = (
            kept
            if kept is None
            else jax.lax.dynamic_update_slice(kept, logits[None], (index, 0, 0))
        )
        return sums.merge(total, tile, rows.temperature), kept

    kept = jnp.zeros((tiles.count, hidden.shape[0], tiles.width), dtype) if keep else None
    start = (sums.empty(jnp.zeros((hidden.shape[0], 1), dtype)), kept)
    return jax.lax.fori_loop(0, tiles.count, step, varying_as(start, hidden, unembedding, rows))


def linear_block_pull(
    hidden, unembedding, rows: Rows, tiles: Tiles, pull: Pull, into, *, dtype, kept=None
):
    """Adds a block's gradient in the unembedding to `into` [V, D] and computes that in its hidden
    states.

    Args:
      hidden: [N, D].
      unembedding: [V, D].
      rows: [N].
      tiles: of the vocabulary.
      pull: [N].
      into: [V, D], at least float32.
      dtype: that the tile's gradient and the operands are multiplied in; sums are at least float32.
      kept: the logits that `linear_block` kept, or None to make them again.

    Returns:
      (gradient in hidden [N, D], at least float32; the new `into`).
    """
    tokens, pull, factor = rows.tokens[:, None], sums.columnwise(pull), hidden.astype(dtype)

    def step(index, carry):
        of_hidden, into = carry
        start, columns = tiles.place(index)
        part = slice_rows(unembedding, start, tiles.width)
        logits = _logits(hidden, part, into.dtype) if kept is None else kept[index]
        gradient = sums.pull_tile(logits, columns, tokens, rows.limit, rows.temperature, pull)
        gradient, part = gradient.astype(dtype), part.astype(dtype)
        # h^T dz and a small transpose: a quarter faster on CPU than dz^T h.
        of_part = _product(factor.T, gradient, into.dtype).T
        into = jax.lax.dynamic_update_slice(
            into, slice_rows(into, start, tiles.width) + of_part, (start, 0)
        )
        return of_hidden + _product(gradient, part, into.dtype), into

    start = varying_as((jnp.zeros(hidden.shape, into.dtype), into), hidden, unembedding, rows, pull)
    return jax.lax.fori_loop(0, tiles.count, step, start)


def _linear_forward(operands, rows: Rows) -> Sums:
    hidden, unembedding = operands
    size = tile_sizes.current()
    tiles, blocks = (
        cut(unembedding.shape[0], size.columns),
        RowBlocks.of(hidden.shape[0], size.rows),
    )
    hidden, padded = blocks.pad(hidden), blocks.pad_rows(rows)

    def step(index, out):
        part, _ = linear_block(
            blocks.take(hidden, index), unembedding, blocks.take_rows(padded, index), tiles
        )
        return jax.tree.map(lambda whole, piece: blocks.put(whole, piece[:, 0], index), out, part)

    out = sums.empty(jnp.zeros(blocks.padded, wide(*operands)))
    out = varying_as(out, operands, rows)
    out = jax.lax.fori_loop(0, blocks.with_work(padded), step, out)
    return jax.tree.map(lambda leaf: leaf[: rows.tokens.shape[0]], out)


def _linear_backward(operands, rows: Rows, pull: Pull):
    hidden, unembedding = operands
    size = tile_sizes.current()
    tiles, blocks = (
        cut(unembedding.shape[0], size.columns),
        RowBlocks.of(hidden.shape[0], size.rows),
    )
    dtype = wide(*operands)
    padded, padded_hidden, padded_pull = (
        blocks.pad_rows(rows),
        blocks.pad(hidden),
        jax.tree.map(blocks.pad, pull),
    )

    def step(index, carry):
        of_hidden, of_unembedding = carry
        take = functools.partial(blocks.take, index=index)
        part, of_unembedding = linear_block_pull(
            take(padded_hidden),
            unembedding,
            blocks.take_rows(padded, index),
            tiles,
            jax.tree.map(take, padded_pull),
            of_unembedding,
            dtype=dtype,
        )
        return blocks.put(of_hidden, part.astype(hidden.dtype), index), of_unembedding

    start = jnp.zeros_like(padded_hidden), jnp.zeros(unembedding.shape, dtype)
    start = varying_as(start, operands, rows, pull)
    of_hidden, of_unembedding = jax.lax.fori_loop(0, blocks.with_work(padded), step, start)
    return of_hidden[: hidden.shape[0]], of_unembedding.astype(unembedding.dtype)


def _logits_forward(logits: jax.Array, rows: Rows) -> Sums:
    tiles = cut(logits.shape[1], _logits_width(logits))
    dtype = wide(logits)

    def step(index, total):
        start, columns = tiles.place(index)
        tile = jax.lax.dynamic_slice(logits, (0, start), (logits.shape[0], tiles.width)).astype(
            dtype
        )
        tile = sums.of_tile(
            tile, columns, rows.tokens[:, None], rows.limit, rows.temperature, _once
        )
        return sums.merge(total, tile, rows.temperature)

    start = varying_as(sums.empty(jnp.zeros((logits.shape[0], 1), dtype)), logits, rows)
    return sums.rowwise(jax.lax.fori_loop(0, tiles.count, step, start))


def _logits_backward(logits: jax.Array, rows: Rows, pull: Pull) -> jax.Array:
    columns = jnp.arange(logits.shape[1], dtype=jnp.int32)[None]
    # One fused operation: reads each logit once and holds nothing but its result.
    return sums.pull_tile(
        logits.astype(wide(logits)),
        columns,
        rows.tokens[:, None],
        rows.limit,
        rows.temperature,
        sums.columnwise(pull),
    ).astype(logits.dtype)


def _once(x: jax.Array) -> jax.Array:
    """e^x, written to memory: XLA would otherwise compute it again inside each of the four sums."""
    return jax.lax.optimization_barrier(jnp.exp(x))


def _logits(hidden: jax.Array, unembedding: jax.Array, dtype) -> jax.Array:
    return _product(hidden, unembedding.T, dtype)


def _product(left: jax.Array, right: jax.Array, dtype) -> jax.Array:
    return jnp.matmul(
        left, right, precision=precision_of(left, right), preferred_element_type=dtype
    )


def _logits_width(logits: jax.Array) -> int:
    """As many columns as make a tile of the usual size, and at least 128: a row is read in pieces
    of that length."""
    size = tile_sizes.current()
    return max(128, size.rows * size.columns // max(1, logits.shape[0]))
