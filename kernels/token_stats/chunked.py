"""Token statistics tile by tile in plain XLA operations, on any platform.

Loops over tiles of the vocabulary, one of which is in memory at a time, forward and backward; the
backward pass is written by hand (`vjp.py`), since automatic differentiation of such a loop keeps
every tile. Its memory is the outputs and one tile. Forward mode needs `forward_mode.py`.

Shapes: N tokens, V vocabulary, D width.
"""

import functools

import jax
import jax.numpy as jnp

from kernels.token_stats import tile_sizes, tiling, vjp
from kernels.token_stats.reference import matmul_precision, stats_dtype
from kernels.token_stats.sums import VocabularySums, empty_sums, merge_sums, tile_sums
from kernels.token_stats.tiling import RowBlocks, Tiles, slice_rows
from kernels.token_stats.token_rows import TokenRows
from kernels.token_stats.varying_axes import mark_varying
from kernels.token_stats.vjp import LogitCotangent


def linear_sums(operands: tuple[jax.Array, jax.Array], rows: TokenRows) -> VocabularySums:
    """Sums over the vocabulary of hidden @ unembedding^T.

    Args:
      operands: (hidden [N, D], unembedding [V, D]); differentiable.
      rows: [N].

    Returns:
      `VocabularySums` of shape [N].
    """
    return vjp.attach_vjp(_linear_forward, _linear_backward)(operands, rows)


def logits_sums(logits: jax.Array, rows: TokenRows) -> VocabularySums:
    """Sums over the vocabulary of logits [N, V]; otherwise as `linear_sums`."""
    return vjp.attach_vjp(_logits_forward, _logits_backward)(logits, rows)


def linear_block_sums(
    hidden: jax.Array,
    unembedding: jax.Array,
    rows: TokenRows,
    tiles: Tiles,
    *,
    keep_logits: bool = False,
) -> tuple[VocabularySums, jax.Array | None]:
    """Sums over the vocabulary for a block of rows.

    Args:
      hidden: [N, D].
      unembedding: [V, D].
      rows: [N].
      tiles: of the vocabulary.
      keep_logits: return the logits too.

    Returns:
      (sums of shape [N, 1], logits [tiles, N, width] or None).
    """
    tokens = rows.tokens[:, None]
    dtype = stats_dtype(hidden, unembedding)

    def add_tile(index, carry):
        sums, kept = carry
        start, columns = tiles.tile_columns(index)
        logits = _tile_logits(hidden, slice_rows(unembedding, start, tiles.width), dtype)
        tile = tile_sums(
            logits,
            columns,
            tokens=tokens,
            support_end=rows.support_end,
            temperature=rows.temperature,
            exponential=_materialized_exp,
        )
        if kept is not None:
            kept = jax.lax.dynamic_update_slice(kept, logits[None], (index, 0, 0))
        return merge_sums(sums, tile, rows.temperature), kept

    kept = jnp.zeros((tiles.count, hidden.shape[0], tiles.width), dtype) if keep_logits else None
    carry = empty_sums(jnp.zeros((hidden.shape[0], 1), dtype)), kept
    carry = mark_varying(carry, hidden, unembedding, rows)
    return jax.lax.fori_loop(0, tiles.count, add_tile, carry)


def linear_block_vjp(
    hidden: jax.Array,
    unembedding: jax.Array,
    rows: TokenRows,
    tiles: Tiles,
    *,
    cotangent: LogitCotangent,
    unembedding_gradient: jax.Array,
    dtype: jnp.dtype,
    logits: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Computes a block's gradient in its hidden states and adds its gradient in the unembedding.

    Args:
      hidden: [N, D].
      unembedding: [V, D].
      rows: [N].
      tiles: of the vocabulary.
      cotangent: [N].
      unembedding_gradient: [V, D], at least float32: the sum so far.
      dtype: of the tile's gradient and the operands in their products; sums are at least float32.
      logits: those that `linear_block_sums` kept, or None to recompute them.

    Returns:
      (gradient in hidden [N, D], at least float32; the new `unembedding_gradient`).
    """
    sum_dtype = unembedding_gradient.dtype
    tokens, cotangent = rows.tokens[:, None], tiling.add_column_axis(cotangent)
    hidden_factor = hidden.astype(dtype)

    def add_tile(index, carry):
        hidden_gradient, unembedding_gradient = carry

        # The gradient in the tile's logits.
        start, columns = tiles.tile_columns(index)
        part = slice_rows(unembedding, start, tiles.width)
        tile = _tile_logits(hidden, part, sum_dtype) if logits is None else logits[index]
        tile_gradient = vjp.tile_logit_gradient(
            tile,
            columns,
            tokens=tokens,
            support_end=rows.support_end,
            temperature=rows.temperature,
            cotangent=cotangent,
        )

        # Its products with both operands.
        tile_gradient, part = tile_gradient.astype(dtype), part.astype(dtype)
        # h^T dz and a small transpose: a quarter faster on CPU than dz^T h.
        part_gradient = _matmul(hidden_factor.T, tile_gradient, sum_dtype).T
        part_gradient = slice_rows(unembedding_gradient, start, tiles.width) + part_gradient
        unembedding_gradient = jax.lax.dynamic_update_slice(
            unembedding_gradient, part_gradient, (start, 0)
        )
        return hidden_gradient + _matmul(tile_gradient, part, sum_dtype), unembedding_gradient

    carry = jnp.zeros(hidden.shape, sum_dtype), unembedding_gradient
    carry = mark_varying(carry, hidden, unembedding, rows, cotangent)
    return jax.lax.fori_loop(0, tiles.count, add_tile, carry)


def _linear_forward(operands: tuple[jax.Array, jax.Array], rows: TokenRows) -> VocabularySums:
    hidden, unembedding = operands
    tiles, blocks = _divide_operands(hidden, unembedding)
    padded_hidden, padded_rows = blocks.pad_array(hidden), blocks.pad_token_rows(rows)

    def fill_block(index, sums):
        block, _ = linear_block_sums(
            blocks.take_block(padded_hidden, index),
            unembedding,
            blocks.take_token_rows(padded_rows, index),
            tiles,
        )
        return jax.tree.map(
            lambda array, part: blocks.put_block(array, part[:, 0], index), sums, block
        )

    sums = empty_sums(jnp.zeros(blocks.padded_rows, stats_dtype(*operands)))
    sums = mark_varying(sums, operands, rows)
    sums = jax.lax.fori_loop(0, blocks.count_active_blocks(padded_rows), fill_block, sums)
    return jax.tree.map(lambda leaf: leaf[: rows.tokens.shape[0]], sums)


def _linear_backward(
    operands: tuple[jax.Array, jax.Array], rows: TokenRows, cotangent: LogitCotangent
) -> tuple[jax.Array, jax.Array]:
    hidden, unembedding = operands
    tiles, blocks = _divide_operands(hidden, unembedding)
    dtype = stats_dtype(*operands)
    padded_rows = blocks.pad_token_rows(rows)
    padded_hidden = blocks.pad_array(hidden)
    padded_cotangent = jax.tree.map(blocks.pad_array, cotangent)

    def add_block(index, carry):
        hidden_gradient, unembedding_gradient = carry
        take_block = functools.partial(blocks.take_block, index=index)
        block_gradient, unembedding_gradient = linear_block_vjp(
            take_block(padded_hidden),
            unembedding,
            blocks.take_token_rows(padded_rows, index),
            tiles,
            cotangent=jax.tree.map(take_block, padded_cotangent),
            unembedding_gradient=unembedding_gradient,
            dtype=dtype,
        )
        block_gradient = block_gradient.astype(hidden.dtype)
        return blocks.put_block(hidden_gradient, block_gradient, index), unembedding_gradient

    carry = jnp.zeros_like(padded_hidden), jnp.zeros(unembedding.shape, dtype)
    carry = mark_varying(carry, operands, rows, cotangent)
    hidden_gradient, unembedding_gradient = jax.lax.fori_loop(
        0, blocks.count_active_blocks(padded_rows), add_block, carry
    )
    return hidden_gradient[: hidden.shape[0]], unembedding_gradient.astype(unembedding.dtype)


def _logits_forward(logits: jax.Array, rows: TokenRows) -> VocabularySums:
    tiles = tiling.make_tiles(logits.shape[1], _logits_tile_width(logits))
    dtype = stats_dtype(logits)

    def add_tile(index, sums):
        start, columns = tiles.tile_columns(index)
        tile = jax.lax.dynamic_slice(logits, (0, start), (logits.shape[0], tiles.width))
        tile = tile_sums(
            tile.astype(dtype),
            columns,
            tokens=rows.tokens[:, None],
            support_end=rows.support_end,
            temperature=rows.temperature,
            exponential=_materialized_exp,
        )
        return merge_sums(sums, tile, rows.temperature)

    sums = mark_varying(empty_sums(jnp.zeros((logits.shape[0], 1), dtype)), logits, rows)
    return tiling.drop_column_axis(jax.lax.fori_loop(0, tiles.count, add_tile, sums))


def _logits_backward(logits: jax.Array, rows: TokenRows, cotangent: LogitCotangent) -> jax.Array:
    # One fused operation: reads each logit once and holds nothing but its result.
    columns = jnp.arange(logits.shape[1], dtype=jnp.int32)[None]
    gradient = vjp.tile_logit_gradient(
        logits.astype(stats_dtype(logits)),
        columns,
        tokens=rows.tokens[:, None],
        support_end=rows.support_end,
        temperature=rows.temperature,
        cotangent=tiling.add_column_axis(cotangent),
    )
    return gradient.astype(logits.dtype)


def _divide_operands(hidden: jax.Array, unembedding: jax.Array) -> tuple[Tiles, RowBlocks]:
    sizes = tile_sizes.choose_sizes()
    tiles = tiling.make_tiles(unembedding.shape[0], sizes.columns)
    return tiles, tiling.make_row_blocks(hidden.shape[0], sizes.rows)


def _materialized_exp(x: jax.Array) -> jax.Array:
    """Computes e^x into memory: XLA would otherwise recompute it inside each of the four sums."""
    return jax.lax.optimization_barrier(jnp.exp(x))


def _tile_logits(hidden: jax.Array, unembedding: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return _matmul(hidden, unembedding.T, dtype)


def _matmul(left: jax.Array, right: jax.Array, dtype: jnp.dtype) -> jax.Array:
    precision = matmul_precision(left, right)
    return jnp.matmul(left, right, precision=precision, preferred_element_type=dtype)


def _logits_tile_width(logits: jax.Array) -> int:
    """Returns the columns of a tile of the usual size, at least 128: a row's contiguous read."""
    sizes = tile_sizes.choose_sizes()
    return max(128, sizes.rows * sizes.columns // max(1, logits.shape[0]))
