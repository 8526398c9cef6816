"""Grids and block specifications of the TPU kernels.

An index map receives the block of rows i, the tile of columns j, and the prefetched scalars
`active_counts` [blocks of rows], the number of active rows in each block, and `support_end`.

Shapes: N tokens, V vocabulary, D width.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.token_stats.pallas_tpu.tpu_blocks import BlockSizes
from kernels.token_stats.pallas_tpu.tpu_kernels import RowInputs
from kernels.token_stats.sums import VocabularySums
from kernels.token_stats.token_rows import TokenRows
from kernels.token_stats.vjp import LogitCotangent


def row_spec(blocks: BlockSizes) -> pl.BlockSpec:
    """Specifies one number of each row of a block."""
    return pl.BlockSpec((blocks.rows, 1), lambda i, j, *_: (i, 0))


def row_input_specs(blocks: BlockSizes, *, with_cotangent: bool) -> RowInputs:
    """Specifies a kernel's inputs for a block of rows: the temperature is in SMEM."""
    row = row_spec(blocks)
    return RowInputs(
        temperature=pl.BlockSpec(memory_space=pltpu.SMEM),
        tokens=row,
        cotangent=LogitCotangent._make([row] * 4) if with_cotangent else None,
    )


def sums_specs(blocks: BlockSizes) -> VocabularySums:
    """Specifies the sums of each row of a block."""
    return VocabularySums._make([row_spec(blocks)] * 6)


def logits_spec(blocks: BlockSizes) -> pl.BlockSpec:
    """Specifies a tile of logits that is read, if the block of rows has active rows."""
    return pl.BlockSpec(
        (blocks.rows, blocks.columns),
        lambda i, j, active_counts, _: (i, _index_if_active(active_counts[i], j)),
    )


def logits_gradient_spec(blocks: BlockSizes) -> pl.BlockSpec:
    """Specifies a tile of the logits' gradient, which is written for inactive rows too."""
    return pl.BlockSpec((blocks.rows, blocks.columns), lambda i, j, *_: (i, j))


def operand_specs(blocks: BlockSizes, width: int) -> tuple[pl.BlockSpec, pl.BlockSpec]:
    """Specifies the hidden states of a block of rows, and the unembedding of a tile of columns."""
    unembedding = pl.BlockSpec(
        (blocks.columns, width),
        lambda i, j, active_counts, _: (_index_if_active(active_counts[i], j), 0),
    )
    return hidden_spec(blocks, width), unembedding


def hidden_spec(blocks: BlockSizes, width: int) -> pl.BlockSpec:
    """Specifies D numbers of each row of a block."""
    return pl.BlockSpec((blocks.rows, width), lambda i, j, *_: (i, 0))


def unembedding_gradient_spec(blocks: BlockSizes, width: int) -> pl.BlockSpec:
    """Specifies D numbers of each column of a tile."""
    return pl.BlockSpec((blocks.columns, width), lambda i, j, *_: (j, 0))


def _index_if_active(active_count: jax.Array, index: jax.Array) -> jax.Array:
    """Returns `index`, or 0 without active rows: a block that stays the same is fetched once."""
    return jnp.where(active_count > 0, index, 0)


def make_grid_spec(
    count: int,
    vocabulary: int,
    blocks: BlockSizes,
    *,
    in_specs: list[Any],
    out_specs: Any,
    scratch: tuple[int, int] | None = None,
    columns_outside: bool = False,
) -> pltpu.PrefetchScalarGridSpec:
    """Makes a grid over (rows, columns) with two prefetched scalars.

    Args:
      count: N.
      vocabulary: V.
      blocks: sizes of a block.
      in_specs: of the kernel's inputs after the prefetched ones.
      out_specs: of its outputs.
      scratch: shape of a float32 accumulator in VMEM, or None.
      columns_outside: make the grid (columns, rows), whose inner axis is the rows.

    Returns:
      The specification.
    """
    grid = pl.cdiv(count, blocks.rows), pl.cdiv(vocabulary, blocks.columns)
    if columns_outside:
        grid = grid[::-1]
        in_specs, out_specs = jax.tree.map(_swap_grid_axes, (in_specs, out_specs))
    return pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=2,
        grid=grid,
        in_specs=in_specs,
        out_specs=out_specs,
        scratch_shapes=[pltpu.VMEM(scratch, jnp.float32)] if scratch else [],
    )


def _swap_grid_axes(spec: pl.BlockSpec) -> pl.BlockSpec:
    index_map = spec.index_map
    if index_map is None:
        return spec
    return pl.BlockSpec(spec.block_shape, lambda j, i, *prefetched: index_map(i, j, *prefetched))


def make_scalars(rows: TokenRows, blocks: BlockSizes) -> tuple[jax.Array, jax.Array]:
    """Returns the prefetched scalars (active_counts [blocks of rows], support_end [1])."""
    active = jnp.pad(rows.active, (0, -rows.active.shape[0] % blocks.rows))
    active_counts = active.reshape(-1, blocks.rows).sum(axis=1, dtype=jnp.int32)
    return active_counts, rows.support_end[None]


def make_compiler_options(blocks: BlockSizes, interpret: bool) -> dict[str, Any]:
    """Returns the compiler options of every kernel: blocks of the outer axis are independent."""
    semantics = ("parallel", "arbitrary")
    return dict(
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=semantics, vmem_limit_bytes=blocks.vmem
        ),
        interpret=interpret,
    )


def estimate_cost(count: int, vocabulary: int, width: int, arrays: Any) -> pl.CostEstimate:
    """Estimates a kernel's cost for the scheduler: each operand is read once; not measured."""
    return pl.CostEstimate(
        flops=count * vocabulary * (2 * width + 12),
        transcendentals=count * vocabulary,
        bytes_accessed=sum(array.size * array.dtype.itemsize for array in arrays),
    )
