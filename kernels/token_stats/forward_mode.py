"""Token statistics of a linear head with both derivative modes, one chunk of time at a time.

Forward mode (`jax.jvp`, which the directional derivative needs) does not pass through a
`custom_vjp`. Plain operations under `jax.checkpoint` keep both modes here: only one chunk of logits
is in memory at a time, and reverse mode recomputes each chunk instead of storing it.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.token_stats import reference

CHUNK_ENTRIES = 2**24  # logits in memory at a time: 64 MB in float32


def linear_token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
    chunk_entries: int | None = None,
) -> reference.TokenStats:
    """Computes `token_stats` of hidden @ unembedding^T without holding all logits in memory.

    The chunks run along the last axis of `tokens` (time), so that a sharded batch axis stays
    sharded.

    Args:
      hidden: [..., T, D].
      unembedding: [V, D].
      tokens: [..., T] integers in [0, V).
      temperature: as in `reference.token_stats`; so are `mask`, `vocabulary_size` and `axis_name`.
      chunk_entries: the number of logits in memory at a time, at least one time step; None for
        `CHUNK_ENTRIES`.

    Returns:
      `TokenStats` of shape [..., T].

    >>> stats = linear_token_stats(
    ...     jnp.ones((5, 2)), jnp.zeros((4, 2)), jnp.arange(5) % 4, chunk_entries=8
    ... )
    >>> print(stats.entropy.round(4))
    [1.3863 1.3863 1.3863 1.3863 1.3863]
    """
    # Choose how many time steps make a chunk.
    chex.assert_shape(hidden, (*tokens.shape, unembedding.shape[-1]))
    time = tokens.shape[-1] if tokens.ndim else 1
    entries_per_step = max(1, tokens.size // max(1, time)) * unembedding.shape[0]
    chunk = max(1, min(time, (chunk_entries or CHUNK_ENTRIES) // entries_per_step))

    compute_stats = functools.partial(
        reference.linear_token_stats,
        temperature=temperature,
        vocabulary_size=vocabulary_size,
        axis_name=axis_name,
    )
    if tokens.ndim == 0 or chunk == time:
        return compute_stats(hidden, unembedding, tokens, mask=mask)

    @jax.checkpoint
    def compute_chunk(inputs):
        hidden, tokens, mask = inputs
        return compute_stats(hidden, unembedding, tokens, mask=mask)

    mask = None if mask is None else _split_axis(mask, -1, chunk)
    chunks = _split_axis(hidden, -2, chunk), _split_axis(tokens, -1, chunk), mask
    stats = jax.lax.map(compute_chunk, chunks)
    return jax.tree.map(lambda leaf: _join_chunks(leaf)[..., :time], stats)


def _split_axis(array: jax.Array, axis: int, chunk: int) -> jax.Array:
    """[..., T, ...] -> [T / chunk, ..., chunk, ...]; the last chunk is padded with zeros."""
    axis = axis % array.ndim
    padding = [(0, 0)] * array.ndim
    padding[axis] = (0, -array.shape[axis] % chunk)
    array = jnp.pad(array, padding)
    shape = array.shape[:axis] + (-1, chunk) + array.shape[axis + 1 :]
    return jnp.moveaxis(array.reshape(shape), axis, 0)


def _join_chunks(array: jax.Array) -> jax.Array:
    """[chunks, ..., chunk] -> [..., chunks * chunk]."""
    array = jnp.moveaxis(array, 0, -2)
    return array.reshape(*array.shape[:-2], -1)
