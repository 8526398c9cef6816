"""A loss on the token statistics whose gradient is computed in its forward pass, for training.

A separate backward pass has to recompute the logits: four products of hidden states, unembedding
and logits where three would do. Once the sums of a chunk of tokens over the whole vocabulary are
known, however, so is dL/d statistic of that chunk, if the loss is a sum over tokens; so its logits,
still in memory, become their gradient at once:

    per chunk:  z = h W^T -> sums -> statistics -> L, dL/d sums -> dz -> d h = dz W,  d W += dz^T h

With bfloat16 operands dz is rounded to bfloat16 for its two products, as everywhere in
mixed-precision training. In memory are a chunk's logits, a gradient like `hidden` and one like
`unembedding`; nothing of size [..., V].

Shapes: [...] any leading axes, usually [B, T]; N tokens; V vocabulary; D width.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kernels.token_stats import chunked, reference, tile_sizes, tiling, vjp
from kernels.token_stats.reference import TokenStats, stats_dtype
from kernels.token_stats.sums import VocabularySums, all_reduce_sums, to_token_stats
from kernels.token_stats.token_rows import TokenRows, make_token_rows
from kernels.token_stats.varying_axes import mark_varying

PyTree = Any
TokenLoss = Callable[[TokenStats, PyTree], jax.Array]


def linear_token_loss(
    loss: TokenLoss,
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    context: PyTree,
    *,
    temperature: jax.Array | float = 1.0,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
) -> tuple[jax.Array, TokenStats]:
    """Computes a loss that is a sum over tokens, and the statistics that it is a function of.

        L = sum over chunks of loss(stats of the chunk, context of the chunk)

    Args:
      loss: (`TokenStats` [n], context [n]) -> [], a sum over those n tokens, differentiable in the
        statistics. A token's term may depend on its own statistics only: which tokens share a chunk
        must not matter. Rows outside the mask come with statistics 0 and must add nothing.
      hidden: [..., D].
      unembedding: [V, D].
      tokens: [...] integers.
      context: pytree of [...] arrays that the loss needs: advantages, coefficients, and so on; no
        gradient goes to them.
      temperature: as in `api.token_stats`; so are `mask`, `vocabulary_size` and `axis_name`.

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
    reference.check_inputs(hidden.shape[:-1], tokens, mask, temperature)
    rows = make_token_rows(
        tokens,
        num_columns=unembedding.shape[0],
        dtype=stats_dtype(hidden, unembedding),
        temperature=temperature,
        mask=mask,
        vocabulary_size=vocabulary_size,
        axis_name=axis_name,
    )
    flat = jnp.asarray(hidden).reshape(-1, hidden.shape[-1])
    context = jax.lax.stop_gradient(jax.tree.map(lambda leaf: leaf.reshape(-1), context))

    # Put active rows first: chunks of inactive ones are skipped.
    order = None if mask is None else jnp.argsort(~rows.active, stable=True)
    if order is not None:
        rows = rows._replace(tokens=rows.tokens[order], active=rows.active[order])
        flat, context = jax.tree.map(lambda leaf: leaf[order], (flat, context))

    # Under a mesh, what the devices share gets its gradient summed over them.
    operands = mark_varying((flat, unembedding), flat, unembedding, rows)
    total, stats = _make_fused_loss(loss, axis_name)(operands, rows, context)

    def restore_rows(values):
        values = jax.lax.stop_gradient(values)
        if order is not None:
            values = jnp.zeros_like(values).at[order].set(values, unique_indices=True)
        return values.reshape(tokens.shape)

    return total, jax.tree.map(restore_rows, stats)


def _make_fused_loss(loss: TokenLoss, axis_name: str | None) -> Callable:
    """Returns (operands, rows, context) -> (L, stats), whose fwd computes the gradient as well."""

    @jax.custom_vjp
    def fused_loss(operands, rows, context):
        return _sum_chunks(loss, axis_name, operands, rows, context, with_gradient=False)[:2]

    def fwd(operands, rows, context):
        total, stats, gradient = _sum_chunks(
            loss, axis_name, operands, rows, context, with_gradient=True
        )
        return (total, stats), gradient

    def bwd(gradient, cotangents):
        scale = cotangents[0]
        return jax.tree.map(lambda leaf: (scale * leaf).astype(leaf.dtype), gradient), None, None

    fused_loss.defvjp(fwd, bwd)
    return fused_loss


def _sum_chunks(
    loss: TokenLoss,
    axis_name: str | None,
    operands: tuple[jax.Array, jax.Array],
    rows: TokenRows,
    context: PyTree,
    *,
    with_gradient: bool,
) -> tuple[jax.Array, TokenStats, tuple[jax.Array, jax.Array] | None]:
    """Loops over all chunks: (L, stats [N], the gradient in the operands or None)."""
    # Divide the vocabulary into tiles and the rows into chunks.
    hidden, unembedding = operands
    count, dtype = hidden.shape[0], rows.temperature.dtype
    sizes = tile_sizes.choose_sizes()
    tiles = tiling.make_tiles(unembedding.shape[0], sizes.columns)
    max_rows = max(1, min(sizes.chunk_rows, sizes.chunk_entries // unembedding.shape[0]))
    chunks = tiling.make_row_blocks(count, max_rows)
    padded = jax.tree.map(chunks.pad_array, (hidden, context))
    padded_rows = chunks.pad_token_rows(rows)

    def add_chunk(index, carry):
        total, stats, gradient = carry

        # The chunk's sums, loss and statistics, and the loss's gradient in its logits.
        chunk_hidden, chunk_context = jax.tree.map(
            lambda leaf: chunks.take_block(leaf, index), padded
        )
        chunk_rows = chunks.take_token_rows(padded_rows, index)
        sums, logits = chunked.linear_block_sums(
            chunk_hidden, unembedding, chunk_rows, tiles, keep_logits=with_gradient
        )
        sums = tiling.drop_column_axis(sums)
        (value, chunk_stats), cotangent = _loss_and_cotangent(
            loss, axis_name, sums, chunk_rows, chunk_context
        )
        stats = jax.tree.map(
            lambda array, part: chunks.put_block(array, part, index), stats, chunk_stats
        )

        # The gradient in the operands, while the logits are still in memory.
        if gradient is not None:
            hidden_gradient, unembedding_gradient = gradient
            chunk_gradient, unembedding_gradient = chunked.linear_block_vjp(
                chunk_hidden,
                unembedding,
                chunk_rows,
                tiles,
                cotangent=cotangent,
                unembedding_gradient=unembedding_gradient,
                dtype=unembedding.dtype,
                logits=logits,
            )
            chunk_gradient = chunk_gradient.astype(hidden.dtype)
            hidden_gradient = chunks.put_block(hidden_gradient, chunk_gradient, index)
            gradient = hidden_gradient, unembedding_gradient
        return total + value, stats, gradient

    # Start from zeros. Losses and statistics are the same on every shard of the vocabulary;
    # gradients are not.
    stats = TokenStats(*[jnp.zeros(chunks.padded_rows, dtype)] * 4)
    gradient = None
    if with_gradient:
        gradient = jnp.zeros_like(padded[0]), jnp.zeros(unembedding.shape, dtype)
    inputs = operands, rows, context
    total, stats = mark_varying((jnp.zeros((), dtype), stats), inputs, except_axis=axis_name)
    carry = total, stats, mark_varying(gradient, inputs)

    # Trailing chunks that hold no active token are skipped.
    total, stats, gradient = jax.lax.fori_loop(
        0, chunks.count_active_blocks(padded_rows), add_chunk, carry
    )

    # Drop the padding.
    if gradient is not None:
        gradient = gradient[0][:count], gradient[1].astype(unembedding.dtype)
    return total, jax.tree.map(lambda leaf: leaf[:count], stats), gradient


def _loss_and_cotangent(
    loss: TokenLoss,
    axis_name: str | None,
    local_sums: VocabularySums,
    rows: TokenRows,
    context: PyTree,
) -> tuple[tuple[jax.Array, TokenStats], vjp.LogitCotangent]:
    """Computes ((loss, stats), cotangent) of one chunk from this device's part of its sums."""

    def loss_of_sums(local_sums):
        sums = all_reduce_sums(local_sums, axis_name, rows.temperature)
        stats = to_token_stats(sums, rows)
        return loss(stats, context), stats

    value_and_stats, sums_cotangent = jax.value_and_grad(loss_of_sums, has_aux=True)(local_sums)
    return value_and_stats, vjp.to_logit_cotangent(sums_cotangent, local_sums.maximum, rows)
