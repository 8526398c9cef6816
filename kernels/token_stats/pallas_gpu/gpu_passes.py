"""Forward and backward passes of the GPU kernels.

    forward    Grid (rows, S): a program loops over its split of the vocabulary, keeps the sums in
               registers and writes them to [S, N]; the S parts of a row combine outside. Linear
               form: a tile of logits is computed from chunks of D, h [rows, depth] by
               u [columns, depth], and never leaves the chip. Logits form: one row per program, each
               logit read once.
    backward   Linear form: for each [4096, 4096] tile of logits a kernel recomputes it and writes
               its gradient dz, from which two matrix products read it: dh += dz u and
               du += dz^T h. No atomics: the same bits every time. Logits form: one fused XLA
               operation.

Since 0.11 jax calls Pallas's Triton backend deprecated; 0.12 still has it.

Shapes: N tokens, V vocabulary, D width; S splits of the vocabulary, so that few rows still fill the
device.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from kernels.token_stats import tiling, vjp
from kernels.token_stats.pallas_gpu import gpu_blocks, gpu_kernels
from kernels.token_stats.pallas_gpu.gpu_blocks import EXACT, BlockConfig
from kernels.token_stats.sums import VocabularySums, rebase_sums
from kernels.token_stats.token_rows import TokenRows
from kernels.token_stats.varying_axes import make_output_shape, mark_varying
from kernels.token_stats.vjp import LogitCotangent


def linear_sums(
    operands: tuple[jax.Array, jax.Array], rows: TokenRows, *, interpret: bool = False
) -> VocabularySums:
    """Sums over the vocabulary of hidden @ unembedding^T.

    Args:
      operands: (hidden [N, D], unembedding [V, D]), float32 or 16 bits; differentiable.
      rows: [N]; the work is least where the active ones come first.
      interpret: run the kernels in Pallas's interpreter, which does not work inside
        `jax.shard_map` with check_vma=True.

    Returns:
      `VocabularySums` of shape [N].
    """
    forward = functools.partial(_linear_forward, interpret=interpret)
    backward = functools.partial(_linear_backward, interpret=interpret)
    return vjp.attach_vjp(forward, backward)(operands, rows)


def logits_sums(logits: jax.Array, rows: TokenRows, *, interpret: bool = False) -> VocabularySums:
    """Sums over the vocabulary of logits [N, V]; otherwise as `linear_sums`."""
    forward = functools.partial(_logits_forward, interpret=interpret)
    return vjp.attach_vjp(forward, _logits_backward)(logits, rows)


def _linear_forward(
    operands: tuple[jax.Array, jax.Array], rows: TokenRows, *, interpret: bool
) -> VocabularySums:
    return _launch_sums(
        gpu_kernels.multiply_tile,
        operands,
        rows,
        vocabulary=operands[1].shape[0],
        block=_choose_block(*operands, interpret),
        num_programs=gpu_blocks.NUM_PROGRAMS,
        interpret=interpret,
    )


def _logits_forward(logits: jax.Array, rows: TokenRows, *, interpret: bool) -> VocabularySums:
    return _launch_sums(
        gpu_kernels.read_tile,
        (logits,),
        rows,
        vocabulary=logits.shape[1],
        block=gpu_blocks.LOGITS_BLOCK,
        num_programs=gpu_blocks.NUM_LOGITS_PROGRAMS,
        interpret=interpret,
    )


def _launch_sums(
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
    out_shape = VocabularySums(*[jax.ShapeDtypeStruct((splits, count), jnp.float32)] * 6)
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


def _linear_backward(
    operands: tuple[jax.Array, jax.Array],
    rows: TokenRows,
    cotangent: LogitCotangent,
    *,
    interpret: bool,
) -> tuple[jax.Array, jax.Array]:
    hidden, unembedding = operands
    tiles = tiling.make_tiles(unembedding.shape[0], gpu_blocks.GRADIENT_COLUMNS)
    blocks = tiling.make_row_blocks(hidden.shape[0], gpu_blocks.GRADIENT_ROWS)
    padded_hidden, padded_rows = blocks.pad_array(hidden), blocks.pad_token_rows(rows)
    padded_cotangent = jax.tree.map(blocks.pad_array, cotangent)

    def add_tile(index, carry):
        hidden_gradient, unembedding_gradient = carry
        start, columns = tiles.tile_columns(index)
        part = jax.lax.dynamic_slice_in_dim(unembedding, start, tiles.width)
        hidden_gradient, part_gradient = _add_part(
            hidden_gradient,
            padded_hidden,
            part,
            columns[0],
            blocks=blocks,
            rows=padded_rows,
            cotangent=padded_cotangent,
            interpret=interpret,
        )
        # Where the last tile overlaps the one before, its part is zero, so that adding in 16 bits
        # is exact.
        before = jax.lax.dynamic_slice_in_dim(unembedding_gradient, start, tiles.width)
        added = before + part_gradient.astype(unembedding.dtype)
        return hidden_gradient, jax.lax.dynamic_update_slice_in_dim(
            unembedding_gradient, added, start, axis=0
        )

    carry = jnp.zeros(padded_hidden.shape, jnp.float32), jnp.zeros_like(unembedding)
    carry = mark_varying(carry, operands, rows, cotangent)
    hidden_gradient, unembedding_gradient = jax.lax.fori_loop(0, tiles.count, add_tile, carry)
    return hidden_gradient[: hidden.shape[0]].astype(hidden.dtype), unembedding_gradient


def _add_part(
    hidden_gradient: jax.Array,
    hidden: jax.Array,
    part: jax.Array,
    columns: jax.Array,
    *,
    blocks: tiling.RowBlocks,
    rows: TokenRows,
    cotangent: LogitCotangent,
    interpret: bool,
) -> tuple[jax.Array, jax.Array]:
    """Adds what a part of the unembedding gives to the gradient in the hidden states.

    Args:
      hidden_gradient: [N, D] float32, the sum so far.
      hidden: [N, D].
      part: [n, D] of the unembedding.
      columns: [n] int32, its columns.
      blocks: of the N rows, one of which is computed at a time.
      rows: [N].
      cotangent: [N].
      interpret: run the kernel in the interpreter.

    Returns:
      (the new `hidden_gradient`, the gradient in `part` [n, D]), both float32.
    """
    matmul = functools.partial(jnp.matmul, precision=EXACT, preferred_element_type=jnp.float32)

    def add_block(index, carry):
        hidden_gradient, part_gradient = carry
        take_block = functools.partial(blocks.take_block, index=index)
        block_hidden = take_block(hidden)
        factors = _launch_gradient(
            block_hidden,
            part,
            columns,
            rows=blocks.take_token_rows(rows, index),
            cotangent=jax.tree.map(take_block, cotangent),
            interpret=interpret,
        )
        for factor in factors:
            block_gradient = take_block(hidden_gradient) + matmul(factor, part)
            hidden_gradient = blocks.put_block(hidden_gradient, block_gradient, index)
            part_gradient += matmul(factor.T, block_hidden)
        return hidden_gradient, part_gradient

    carry = hidden_gradient, jnp.zeros(part.shape, jnp.float32)
    carry = mark_varying(carry, hidden_gradient)
    return jax.lax.fori_loop(0, blocks.count_active_blocks(rows), add_block, carry)


def _launch_gradient(
    hidden: jax.Array,
    unembedding: jax.Array,
    columns: jax.Array,
    *,
    rows: TokenRows,
    cotangent: LogitCotangent,
    interpret: bool,
) -> list[jax.Array]:
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
    block = _choose_block(hidden, unembedding, interpret)
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


def _logits_backward(logits: jax.Array, rows: TokenRows, cotangent: LogitCotangent) -> jax.Array:
    # Elementwise, so XLA makes one kernel of it: each logit is read once and its gradient written
    # once.
    row_inputs = tiling.add_column_axis(gpu_kernels.make_row_inputs(rows))
    columns = jnp.arange(logits.shape[1], dtype=jnp.int32)[None]
    gradient = vjp.tile_logit_gradient(
        logits.astype(jnp.float32),
        columns,
        tokens=row_inputs.tokens,
        support_end=row_inputs.support_ends,
        temperature=row_inputs.temperature,
        cotangent=tiling.add_column_axis(cotangent),
    )
    return gradient.astype(logits.dtype)


def _choose_block(hidden: jax.Array, unembedding: jax.Array, interpret: bool) -> BlockConfig:
    dtype = jnp.promote_types(hidden.dtype, unembedding.dtype)
    block = gpu_blocks.choose_linear_block(dtype, hidden.shape[1])
    # TF32 is the hardware's.
    return block._replace(precision=EXACT) if interpret else block
