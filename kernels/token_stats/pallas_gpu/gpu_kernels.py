"""Bodies of the GPU kernels.

A kernel's arguments are references to whole arrays in global memory. Tiles are read and written
through `_load_tile` and `_store_tile`, which mask what hangs over the end of an array.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from kernels.token_stats import vjp
from kernels.token_stats.pallas_gpu.gpu_blocks import BlockConfig
from kernels.token_stats.sums import VocabularySums, empty_sums, merge_sums, tile_sums
from kernels.token_stats.token_rows import NO_COLUMN, TokenRows
from kernels.token_stats.vjp import LogitCotangent

Ref = Any  # Pallas gives references no public type


class RowInputs(NamedTuple):
    """Inputs of a kernel for its rows: arrays outside of it, references inside.

    Attributes:
      tokens: [N] int32.
      support_ends: [N] int32; `NO_COLUMN` on inactive rows.
      temperature: [1] float32.
      cotangent: [N] each; None in the forward pass.
    """

    tokens: jax.Array
    support_ends: jax.Array
    temperature: jax.Array
    cotangent: LogitCotangent | None = None


def make_row_inputs(rows: TokenRows, cotangent: LogitCotangent | None = None) -> RowInputs:
    """Makes a kernel's `RowInputs`, with an end of the support for each row.

    An inactive row has no column inside its support, so its sums come out empty and its gradient
    zero.
    """
    return RowInputs(
        tokens=jnp.where(rows.active & (rows.tokens >= 0), rows.tokens, NO_COLUMN),
        support_ends=jnp.where(rows.active, jnp.maximum(rows.support_end, 0), NO_COLUMN),
        temperature=rows.temperature.astype(jnp.float32).reshape(1),
        cotangent=cotangent,
    )


def sums_kernel(
    operands: tuple[Ref, ...],
    rows: RowInputs,
    out: VocabularySums,
    *,
    load_logits: Callable[..., jax.Array],
    vocabulary: int,
    splits: int,
    block: BlockConfig,
):
    """Writes the sums of one block of rows over one split of the vocabulary."""
    row, split = pl.program_id(0) * block.rows, pl.program_id(1)
    tokens, support_ends = (
        _load_tile(ref, (row,), (block.rows,), NO_COLUMN)[:, None]
        for ref in (rows.tokens, rows.support_ends)
    )
    temperature = rows.temperature[0]

    def add_tile(index, sums):
        # Load the tile.
        start = index * block.columns
        columns = start + jax.lax.broadcasted_iota(jnp.int32, (1, block.columns), 1)
        columns = jnp.where(columns < vocabulary, columns, -1)
        logits = load_logits(*operands, row, start, block)
        # Triton's maximum drops NaN, which would hide a broken logit; an infinite one makes the
        # row's statistics NaN.
        logits = jnp.where(jnp.isnan(logits), jnp.inf, logits)

        # Add its sums.
        tile = tile_sums(
            logits, columns, tokens=tokens, support_end=support_ends, temperature=temperature
        )
        return merge_sums(sums, tile, temperature)

    # Loop over the split's tiles; over none if no row is active.
    tiles = pl.cdiv(vocabulary, block.columns)
    first, last = (jax.lax.div(edge * tiles, splits) for edge in (split, split + 1))
    last = jnp.where(support_ends.max() >= 0, last, first)
    sums = empty_sums(jnp.zeros((block.rows, 1), jnp.float32))
    sums = jax.lax.fori_loop(first, last, add_tile, sums)
    for ref, value in zip(out, sums, strict=True):
        _store_tile(ref, (split, row), value.reshape(1, block.rows))


def gradient_kernel(
    operands: tuple[Ref, Ref],
    columns: Ref,
    rows: RowInputs,
    out: tuple[Ref, ...],
    *,
    block: BlockConfig,
):
    """Writes the gradient of one tile of logits, an output for each of `vjp.split_gradient`."""
    # Load the numbers of the tile's rows and columns.
    assert rows.cotangent is not None
    row, column = pl.program_id(0) * block.rows, pl.program_id(1) * block.columns
    tokens, support_ends, *cotangent = (
        _load_tile(ref, (row,), (block.rows,))[:, None]
        for ref in (rows.tokens, rows.support_ends, *rows.cotangent)
    )
    tile_columns = _load_tile(columns, (column,), (block.columns,))[None]

    # Recompute its logits and turn them into their gradient.
    logits = multiply_tile(*operands, row, column, block)
    gradient = vjp.tile_logit_gradient(
        logits,
        tile_columns,
        tokens=tokens,
        support_end=support_ends,
        temperature=rows.temperature[0],
        cotangent=LogitCotangent(*cotangent),
    )
    for ref, factor in zip(out, vjp.split_gradient(gradient, out[0].dtype), strict=True):
        _store_tile(ref, (row, column), factor)


def multiply_tile(
    hidden: Ref, unembedding: Ref, row: jax.Array, column: jax.Array, block: BlockConfig
) -> jax.Array:
    """Computes the tile of hidden @ unembedding^T at (row, column), [rows, columns] in float32."""
    dtype = jnp.promote_types(hidden.dtype, unembedding.dtype)

    def add_chunk(index, logits):
        depth = index * block.depth
        h = _load_tile(hidden, (row, depth), (block.rows, block.depth)).astype(dtype)
        u = _load_tile(unembedding, (column, depth), (block.columns, block.depth)).astype(dtype)
        return logits + plgpu.dot(h, u, trans_b=True, precision=block.precision)

    zero = jnp.zeros((block.rows, block.columns), jnp.float32)
    return jax.lax.fori_loop(0, pl.cdiv(hidden.shape[1], block.depth), add_chunk, zero)


def read_tile(logits: Ref, row: jax.Array, column: jax.Array, block: BlockConfig) -> jax.Array:
    """Reads the tile of logits at (row, column), [rows, columns] in float32."""
    return _load_tile(logits, (row, column), (block.rows, block.columns)).astype(jnp.float32)


def _load_tile(ref: Ref, start: tuple, size: tuple[int, ...], other: int = 0) -> jax.Array:
    """Reads a tile; `other` where it hangs over the end."""
    inside = _inside_array(ref, start, size)
    other_value = None if inside is None else other
    return plgpu.load(_slice_ref(ref, start, size), mask=inside, other=other_value)


def _store_tile(ref: Ref, start: tuple, value: jax.Array) -> None:
    inside = _inside_array(ref, start, value.shape)
    plgpu.store(_slice_ref(ref, start, value.shape), value, mask=inside)


def _slice_ref(ref: Ref, start: tuple, size: tuple[int, ...]) -> Ref:
    return ref.at[tuple(pl.ds(*each) for each in zip(start, size, strict=True))]


def _inside_array(ref: Ref, start: tuple, size: tuple[int, ...]) -> jax.Array | None:
    """Returns which entries of a tile lie in `ref`; None, which is free, where tiles divide it."""
    inside = None
    for axis, extent in enumerate(ref.shape):
        if extent % size[axis]:
            below = start[axis] + jax.lax.broadcasted_iota(jnp.int32, size, axis) < extent
            inside = below if inside is None else inside & below
    return inside
