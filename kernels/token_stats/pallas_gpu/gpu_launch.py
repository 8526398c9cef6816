"""Launches of the GPU kernels on whole arrays.

Shapes: N tokens, V vocabulary, D width; S splits of the vocabulary.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from kernels.token_stats import vjp
from kernels.token_stats.pallas_gpu import gpu_blocks, gpu_kernels
from kernels.token_stats.pallas_gpu.gpu_blocks import EXACT, BlockConfig
from kernels.token_stats.sums import VocabularySums, rebase_sums
from kernels.token_stats.token_rows import TokenRows
from kernels.token_stats.varying_axes import make_output_shape, mark_varying
from kernels.token_stats.vjp import LogitCotangent


def launch_sums(
    load_logits: Callable[..., jax.Array],
    operands: tuple[jax.Array, ...],
    rows: TokenRows,
    *,
    vocabulary: int,
    block: BlockConfig,
    num_programs: int,
    interpret: bool,
) -> VocabularySums:
    """Launches `gpu_kernels.sums_kernel` over (blocks of rows, splits) and combines the splits."""
    # Rows are the fast axis of the grid: programs that run together read the same part of the
    # unembedding.
    count = rows.tokens.shape[0]
    grid_rows, tiles = pl.cdiv(count, block.rows), pl.cdiv(vocabulary, block.columns)
    splits = min(tiles, max(1, num_programs // grid_rows))
    kernel = functools.partial(
        gpu_kernels.sums_kernel,
        load_logits=load_logits,
        vocabulary=vocabulary,
        splits=splits,
        block=block,
    )
    out_shape = VocabularySums._make([jax.ShapeDtypeStruct((splits, count), jnp.float32)] * 6)
    (parts,) = _launch_kernel(
        kernel,
        (operands, gpu_kernels.make_row_inputs(rows)),
        (out_shape,),
        grid=(grid_rows, splits),
        block=block,
        interpret=interpret,
    )

    # `sums.merge_sums`, of all splits at once.
    maximum = parts.maximum.max(axis=0, keepdims=True)
    parts = rebase_sums(parts, maximum, rows.temperature)
    return VocabularySums(maximum[0], *(part.sum(axis=0) for part in parts[1:]))


def launch_gradient(
    hidden: jax.Array,
    unembedding: jax.Array,
    columns: jax.Array,
    *,
    rows: TokenRows,
    cotangent: LogitCotangent,
    interpret: bool,
) -> tuple[jax.Array, ...]:
    """Computes the gradient in the logits hidden @ unembedding^T as `vjp.split_gradient` [N, V].

    The kernel splits the gradient itself: XLA takes a rounding to 16 bits and back for excess
    precision and leaves it out, and then the second factor is zero.

    Args:
      hidden: [N, D].
      unembedding: [V, D].
      columns: [V] int32, the unembedding's columns.
      rows: [N].
      cotangent: [N].
      interpret: run the kernel in the interpreter.

    Returns:
      One or two factors [N, V] in the unembedding's dtype.
    """
    shape = hidden.shape[0], unembedding.shape[0]
    block = choose_block(hidden, unembedding, interpret)
    inputs = ((hidden, unembedding), columns, gpu_kernels.make_row_inputs(rows, cotangent))
    factors = jax.eval_shape(
        lambda: vjp.split_gradient(jnp.zeros(shape, jnp.float32), unembedding.dtype)
    )
    (factors,) = _launch_kernel(
        functools.partial(gpu_kernels.gradient_kernel, block=block),
        inputs,
        (factors,),
        grid=(pl.cdiv(shape[0], block.rows), pl.cdiv(shape[1], block.columns)),
        block=block,
        interpret=interpret,
    )
    return factors


def choose_block(hidden: jax.Array, unembedding: jax.Array, interpret: bool) -> BlockConfig:
    """Chooses the linear form's block for these operands."""
    dtype = jnp.promote_types(hidden.dtype, unembedding.dtype)
    block = gpu_blocks.choose_linear_block(dtype, hidden.shape[1])
    # TF32 is the hardware's.
    return block._replace(precision=EXACT) if interpret else block


def _launch_kernel(
    kernel: Callable[..., None],
    inputs: tuple[Any, ...],
    out_shape: Any,
    *,
    grid: tuple[int, int],
    block: BlockConfig,
    interpret: bool,
) -> Any:
    """Calls a kernel on whole arrays.

    Inside `jax.shard_map` the outputs vary over the axes over which any input varies.
    """
    inputs = mark_varying(inputs, inputs)
    out_shape = jax.tree.map(
        lambda leaf: make_output_shape(leaf.shape, leaf.dtype, inputs), out_shape
    )
    params = plgpu.CompilerParams(num_warps=block.warps, num_stages=block.stages)
    return pl.pallas_call(
        kernel, grid=grid, out_shape=out_shape, compiler_params=params, interpret=interpret
    )(*inputs)
