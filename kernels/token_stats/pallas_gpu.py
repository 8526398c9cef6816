"""Token statistics on NVIDIA GPUs: Triton kernels that make a tile of logits on chip and keep its
sums.

Shapes: N tokens, V vocabulary, D width; S splits of the vocabulary, so that few rows still fill the
device.

    forward    grid (rows, S): a program walks over its part of the vocabulary, keeps `Sums` in registers and
               writes them to [S, N]; S parts of a row combine outside. Linear form: a tile of
               logits is made from chunks of D, h [rows, depth] by u [columns, depth], and never
               leaves the chip. Logits form: one row a program, each logit read once.
    backward   linear form: for each [4096, 4096] tile of logits a kernel makes it again and writes its gradient dz, from
               which two matrix products read it: dh += dz u and du += dz^T h. No atomics: the same
                 bits every time.
               Logits form: one fused XLA operation.

Products accumulate in float32. Those of float32 operands are true float32 in cuBLAS
(Precision.HIGHEST; the default may be TF32, 10 bits of mantissa) and three TF32 products of the
operands' halves in Triton, which keep 22 bits of the 24 and
err no more than float32 sums do over a width of 2,048: on an H200 a seventh of the time of float32
arithmetic. Since 0.11 jax calls Pallas's Triton backend deprecated; 0.12 still has it.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from kernels.token_stats import sums, tiling
from kernels.token_stats.sums import Pull, Rows, Sums
from kernels.token_stats.varying_axes import shaped_as, varying_as

EXACT = jax.lax.Precision.HIGHEST
THREE_PRODUCTS = jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3
OUTSIDE = -2  # as a token, in no tile (a column left out of a tile is -1); as a limit, of a row that is not needed
# Four times what an H100's 132 multiprocessors hold at a time, by their registers: unequal programs
# even out.
PROGRAMS, LOGITS_PROGRAMS = 4 * 132, 4 * 4 * 132
PULL_ROWS, PULL_COLUMNS = (
    4096,
    4096,
)  # 67 MB of dz; 8,192 columns took an eighth less time on an H200, and a third more memory


class Block(NamedTuple):
    """What one program holds at a time: rows x columns logits, from chunks of `depth` of the
    width."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    precision: jax.lax.Precision | jax.lax.DotAlgorithmPreset = EXACT


def block_for(dtype, width: int) -> Block:
    """Picks the linear form's block: of the thirteen that were tried in 16 bits, and in float32,
    the fastest on an H200.

    A chunk is 128 bytes of a row, or less if the width is, and a stage of the pipeline holds rows +
    columns of them: three stages take 96 KB, of the 227 KB that a program may have on Hopper and
      within the 99 KB of smaller devices.

    >>> block_for(jnp.bfloat16, 2048)[:5]
    (128, 128, 64, 4, 3)
    """
    size = jnp.dtype(dtype).itemsize
    depth = min(
        128 // size, max(16, pl.next_power_of_2(width))
    )  # Triton's products contract at least 16
    return (
        Block(128, 128, depth, 4, 3) if size == 2 else Block(128, 128, depth, 8, 3, THREE_PRODUCTS)
    )


LOGITS_BLOCK = Block(
    rows=1, columns=4096, depth=0, warps=4, stages=1
)  # 32 logits a thread; no product


def linear_sums(
    operands: tuple[jax.Array, jax.Array], rows: Rows, *, interpret: bool = False
) -> Sums:
    """Sums over the vocabulary of hidden @ unembedding^T.

    Args:
      operands: (hidden [N, D], unembedding [V, D]), float32 or 16 bits; differentiable.
      rows: [N]; the work is least where those that are needed come first.
      interpret: run the kernels in Pallas's interpreter, which does not go inside `jax.shard_map`
        with check_vma=True.

    Returns:
      `Sums` of shape [N].
    """
    forward = functools.partial(_linear_forward, interpret=interpret)
    return sums.differentiable(forward, functools.partial(_linear_backward, interpret=interpret))(
        operands, rows
    )


def logits_sums(logits: jax.Array, rows: Rows, *, interpret: bool = False) -> Sums:
    """Sums over the vocabulary of logits [N, V]; arguments otherwise as in `linear_sums`."""
    return sums.differentiable(
        functools.partial(_logits_forward, interpret=interpret), _logits_backward
    )(logits, rows)


def _linear_forward(operands, rows: Rows, *, interpret: bool) -> Sums:
    return _forward(
        _product,
        operands,
        rows,
        operands[1].shape[0],
        _block(*operands, interpret),
        PROGRAMS,
        interpret,
    )


def _logits_forward(logits: jax.Array, rows: Rows, *, interpret: bool) -> Sums:
    return _forward(
        _given, (logits,), rows, logits.shape[1], LOGITS_BLOCK, LOGITS_PROGRAMS, interpret
    )


def _linear_backward(operands, rows: Rows, pull: Pull, *, interpret: bool):
    hidden, unembedding = operands
    tiles = tiling.cut(unembedding.shape[0], PULL_COLUMNS)
    blocks = tiling.RowBlocks.of(hidden.shape[0], PULL_ROWS)
    padded = blocks.pad(hidden), blocks.pad_rows(rows), jax.tree.map(blocks.pad, pull)

    def step(index, carry):
        of_hidden, of_unembedding = carry
        start, columns = tiles.place(index)
        part = jax.lax.dynamic_slice_in_dim(unembedding, start, tiles.width)
        of_hidden, of_part = _backward_of_part(
            part, columns[0], blocks, *padded, of_hidden, interpret
        )
        # Where the last tile overlaps the one before, its part is zero, so that adding in 16 bits
        # is exact.
        before = jax.lax.dynamic_slice_in_dim(of_unembedding, start, tiles.width)
        added = before + of_part.astype(unembedding.dtype)
        return of_hidden, jax.lax.dynamic_update_slice_in_dim(of_unembedding, added, start, axis=0)

    carry = jnp.zeros(padded[0].shape, jnp.float32), jnp.zeros_like(unembedding)
    carry = jax.lax.fori_loop(0, tiles.count, step, varying_as(carry, operands, rows, pull))
    return carry[0][: hidden.shape[0]].astype(hidden.dtype), carry[1]


def _backward_of_part(
    part, columns, blocks: tiling.RowBlocks, hidden, rows: Rows, pull: Pull, of_hidden, interpret
):
    """Adds what `part` [n, D] of the unembedding gives to `of_hidden` [N, D], block of rows by
    block.

    Returns:
      (the new `of_hidden`, the gradient in `part` [n, D]), both float32.
    """
    dot = functools.partial(jnp.matmul, precision=EXACT, preferred_element_type=jnp.float32)

    def step(index, carry):
        of_hidden, of_part = carry
        take = functools.partial(blocks.take, index=index)
        here = take(hidden)
        for factor in _pull(
            here, part, columns, blocks.take_rows(rows, index), jax.tree.map(take, pull), interpret
        ):
            of_hidden = blocks.put(of_hidden, take(of_hidden) + dot(factor, part), index)
            of_part += dot(factor.T, here)
        return of_hidden, of_part

    start = varying_as((of_hidden, jnp.zeros(part.shape, jnp.float32)), of_hidden)
    return jax.lax.fori_loop(0, blocks.with_work(rows), step, start)


def _logits_backward(logits: jax.Array, rows: Rows, pull: Pull) -> jax.Array:
    tokens, limits, temperature = sums.columnwise(_asked(rows))
    columns = jnp.arange(logits.shape[1], dtype=jnp.int32)[None]
    # Elementwise, so XLA makes one kernel of it: each logit is read once and its gradient written
    # once.
    gradient = sums.pull_tile(
        logits.astype(jnp.float32), columns, tokens, limits, temperature, sums.columnwise(pull)
    )
    return gradient.astype(logits.dtype)


def _asked(rows: Rows) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (tokens [N], limits [N], temperature [1]): what a kernel needs of `Rows`, a limit for
    each row.

    A row that is not needed has no column inside its limit, so its sums come out empty and its
    gradient zero.
    """
    tokens = jnp.where(rows.needed & (rows.tokens >= 0), rows.tokens, OUTSIDE)
    limits = jnp.where(rows.needed, jnp.maximum(rows.limit, 0), OUTSIDE)
    return tokens, limits, rows.temperature.astype(jnp.float32).reshape(1)


def _forward(
    tile_of, operands, rows: Rows, vocabulary: int, block: Block, programs: int, interpret: bool
) -> Sums:
    """Runs `_sums_kernel` over (blocks of rows, splits) and combines the splits."""
    count = rows.tokens.shape[0]
    grid_rows, tiles = pl.cdiv(count, block.rows), pl.cdiv(vocabulary, block.columns)
    splits = min(tiles, max(1, programs // grid_rows))
    kernel = functools.partial(
        _sums_kernel, tile_of=tile_of, vocabulary=vocabulary, splits=splits, block=block
    )
    out = [jax.ShapeDtypeStruct((splits, count), jnp.float32)] * len(Sums._fields)
    # Rows are the fast axis of the grid: programs that run together read the same part of the
    # unembedding.
    parts = Sums(
        *_call(kernel, (grid_rows, splits), (*operands, *_asked(rows)), out, block, interpret)
    )
    maximum = parts.maximum.max(axis=0, keepdims=True)
    parts = sums.rebase(parts, maximum, rows.temperature)  # `sums.merge`, of all splits at once
    return Sums(maximum[0], *(part.sum(axis=0) for part in parts[1:]))


def _block(hidden: jax.Array, unembedding: jax.Array, interpret: bool) -> Block:
    block = block_for(jnp.promote_types(hidden.dtype, unembedding.dtype), hidden.shape[1])
    return block._replace(precision=EXACT) if interpret else block  # TF32 is the hardware's


def _pull(
    hidden, unembedding, columns: jax.Array, rows: Rows, pull: Pull, interpret: bool
) -> list[jax.Array]:
    """The gradient in the logits hidden @ unembedding^T as `sums.factors` [N, V]; at places columns
    [V].

    The kernel makes the factors: XLA takes a rounding to 16 bits and back for excess precision and
    leaves it out, and then the second factor is zero.
    """
    shape = hidden.shape[0], unembedding.shape[0]
    block = _block(hidden, unembedding, interpret)
    grid = pl.cdiv(shape[0], block.rows), pl.cdiv(shape[1], block.columns)
    operands = (hidden, unembedding, columns, *_asked(rows), *pull)
    parts = jax.eval_shape(lambda: sums.factors(jnp.zeros(shape, jnp.float32), unembedding.dtype))
    out = [jax.ShapeDtypeStruct(shape, part.dtype) for part in parts]
    return _call(
        functools.partial(_pull_kernel, block=block), grid, operands, out, block, interpret
    )


def _call(kernel, grid: tuple[int, int], operands, out, block: Block, interpret: bool):
    """`pl.pallas_call` on whole arrays; inside `jax.shard_map` the results vary over the axes that
    any operand does."""
    operands = varying_as(operands, operands)
    out = jax.tree.map(lambda leaf: shaped_as(leaf.shape, leaf.dtype, operands), out)
    params = plgpu.CompilerParams(num_warps=block.warps, num_stages=block.stages)
    return pl.pallas_call(
        kernel, grid=grid, out_shape=out, compiler_params=params, interpret=interpret
    )(*operands)


def _sums_kernel(*refs, tile_of, vocabulary: int, splits: int, block: Block):
    """Writes the sums of one block of rows over one split; refs: operands, tokens, limits,
    temperature, six outputs."""
    *operands, tokens, limits, temperature = refs[: -len(Sums._fields)]
    row, split = pl.program_id(0) * block.rows, pl.program_id(1)
    tokens, limits = (
        _read(ref, (row,), (block.rows,), OUTSIDE)[:, None] for ref in (tokens, limits)
    )
    temperature = temperature[0]
    tiles = pl.cdiv(vocabulary, block.columns)
    first, last = (jax.lax.div(edge * tiles, splits) for edge in (split, split + 1))

    def step(index, total):
        start = index * block.columns
        columns = start + jax.lax.broadcasted_iota(jnp.int32, (1, block.columns), 1)
        columns = jnp.where(columns < vocabulary, columns, -1)
        logits = tile_of(*operands, row, start, block)
        # Triton's maximum drops NaN, which would hide a broken logit; an infinite one makes the
        # row's statistics NaN.
        logits = jnp.where(jnp.isnan(logits), jnp.inf, logits)
        return sums.merge(
            total, sums.of_tile(logits, columns, tokens, limits, temperature), temperature
        )

    last = jnp.where(limits.max() >= 0, last, first)  # nothing to do where no row is needed
    total = jax.lax.fori_loop(
        first, last, step, sums.empty(jnp.zeros((block.rows, 1), jnp.float32))
    )
    for ref, value in zip(refs[-len(Sums._fields) :], total, strict=True):
        _write(ref, (split, row), value.reshape(1, block.rows))


def _pull_kernel(hidden, unembedding, columns, tokens, limits, temperature, *refs, block: Block):
    """Writes the gradient of one tile of logits; refs: the four of `Pull`, an output for each of
    `sums.factors`."""
    pull, outs = refs[: len(Pull._fields)], refs[len(Pull._fields) :]
    row, column = pl.program_id(0) * block.rows, pl.program_id(1) * block.columns
    tokens, limits, *pull = (
        _read(ref, (row,), (block.rows,))[:, None] for ref in (tokens, limits, *pull)
    )
    columns = _read(columns, (column,), (block.columns,))[None]
    logits = _product(hidden, unembedding, row, column, block)
    gradient = sums.pull_tile(logits, columns, tokens, limits, temperature[0], Pull(*pull))
    for out, factor in zip(outs, sums.factors(gradient, outs[0].dtype), strict=True):
        _write(out, (row, column), factor)


def _product(hidden, unembedding, row: jax.Array, column: jax.Array, block: Block) -> jax.Array:
    """Makes the tile of hidden @ unembedding^T at (row, column), [rows, columns] in float32."""
    dtype = jnp.promote_types(hidden.dtype, unembedding.dtype)

    def step(index, logits):
        at = index * block.depth
        h = _read(hidden, (row, at), (block.rows, block.depth)).astype(dtype)
        u = _read(unembedding, (column, at), (block.columns, block.depth)).astype(dtype)
        return logits + plgpu.dot(h, u, trans_b=True, precision=block.precision)

    zero = jnp.zeros((block.rows, block.columns), jnp.float32)
    return jax.lax.fori_loop(0, pl.cdiv(hidden.shape[1], block.depth), step, zero)


def _given(logits, row: jax.Array, column: jax.Array, block: Block) -> jax.Array:
    """Reads the tile of logits at (row, column), [rows, columns] in float32."""
    return _read(logits, (row, column), (block.rows, block.columns)).astype(jnp.float32)


def _read(ref, start: tuple, size: tuple[int, ...], other: int = 0) -> jax.Array:
    """Reads a tile; `other` where it hangs over the end."""
    inside = _inside(ref, start, size)
    return plgpu.load(_tile(ref, start, size), mask=inside, other=None if inside is None else other)


def _write(ref, start: tuple, value: jax.Array) -> None:
    plgpu.store(_tile(ref, start, value.shape), value, mask=_inside(ref, start, value.shape))


def _tile(ref, start: tuple, size: tuple[int, ...]):
    return ref.at[tuple(pl.ds(*each) for each in zip(start, size, strict=True))]


def _inside(ref, start: tuple, size: tuple[int, ...]) -> jax.Array | None:
    """Says which entries of a tile lie in `ref`; None, which costs nothing, where tiles divide
    it."""
    inside = None
    for axis, extent in enumerate(ref.shape):
        if extent % size[axis]:
            here = start[axis] + jax.lax.broadcasted_iota(jnp.int32, size, axis) < extent
            inside = here if inside is None else inside & here
    return inside
