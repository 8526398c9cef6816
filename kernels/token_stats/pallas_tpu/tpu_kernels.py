"""Bodies of the TPU kernels.

A kernel's arguments are the prefetched `active_counts` [blocks of rows] and `support_end` [1], the
`RowInputs` of its block of rows, its operands, its outputs and its scratch; all are references into
SMEM or VMEM. Numbers of a row are columns [rows, 1].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from kernels.token_stats import vjp
from kernels.token_stats.pallas_tpu.tpu_blocks import BlockSizes
from kernels.token_stats.reference import matmul_precision
from kernels.token_stats.sums import VocabularySums, empty_sums, merge_sums, tile_sums
from kernels.token_stats.vjp import LogitCotangent

Ref = Any  # Pallas gives references no public type


class RowInputs(NamedTuple):
    """References to the inputs of a kernel for its rows.

    Attributes:
      temperature: [1] in SMEM.
      tokens: [rows, 1].
      cotangent: [rows, 1] each; None in the forward pass.
    """

    temperature: Ref
    tokens: Ref
    cotangent: LogitCotangent | None = None


def sums_kernel(
    active_counts: Ref,
    support_end: Ref,
    rows: RowInputs,
    operands: tuple[Ref, ...],
    out: VocabularySums,
    *,
    load_logits: Callable[..., jax.Array],
    blocks: BlockSizes,
):
    """Accumulates the sums of a block of rows over the grid's inner axis, the tiles of columns."""
    row, column = pl.program_id(0), pl.program_id(1)

    @pl.when(column == 0)
    def _initialize_sums():
        for ref, value in zip(out, empty_sums(out.maximum[...]), strict=True):
            ref[...] = value

    @pl.when(active_counts[row] > 0)
    def _add_tile():
        columns = _tile_columns(column, blocks)
        tile = tile_sums(
            load_logits(*operands),
            columns,
            tokens=rows.tokens[...],
            support_end=support_end[0],
            temperature=rows.temperature[0],
        )
        sums = VocabularySums(*(ref[...] for ref in out))
        sums = merge_sums(sums, tile, rows.temperature[0])
        for ref, value in zip(out, sums, strict=True):
            ref[...] = value


def logits_gradient_kernel(
    active_counts: Ref,
    support_end: Ref,
    rows: RowInputs,
    logits: Ref,
    out: Ref,
    *,
    blocks: BlockSizes,
):
    """Writes the gradient of one tile of logits."""
    active = active_counts[pl.program_id(0)] > 0
    columns = _tile_columns(pl.program_id(1), blocks)

    @pl.when(active)
    def _write_gradient():
        gradient = _tile_gradient(read_logits(logits), columns, support_end, rows)
        out[...] = gradient.astype(out.dtype)

    @pl.when(jnp.logical_not(active))
    def _write_zeros():
        out[...] = jnp.zeros_like(out)


def hidden_gradient_kernel(
    active_counts: Ref,
    support_end: Ref,
    rows: RowInputs,
    operands: tuple[Ref, Ref],
    out: Ref,
    total: Ref,
    *,
    blocks: BlockSizes,
    vocabulary: int,
):
    """Accumulates the gradient in a block of hidden states over the tiles of columns."""
    hidden, unembedding = operands
    column = pl.program_id(1)
    last = -(-vocabulary // blocks.columns) - 1
    last_is_ragged = vocabulary % blocks.columns != 0

    @pl.when(column == 0)
    def _initialize_total():
        total[...] = jnp.zeros_like(total)

    def add_products(part):
        logits = multiply_operands(hidden, unembedding)
        columns = _tile_columns(column, blocks)
        gradient = _tile_gradient(logits, columns, support_end, rows)
        total[...] += sum(
            _dot_float32(factor, part, ((1,), (0,)))
            for factor in vjp.split_gradient(gradient, part.dtype)
        )

    active = active_counts[pl.program_id(0)] > 0

    @pl.when(active & (column < last) if last_is_ragged else active)
    def _add_tile():
        add_products(unembedding[...])

    if last_is_ragged:

        @pl.when(active & (column == last))
        def _add_last_tile():
            # Past the end of the array may be NaN, and 0 * NaN is NaN: those rows must be cleared.
            start = column * blocks.columns
            index = start + jax.lax.broadcasted_iota(jnp.int32, unembedding.shape, 0)
            inside = index < vocabulary
            add_products(jnp.where(inside, unembedding[...], jnp.zeros_like(unembedding)))

    @pl.when(column == last)
    def _write_gradient():
        out[...] = total[...].astype(out.dtype)


def unembedding_gradient_kernel(
    active_counts: Ref,
    support_end: Ref,
    rows: RowInputs,
    operands: tuple[Ref, Ref],
    out: Ref,
    total: Ref,
    *,
    blocks: BlockSizes,
):
    """Accumulates the gradient in a tile of the unembedding over the blocks of rows."""
    hidden, unembedding = operands
    column, row = pl.program_id(0), pl.program_id(1)

    @pl.when(row == 0)
    def _initialize_total():
        total[...] = jnp.zeros_like(total)

    @pl.when(active_counts[row] > 0)
    def _add_block():
        logits = multiply_operands(hidden, unembedding)
        columns = _tile_columns(column, blocks)
        gradient = _tile_gradient(logits, columns, support_end, rows)
        factors = vjp.split_gradient(gradient, hidden.dtype)
        total[...] += sum(_dot_float32(factor, hidden[...], ((0,), (0,))) for factor in factors)

    @pl.when(row == pl.num_programs(1) - 1)
    def _write_gradient():
        out[...] = total[...].astype(out.dtype)


def read_logits(logits: Ref) -> jax.Array:
    """Reads a tile of logits as float32."""
    return logits[...].astype(jnp.float32)


def multiply_operands(hidden: Ref, unembedding: Ref) -> jax.Array:
    """Computes a tile of logits from the operands."""
    return _dot_float32(hidden[...], unembedding[...], ((1,), (1,)))


def _tile_gradient(
    logits: jax.Array, columns: jax.Array, support_end: Ref, rows: RowInputs
) -> jax.Array:
    assert rows.cotangent is not None
    return vjp.tile_logit_gradient(
        logits,
        columns,
        tokens=rows.tokens[...],
        support_end=support_end[0],
        temperature=rows.temperature[0],
        cotangent=LogitCotangent(*(ref[...] for ref in rows.cotangent)),
    )


def _dot_float32(
    left: jax.Array, right: jax.Array, contracted: tuple[tuple[int], tuple[int]]
) -> jax.Array:
    """Multiplies with float32 sums; float32 operands are not rounded to bfloat16."""
    precision = matmul_precision(left, right)
    return jax.lax.dot_general(
        left, right, (contracted, ((), ())), precision=precision, preferred_element_type=jnp.float32
    )


def _tile_columns(index: jax.Array, blocks: BlockSizes) -> jax.Array:
    """Returns the columns [1, columns] of the tile at `index`."""
    return index * blocks.columns + jax.lax.broadcasted_iota(jnp.int32, (1, blocks.columns), 1)
