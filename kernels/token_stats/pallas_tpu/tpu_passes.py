"""Forward and backward passes of the TPU kernels.

Each kernel loops over a grid of blocks of rows and tiles of the vocabulary and applies the
functions of `sums.py` and `vjp.py` to the tile that is in VMEM:

| kernel | grid, innermost last | reads | accumulates in VMEM |
|---|---|---|---|
| logits, forward | rows, columns | each logit once | sums of the rows |
| logits, backward | rows, columns | each logit once | nothing: writes the tile's gradient |
| linear, forward | rows, columns | the unembedding once per block of rows | sums of the rows |
| linear, d hidden | rows, columns | the same | d hidden of the rows |
| linear, d unembedding | columns, rows | all hidden states per tile | d unembedding of the tile |

Both backward kernels of the linear form recompute a tile's logits from the operands and turn them
into their gradient with four numbers per row (`vjp.LogitCotangent`). A block of rows that are all
inactive is not computed, and of all its tiles only the first is fetched.

Shapes: N tokens, V vocabulary, D width; numbers of a row are columns [N, 1].
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from kernels.token_stats import tiling, vjp
from kernels.token_stats.pallas_tpu import tpu_blocks, tpu_grid, tpu_kernels
from kernels.token_stats.pallas_tpu.tpu_blocks import BlockSizes
from kernels.token_stats.pallas_tpu.tpu_kernels import RowInputs
from kernels.token_stats.platform import get_target_device
from kernels.token_stats.sums import VocabularySums
from kernels.token_stats.token_rows import TokenRows
from kernels.token_stats.varying_axes import make_output_shape
from kernels.token_stats.vjp import LogitCotangent


def linear_sums(
    operands: tuple[jax.Array, jax.Array], rows: TokenRows, *, interpret: bool = False
) -> VocabularySums:
    """Sums over the vocabulary of hidden @ unembedding^T.

    Args:
      operands: (hidden [N, D], unembedding [V, D]), float32 or bfloat16; differentiable.
      rows: [N].
      interpret: run the kernels in the interpreter.

    Returns:
      `VocabularySums` of shape [N].
    """
    forward = functools.partial(_linear_forward, interpret=interpret)
    backward = functools.partial(_linear_backward, interpret=interpret)
    return vjp.attach_vjp(forward, backward)(operands, rows)


def logits_sums(logits: jax.Array, rows: TokenRows, *, interpret: bool = False) -> VocabularySums:
    """Sums over the vocabulary of logits [N, V]; otherwise as `linear_sums`."""
    forward = functools.partial(_logits_forward, interpret=interpret)
    backward = functools.partial(_logits_backward, interpret=interpret)
    return vjp.attach_vjp(forward, backward)(logits, rows)


def _logits_forward(logits: jax.Array, rows: TokenRows, *, interpret: bool) -> VocabularySums:
    count, vocabulary = logits.shape
    blocks = _choose_logits_blocks(logits)
    (sums,) = pl.pallas_call(
        functools.partial(
            tpu_kernels.sums_kernel, load_logits=tpu_kernels.read_logits, blocks=blocks
        ),
        out_shape=(_sums_shape(count, logits, rows),),
        grid_spec=tpu_grid.make_grid_spec(
            count,
            vocabulary,
            blocks,
            in_specs=[
                tpu_grid.row_input_specs(blocks, with_cotangent=False),
                (tpu_grid.logits_spec(blocks),),
            ],
            out_specs=(tpu_grid.sums_specs(blocks),),
        ),
        cost_estimate=tpu_grid.estimate_cost(count, vocabulary, 0, [logits]),
        **tpu_grid.make_compiler_options(blocks, interpret),
    )(*_make_row_arguments(rows, blocks), (logits,))
    return tiling.drop_column_axis(sums)


def _logits_backward(
    logits: jax.Array, rows: TokenRows, cotangent: LogitCotangent, *, interpret: bool
) -> jax.Array:
    count, vocabulary = logits.shape
    blocks = _choose_logits_blocks(logits)
    return pl.pallas_call(
        functools.partial(tpu_kernels.logits_gradient_kernel, blocks=blocks),
        out_shape=make_output_shape(logits.shape, logits.dtype, logits, rows),
        grid_spec=tpu_grid.make_grid_spec(
            count,
            vocabulary,
            blocks,
            in_specs=[
                tpu_grid.row_input_specs(blocks, with_cotangent=True),
                tpu_grid.logits_spec(blocks),
            ],
            out_specs=tpu_grid.logits_gradient_spec(blocks),
        ),
        cost_estimate=tpu_grid.estimate_cost(count, vocabulary, 0, [logits, logits]),
        **tpu_grid.make_compiler_options(blocks, interpret),
    )(*_make_row_arguments(rows, blocks, cotangent), logits)


def _linear_forward(
    operands: tuple[jax.Array, jax.Array], rows: TokenRows, *, interpret: bool
) -> VocabularySums:
    hidden, unembedding = operands
    blocks = _choose_linear_blocks(hidden, unembedding)
    (count, width), vocabulary = hidden.shape, unembedding.shape[0]
    (sums,) = pl.pallas_call(
        functools.partial(
            tpu_kernels.sums_kernel, load_logits=tpu_kernels.multiply_operands, blocks=blocks
        ),
        out_shape=(_sums_shape(count, operands, rows),),
        grid_spec=tpu_grid.make_grid_spec(
            count,
            vocabulary,
            blocks,
            in_specs=[
                tpu_grid.row_input_specs(blocks, with_cotangent=False),
                tpu_grid.operand_specs(blocks, width),
            ],
            out_specs=(tpu_grid.sums_specs(blocks),),
        ),
        cost_estimate=tpu_grid.estimate_cost(count, vocabulary, width, operands),
        **tpu_grid.make_compiler_options(blocks, interpret),
    )(*_make_row_arguments(rows, blocks), operands)
    return tiling.drop_column_axis(sums)


def _linear_backward(
    operands: tuple[jax.Array, jax.Array],
    rows: TokenRows,
    cotangent: LogitCotangent,
    *,
    interpret: bool,
) -> tuple[jax.Array, jax.Array]:
    hidden, unembedding = operands
    num_rows = hidden.shape[0]
    blocks = _choose_linear_blocks(hidden, unembedding)

    # Pad to whole blocks of rows: past the end of an array may be NaN, and d unembedding sums over
    # rows.
    row_blocks = tiling.RowBlocks(num_rows=num_rows, block_size=blocks.rows)
    hidden, rows = row_blocks.pad_array(hidden), row_blocks.pad_token_rows(rows)
    cotangent = jax.tree.map(row_blocks.pad_array, cotangent)
    (count, width), vocabulary = hidden.shape, unembedding.shape[0]

    # What both kernels share.
    arguments = *_make_row_arguments(rows, blocks, cotangent), (hidden, unembedding)
    options: dict[str, Any] = dict(
        cost_estimate=tpu_grid.estimate_cost(count, vocabulary, 2 * width, operands),
        **tpu_grid.make_compiler_options(blocks, interpret),
    )
    make_grid_spec = functools.partial(
        tpu_grid.make_grid_spec,
        count,
        vocabulary,
        blocks,
        in_specs=[
            tpu_grid.row_input_specs(blocks, with_cotangent=True),
            tpu_grid.operand_specs(blocks, width),
        ],
    )

    # The gradient in the hidden states, over tiles of columns.
    hidden_gradient = pl.pallas_call(
        functools.partial(tpu_kernels.hidden_gradient_kernel, blocks=blocks, vocabulary=vocabulary),
        out_shape=make_output_shape(hidden.shape, hidden.dtype, operands, rows),
        grid_spec=make_grid_spec(
            out_specs=tpu_grid.hidden_spec(blocks, width), scratch=(blocks.rows, width)
        ),
        **options,
    )(*arguments)

    # The gradient in the unembedding, over blocks of rows.
    unembedding_gradient = pl.pallas_call(
        functools.partial(tpu_kernels.unembedding_gradient_kernel, blocks=blocks),
        out_shape=make_output_shape(unembedding.shape, unembedding.dtype, operands, rows),
        grid_spec=make_grid_spec(
            out_specs=tpu_grid.unembedding_gradient_spec(blocks, width),
            scratch=(blocks.columns, width),
            columns_outside=True,
        ),
        **options,
    )(*arguments)
    return hidden_gradient[:num_rows], unembedding_gradient


def _make_row_arguments(
    rows: TokenRows, blocks: BlockSizes, cotangent: LogitCotangent | None = None
) -> tuple[jax.Array, jax.Array, RowInputs]:
    """Returns a kernel's first arguments: the prefetched scalars, and the numbers of each row."""
    scalars = tpu_grid.make_scalars(rows, blocks)
    row_inputs = RowInputs(
        temperature=rows.temperature[None],
        tokens=rows.tokens[:, None],
        cotangent=tiling.add_column_axis(cotangent),
    )
    return *scalars, row_inputs


def _sums_shape(count: int, *like) -> VocabularySums:
    return VocabularySums._make([make_output_shape((count, 1), jnp.float32, *like)] * 6)


def _choose_logits_blocks(logits: jax.Array) -> BlockSizes:
    rows, vocabulary = logits.shape
    return tpu_blocks.choose_logits_blocks(
        rows, vocabulary, itemsize=logits.dtype.itemsize, device_kind=get_target_device().kind
    )


def _choose_linear_blocks(hidden: jax.Array, unembedding: jax.Array) -> BlockSizes:
    return tpu_blocks.choose_linear_blocks(
        hidden.shape[0],
        unembedding.shape[0],
        width=hidden.shape[1],
        itemsize=max(hidden.dtype.itemsize, unembedding.dtype.itemsize),
        device_kind=get_target_device().kind,
    )
