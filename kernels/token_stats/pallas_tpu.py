"""Token statistics on TPU: Pallas (Mosaic) kernels whose logits never leave the chip.

Each kernel goes over a grid of blocks of rows and tiles of the vocabulary and applies the functions
of `sums.py` to the tile that is in VMEM:

| kernel | grid, innermost last | reads | accumulates in VMEM |
|---|---|---|---|
| logits, forward | rows, columns | each logit once | sums of the rows |
| logits, backward | rows, columns | each logit once | nothing: writes the tile's gradient |
| linear, forward | rows, columns | the unembedding once a block of rows | sums of the rows |
| linear, d hidden | rows, columns | the same | d hidden of the rows |
| linear, d unembedding | columns, rows | the hidden states once a tile of columns | d unembedding of the columns |

Both backward kernels of the linear form make a tile's logits again from the operands and turn them
into their gradient with four numbers a row (`sums.Pull`). Of a block of rows none of which is
needed nothing is computed, and of all its tiles only the first is fetched. Shapes: N tokens, V
  vocabulary, D width; numbers of a row stand in columns [N, 1].
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from kernels.token_stats import platform, sums, tiling, tpu_blocks, tpu_grid
from kernels.token_stats.reference import precision_of
from kernels.token_stats.sums import Pull, Rows, Sums
from kernels.token_stats.tpu_blocks import Blocks
from kernels.token_stats.varying_axes import shaped_as


def linear_sums(
    operands: tuple[jax.Array, jax.Array], rows: Rows, *, interpret: bool = False
) -> Sums:
    """Sums over the vocabulary of hidden @ unembedding^T.

    Args:
      operands: (hidden [N, D], unembedding [V, D]), float32 or bfloat16; differentiable.
      rows: [N].
      interpret: run the kernels in the interpreter.

    Returns:
      `Sums` of shape [N].
    """

    def bind(function):
        return functools.partial(function, interpret=interpret)

    return sums.differentiable(bind(_linear_forward), bind(_linear_backward))(operands, rows)


def logits_sums(logits: jax.Array, rows: Rows, *, interpret: bool = False) -> Sums:
    """Sums over the vocabulary of logits [N, V]; arguments otherwise as in `linear_sums`."""

    def bind(function):
        return functools.partial(function, interpret=interpret)

    return sums.differentiable(bind(_logits_forward), bind(_logits_backward))(logits, rows)


def _logits_forward(logits: jax.Array, rows: Rows, *, interpret: bool) -> Sums:
    count, vocabulary = logits.shape
    blocks = tpu_blocks.logits(count, vocabulary, logits.dtype.itemsize, platform.current().kind)
    out = pl.pallas_call(
        functools.partial(_sums_kernel, make=_read, blocks=blocks),
        out_shape=[shaped_as((count, 1), jnp.float32, logits, rows)] * 6,
        grid_spec=tpu_grid.grid(
            count,
            vocabulary,
            blocks,
            [tpu_grid.tile(blocks)],
            [tpu_grid.row(blocks)] * 6,
            row_inputs=1,
        ),
        cost_estimate=tpu_grid.cost(count, vocabulary, 0, [logits]),
        **tpu_grid.options(blocks, interpret),
    )(*tpu_grid.scalars(rows, blocks), rows.tokens[:, None], logits)
    return sums.rowwise(Sums(*out))


def _logits_backward(logits: jax.Array, rows: Rows, pull: Pull, *, interpret: bool) -> jax.Array:
    count, vocabulary = logits.shape
    blocks = tpu_blocks.logits(count, vocabulary, logits.dtype.itemsize, platform.current().kind)
    return pl.pallas_call(
        functools.partial(_of_logits_kernel, blocks=blocks),
        out_shape=shaped_as(logits.shape, logits.dtype, logits, rows),
        grid_spec=tpu_grid.grid(
            count,
            vocabulary,
            blocks,
            [tpu_grid.tile(blocks)],
            tpu_grid.tile(blocks, written=True),
            row_inputs=5,
        ),
        cost_estimate=tpu_grid.cost(count, vocabulary, 0, [logits, logits]),
        **tpu_grid.options(blocks, interpret),
    )(*tpu_grid.scalars(rows, blocks), rows.tokens[:, None], *sums.columnwise(pull), logits)


def _linear_forward(operands, rows: Rows, *, interpret: bool) -> Sums:
    hidden, unembedding = operands
    blocks = _linear_blocks(operands)
    (count, width), vocabulary = hidden.shape, unembedding.shape[0]
    out = pl.pallas_call(
        functools.partial(_sums_kernel, make=_multiply, blocks=blocks),
        out_shape=[shaped_as((count, 1), jnp.float32, operands, rows)] * 6,
        grid_spec=tpu_grid.grid(
            count,
            vocabulary,
            blocks,
            tpu_grid.operands(blocks, width),
            [tpu_grid.row(blocks)] * 6,
            row_inputs=1,
        ),
        cost_estimate=tpu_grid.cost(count, vocabulary, width, operands),
        **tpu_grid.options(blocks, interpret),
    )(*tpu_grid.scalars(rows, blocks), rows.tokens[:, None], hidden, unembedding)
    return sums.rowwise(Sums(*out))


def _linear_backward(operands, rows: Rows, pull: Pull, *, interpret: bool):
    hidden, unembedding = operands
    blocks = _linear_blocks(operands)
    # Whole blocks of rows: what lies past the end of an array may be NaN, and d unembedding sums
    # over rows.
    whole = tiling.RowBlocks(hidden.shape[0], blocks.rows)
    hidden, rows, pull = whole.pad(hidden), whole.pad_rows(rows), jax.tree.map(whole.pad, pull)
    (count, width), vocabulary = hidden.shape, unembedding.shape[0]
    arguments = (
        *tpu_grid.scalars(rows, blocks),
        rows.tokens[:, None],
        *sums.columnwise(pull),
        hidden,
        unembedding,
    )
    shared = dict(
        cost_estimate=tpu_grid.cost(count, vocabulary, 2 * width, operands),
        **tpu_grid.options(blocks, interpret),
    )
    of_hidden = pl.pallas_call(
        functools.partial(_of_hidden_kernel, blocks=blocks, vocabulary=vocabulary),
        out_shape=shaped_as(hidden.shape, hidden.dtype, operands, rows),
        grid_spec=tpu_grid.grid(
            count,
            vocabulary,
            blocks,
            tpu_grid.operands(blocks, width),
            tpu_grid.of_rows(blocks, width),
            row_inputs=5,
            scratch=(blocks.rows, width),
        ),
        **shared,
    )(*arguments)
    of_unembedding = pl.pallas_call(
        functools.partial(_of_unembedding_kernel, blocks=blocks),
        out_shape=shaped_as(unembedding.shape, unembedding.dtype, operands, rows),
        grid_spec=tpu_grid.grid(
            count,
            vocabulary,
            blocks,
            tpu_grid.operands(blocks, width),
            tpu_grid.of_columns(blocks, width),
            row_inputs=5,
            scratch=(blocks.columns, width),
            columns_outside=True,
        ),
        **shared,
    )(*arguments)
    return of_hidden[: operands[0].shape[0]], of_unembedding


# Kernels. Arguments before `blocks`: work [blocks of rows] and limit [1] (prefetched), temperature
# [1], tokens, and # then the numbers of a row, the operands, the outputs and the scratch.


def _sums_kernel(work, limit, temperature, tokens, *refs, make, blocks: Blocks):
    operands, out = refs[:-6], refs[-6:]
    row, column = pl.program_id(0), pl.program_id(1)

    @pl.when(column == 0)
    def _start():
        for ref, value in zip(out, sums.empty(out[0][...]), strict=True):
            ref[...] = value

    @pl.when(work[row] > 0)
    def _add():
        columns = _columns(column, blocks)
        tile = sums.of_tile(make(*operands), columns, tokens[...], limit[0], temperature[0])
        total = sums.merge(Sums(*(ref[...] for ref in out)), tile, temperature[0])
        for ref, value in zip(out, total, strict=True):
            ref[...] = value


def _of_logits_kernel(work, limit, temperature, tokens, *refs, blocks: Blocks):
    *pull, logits, out = refs
    busy = work[pl.program_id(0)] > 0
    columns = _columns(pl.program_id(1), blocks)

    @pl.when(busy)
    def _compute():
        gradient = sums.pull_tile(
            _read(logits), columns, tokens[...], limit[0], temperature[0], _pull(pull)
        )
        out[...] = gradient.astype(out.dtype)

    @pl.when(jnp.logical_not(busy))
    def _clear():
        out[...] = jnp.zeros_like(out)


def _of_hidden_kernel(work, limit, temperature, tokens, *refs, blocks: Blocks, vocabulary: int):
    *pull, hidden, unembedding, out, total = refs
    column = pl.program_id(1)
    last = -(-vocabulary // blocks.columns) - 1
    ragged = vocabulary % blocks.columns != 0

    @pl.when(column == 0)
    def _start():
        total[...] = jnp.zeros_like(total)

    def add(part):
        gradient = _gradient(limit, temperature, tokens, pull, hidden, unembedding, column, blocks)
        total[...] += sum(
            _dot(factor, part, ((1,), (0,))) for factor in sums.factors(gradient, part.dtype)
        )

    busy = work[pl.program_id(0)] > 0

    @pl.when(busy & (column < last) if ragged else busy)
    def _add():
        add(unembedding[...])

    if ragged:

        @pl.when(busy & (column == last))
        def _add_last():
            # Past the end of the array may stand NaN, and 0 * NaN is NaN: those rows must be
            # cleared.
            place = column * blocks.columns + jax.lax.broadcasted_iota(
                jnp.int32, unembedding.shape, 0
            )
            add(jnp.where(place < vocabulary, unembedding[...], jnp.zeros_like(unembedding)))

    @pl.when(column == last)
    def _write():
        out[...] = total[...].astype(out.dtype)


def _of_unembedding_kernel(work, limit, temperature, tokens, *refs, blocks: Blocks):
    *pull, hidden, unembedding, out, total = refs
    column, row = pl.program_id(0), pl.program_id(1)

    @pl.when(row == 0)
    def _start():
        total[...] = jnp.zeros_like(total)

    @pl.when(work[row] > 0)
    def _add():
        gradient = _gradient(limit, temperature, tokens, pull, hidden, unembedding, column, blocks)
        factors = sums.factors(gradient, hidden.dtype)
        total[...] += sum(_dot(factor, hidden[...], ((0,), (0,))) for factor in factors)

    @pl.when(row == pl.num_programs(1) - 1)
    def _write():
        out[...] = total[...].astype(out.dtype)


def _gradient(
    limit, temperature, tokens, pull, hidden, unembedding, column, blocks: Blocks
) -> jax.Array:
    """A tile's logits, made again, turned into their gradient."""
    logits = _multiply(hidden, unembedding)
    columns = _columns(column, blocks)
    return sums.pull_tile(logits, columns, tokens[...], limit[0], temperature[0], _pull(pull))


def _read(logits) -> jax.Array:
    return logits[...].astype(jnp.float32)


def _multiply(hidden, unembedding) -> jax.Array:
    return _dot(hidden[...], unembedding[...], ((1,), (1,)))


def _dot(left: jax.Array, right: jax.Array, contracted) -> jax.Array:
    """A product with float32 sums; float32 operands are multiplied as such, not rounded to
    bfloat16."""
    precision = precision_of(left, right)
    return jax.lax.dot_general(
        left, right, (contracted, ((), ())), precision=precision, preferred_element_type=jnp.float32
    )


def _columns(index: jax.Array, blocks: Blocks) -> jax.Array:
    return index * blocks.columns + jax.lax.broadcasted_iota(jnp.int32, (1, blocks.columns), 1)


def _pull(refs) -> Pull:
    return Pull(*(ref[...] for ref in refs))


def _linear_blocks(operands) -> Blocks:
    hidden, unembedding = operands
    itemsize = max(hidden.dtype.itemsize, unembedding.dtype.itemsize)
    return tpu_blocks.linear(
        hidden.shape[0], unembedding.shape[0], hidden.shape[1], itemsize, platform.current().kind
    )
