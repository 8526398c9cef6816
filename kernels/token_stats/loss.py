"""A loss on the token statistics whose gradient is made in the forward pass: for training steps.

A backward pass of its own has to make the logits again: four products of hidden states, unembedding
and logits where three would do. Once a chunk of tokens has been through the whole vocabulary,
though, dL/d statistic of that chunk is known, if the loss is a sum over tokens; so its logits,
still there, become their gradient at once:

    per chunk:  z = h W^T -> sums -> statistics -> L, dL/d sums -> dz -> d h = dz W,  d W += dz^T h

With bfloat16 operands dz is rounded to bfloat16 for its two products, as everywhere in
mixed-precision training. What is kept is a chunk's logits, a gradient like `hidden` and one like
`unembedding`; nothing of size [..., V].
Shapes: [...] any leading axes, usually [B, T]; N tokens; V vocabulary; D width.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kernels.token_stats import chunked, reference, sums, tile_sizes
from kernels.token_stats.api import rows_of
from kernels.token_stats.reference import TokenStats, wide
from kernels.token_stats.sums import Rows
from kernels.token_stats.tiling import RowBlocks, cut
from kernels.token_stats.varying_axes import varying_as

PyTree = Any


def linear_token_loss(
    loss: Callable[[TokenStats, PyTree], jax.Array],
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    context: PyTree,
    *,
    temperature: float = 1.0,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, TokenStats]:
    """Computes a loss that is a sum over tokens, and the statistics that it is of.

        L = sum over chunks of loss(stats of the chunk, context of the chunk)

    Args:
      loss: (`TokenStats` [n], context [n]) -> [], a sum over those n tokens, differentiable in the
        statistics. A token's term may depend on its own statistics only: which tokens share a chunk
        must not matter. Rows outside the mask come with statistics 0 and must count for nothing.
      hidden: [..., D].
      unembedding: [V, D].
      tokens: [...] integers.
      context: pytree of [...] arrays that the loss needs: advantages, coefficients, and so on; no
        gradient goes to them.
      temperature, mask, vocabulary_size, axis_name: as in `api.token_stats`.

    Returns:
      (L, stats): L differentiable once in reverse mode in `hidden` and `unembedding`; stats [...]
      without gradient.

    >>> total, stats = linear_token_loss(
    ...     lambda stats, advantage: -(advantage * stats.logprob).sum(),
    ...     jnp.ones((3, 2)),
    ...     jnp.zeros((4, 2)),
    ...     jnp.arange(3),
    ...     jnp.array([1.0, 1.0, -1.0]),
    ... )
    >>> print(total.round(4), stats.entropy.round(4))  # log 4 (1 + 1 - 1)
    1.3863 [1.3863 1.3863 1.3863]
    """
    reference.check(hidden.shape[:-1], tokens, mask, temperature)
    rows = rows_of(
        tokens,
        unembedding.shape[0],
        wide(hidden, unembedding),
        temperature=temperature,
        mask=mask,
        vocabulary_size=vocabulary_size,
        axis_name=axis_name,
    )
    flat = jnp.asarray(hidden).reshape(-1, hidden.shape[-1])
    context = jax.lax.stop_gradient(jax.tree.map(lambda leaf: leaf.reshape(-1), context))
    # Under a mesh, what the devices share gets its gradient summed over them.
    operands = varying_as((flat, unembedding), flat, unembedding, rows)
    total, stats = _with_gradient(functools.partial(_go_through, loss, axis_name))(
        operands, rows, context
    )
    return total, jax.tree.map(
        lambda values: jax.lax.stop_gradient(values).reshape(tokens.shape), stats
    )


def _with_gradient(go_through):
    """(operands, rows, context) -> (L, stats), where differentiating L costs no second pass."""

    @jax.custom_vjp
    def function(operands, rows, context):
        return go_through(operands, rows, context, with_gradient=False)[:2]

    def keep(operands, rows, context):
        total, stats, gradient = go_through(operands, rows, context, with_gradient=True)
        return (total, stats), gradient

    def pull_back(gradient, cotangents):
        scale = cotangents[0]
        return jax.tree.map(lambda leaf: (scale * leaf).astype(leaf.dtype), gradient), None, None

    function.defvjp(keep, pull_back)
    return function


def _go_through(loss, axis_name, operands, rows: Rows, context, *, with_gradient: bool):
    """All chunks in turn: (L, stats [N], the gradient in the operands or None)."""
    hidden, unembedding = operands
    count, dtype = hidden.shape[0], rows.temperature.dtype
    size = tile_sizes.current()
    tiles = cut(unembedding.shape[0], size.columns)
    blocks = RowBlocks.of(
        count, max(1, min(size.chunk_rows, size.chunk_entries // unembedding.shape[0]))
    )
    padded = jax.tree.map(blocks.pad, (hidden, context))
    padded_rows = blocks.pad_rows(rows)

    def step(index, carry):
        total, stats, gradient = carry
        part, part_context = jax.tree.map(lambda leaf: blocks.take(leaf, index), padded)
        part_rows = blocks.take_rows(padded_rows, index)
        block, kept = chunked.linear_block(part, unembedding, part_rows, tiles, keep=with_gradient)
        block = sums.rowwise(block)
        (value, part_stats), pull = _value_and_pull(loss, axis_name, block, part_rows, part_context)
        stats = jax.tree.map(
            lambda whole, piece: blocks.put(whole, piece, index), stats, part_stats
        )
        if with_gradient:
            of_part, into = chunked.linear_block_pull(
                part,
                unembedding,
                part_rows,
                tiles,
                pull,
                gradient[1],
                dtype=unembedding.dtype,
                kept=kept,
            )
            gradient = blocks.put(gradient[0], of_part.astype(hidden.dtype), index), into
        return total + value, stats, gradient

    zero = jnp.zeros(blocks.padded, dtype)
    gradient = (
        (jnp.zeros_like(padded[0]), jnp.zeros(unembedding.shape, dtype)) if with_gradient else None
    )
    # Losses and statistics are the same on every shard of the vocabulary; gradients are not.
    start = varying_as(
        (jnp.zeros((), dtype), TokenStats(*[zero] * 4)), operands, rows, context, but=axis_name
    )
    start = (*start, varying_as(gradient, operands, rows, context))
    # Chunks at the end none of whose tokens is needed are left out.
    total, stats, gradient = jax.lax.fori_loop(0, blocks.with_work(padded_rows), step, start)
    if with_gradient:
        gradient = gradient[0][:count], gradient[1].astype(unembedding.dtype)
    return total, jax.tree.map(lambda leaf: leaf[:count], stats), gradient


def _value_and_pull(loss, axis_name, block: sums.Sums, rows: Rows, context):
    """((loss, stats), `Pull`) of one chunk from the sums of this device's part of the
    vocabulary."""

    def of_sums(block):
        stats = sums.finish(sums.across(block, axis_name, rows.temperature), rows)
        return loss(stats, context), stats

    (value, stats), cotangents = jax.value_and_grad(of_sums, has_aux=True)(block)
    return (value, stats), sums.as_pull(cotangents, block.maximum, rows)
