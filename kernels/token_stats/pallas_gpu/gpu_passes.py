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

import jax
import jax.numpy as jnp

from kernels.token_stats import tiling, vjp
from kernels.token_stats.pallas_gpu import gpu_blocks, gpu_kernels, gpu_launch
from kernels.token_stats.sums import VocabularySums
from kernels.token_stats.token_rows import TokenRows
from kernels.token_stats.varying_axes import mark_varying
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
    return gpu_launch.launch_sums(
        gpu_kernels.multiply_tile,
        operands,
        rows,
        vocabulary=operands[1].shape[0],
        block=gpu_launch.choose_block(*operands, interpret),
        num_programs=gpu_blocks.NUM_PROGRAMS,
        interpret=interpret,
    )


def _logits_forward(logits: jax.Array, rows: TokenRows, *, interpret: bool) -> VocabularySums:
    return gpu_launch.launch_sums(
        gpu_kernels.read_tile,
        (logits,),
        rows,
        vocabulary=logits.shape[1],
        block=gpu_blocks.LOGITS_BLOCK,
        num_programs=gpu_blocks.NUM_LOGITS_PROGRAMS,
        interpret=interpret,
    )


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
    matmul = functools.partial(
        jnp.matmul, precision=gpu_blocks.EXACT, preferred_element_type=jnp.float32
    )

    def add_block(index, carry):
        hidden_gradient, part_gradient = carry
        take_block = functools.partial(blocks.take_block, index=index)
        block_hidden = take_block(hidden)
        factors = gpu_launch.launch_gradient(
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
