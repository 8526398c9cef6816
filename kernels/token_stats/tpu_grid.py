"""Grids and block specifications of the TPU kernels.

An index map gets the block of rows i, the tile of columns j, and the prefetched `work` [blocks of
rows]: how many rows of each block are needed. Shapes: N tokens, V vocabulary, D width.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.token_stats.sums import Rows
from kernels.token_stats.tpu_blocks import Blocks


def row(blocks: Blocks) -> pl.BlockSpec:
    """A number of each row of a block."""
    return pl.BlockSpec((blocks.rows, 1), lambda i, j, *_: (i, 0))


def tile(blocks: Blocks, *, written: bool = False) -> pl.BlockSpec:
    """A tile of logits, or of their gradient, which is written where there is no work too."""
    if written:
        return pl.BlockSpec((blocks.rows, blocks.columns), lambda i, j, *_: (i, j))
    return pl.BlockSpec(
        (blocks.rows, blocks.columns), lambda i, j, work, _: (i, _where(work[i], j))
    )


def operands(blocks: Blocks, width: int) -> list[pl.BlockSpec]:
    """Hidden states of a block of rows, and the unembedding of a tile of columns."""
    return [
        of_rows(blocks, width),
        pl.BlockSpec((blocks.columns, width), lambda i, j, work, _: (_where(work[i], j), 0)),
    ]


def of_rows(blocks: Blocks, width: int) -> pl.BlockSpec:
    """D numbers of each row of a block."""
    return pl.BlockSpec((blocks.rows, width), lambda i, j, *_: (i, 0))


def of_columns(blocks: Blocks, width: int) -> pl.BlockSpec:
    """D numbers of each column of a tile."""
    return pl.BlockSpec((blocks.columns, width), lambda i, j, *_: (j, 0))


def _where(busy: jax.Array, index: jax.Array) -> jax.Array:
    """The same block again and again where there is no work: it is fetched once."""
    return jnp.where(busy > 0, index, 0)


def grid(
    count, vocabulary, blocks, operands, outputs, *, row_inputs, scratch=None, columns_outside=False
):
    """The grid (rows, columns), or (columns, rows), with `work` and `limit` prefetched and the
    temperature in SMEM."""
    specs = [pl.BlockSpec(memory_space=pltpu.SMEM), *[row(blocks)] * row_inputs, *operands]
    grid = pl.cdiv(count, blocks.rows), pl.cdiv(vocabulary, blocks.columns)
    if columns_outside:
        specs, outputs = [_swapped(spec) for spec in specs], _swapped(outputs)
        grid = grid[::-1]
    return pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=2,
        grid=grid,
        in_specs=specs,
        out_specs=outputs,
        scratch_shapes=[pltpu.VMEM(scratch, jnp.float32)] if scratch else [],
    )


def _swapped(spec: pl.BlockSpec) -> pl.BlockSpec:
    if spec.index_map is None:
        return spec
    return pl.BlockSpec(
        spec.block_shape, lambda j, i, *prefetched: spec.index_map(i, j, *prefetched)
    )


def scalars(rows: Rows, blocks: Blocks) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(work: the number of rows that each block of rows needs, limit, temperature)."""
    needed = jnp.pad(rows.needed, (0, -rows.needed.shape[0] % blocks.rows))
    return (
        needed.reshape(-1, blocks.rows).sum(axis=1, dtype=jnp.int32),
        rows.limit[None],
        rows.temperature[None],
    )


def options(blocks: Blocks, interpret: bool) -> dict:
    """What every kernel tells the compiler: blocks of the outer axis are independent of each
    other."""
    semantics = ("parallel", "arbitrary")
    return dict(
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=semantics, vmem_limit_bytes=blocks.vmem
        ),
        interpret=interpret,
    )


def cost(count: int, vocabulary: int, width: int, arrays) -> pl.CostEstimate:
    """Each operand read once; what the compiler schedules by, no measurement."""
    return pl.CostEstimate(
        flops=count * vocabulary * (2 * width + 12),
        transcendentals=count * vocabulary,
        bytes_accessed=sum(array.size * array.dtype.itemsize for array in arrays),
    )
