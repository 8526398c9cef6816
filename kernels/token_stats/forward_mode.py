"""Token statistics of a linear head, a chunk of time steps at a time, with no custom derivative
rule.

Forward mode (`jax.jvp`, which the directional derivative needs) does not pass through a
`custom_vjp`. Here plain operations under `jax.checkpoint` keep both modes: no more than one chunk
of logits lives at a time, and reverse mode computes each chunk again instead of storing it.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.token_stats import reference

CHUNK_ENTRIES = 2**24  # logits alive at a time: 64 MB in float32


def linear_token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    *,
    temperature: float = 1.0,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
    chunk_entries: int | None = None,
) -> reference.TokenStats:
    """Computes `token_stats` of hidden @ unembedding^T without holding all logits.

    The chunks run along the last axis of `tokens` (time), so that a sharded batch axis stays
    sharded.

    Args:
      hidden: [..., T, D].
      unembedding: [V, D].
      tokens: [..., T] integers in [0, V).
      temperature, mask, vocabulary_size, axis_name: as in `reference.token_stats`.
      chunk_entries: the number of logits held at a time, at least one time step; None for
        `CHUNK_ENTRIES`.

    Returns:
      `TokenStats` of shape [..., T].

    >>> stats = linear_token_stats(
    ...     jnp.ones((5, 2)), jnp.zeros((4, 2)), jnp.arange(5) % 4, chunk_entries=8
    ... )
    >>> print(stats.entropy.round(4))
    [1.3863 1.3863 1.3863 1.3863 1.3863]
    """
    chex.assert_shape(hidden, (*tokens.shape, unembedding.shape[-1]))
    time = tokens.shape[-1] if tokens.ndim else 1
    entries_a_step = max(1, tokens.size // max(1, time)) * unembedding.shape[0]
    chunk = max(1, min(time, (chunk_entries or CHUNK_ENTRIES) // entries_a_step))
    one = functools.partial(
        reference.linear_token_stats,
        temperature=temperature,
        vocabulary_size=vocabulary_size,
        axis_name=axis_name,
    )
    if tokens.ndim == 0 or chunk == time:
        return one(hidden, unembedding, tokens, mask=mask)

    @jax.checkpoint
    def one_chunk(chunk_of):
        hidden, tokens, mask = chunk_of
        return one(hidden, unembedding, tokens, mask=mask)

    mask = None if mask is None else _split(mask, -1, chunk)
    stats = jax.lax.map(one_chunk, (_split(hidden, -2, chunk), _split(tokens, -1, chunk), mask))
    return jax.tree.map(lambda leaf: _join(leaf)[..., :time], stats)


def _split(array: jax.Array, axis: int, chunk: int) -> jax.Array:
    """[..., T, ...] -> [T / chunk, ..., chunk, ...]; the last chunk is filled with zeros."""
    axis = axis % array.ndim
    padding = [(0, 0)] * array.ndim
    padding[axis] = (0, -array.shape[axis] % chunk)
    array = jnp.pad(array, padding)
    shape = array.shape[:axis] + (-1, chunk) + array.shape[axis + 1 :]
    return jnp.moveaxis(array.reshape(shape), axis, 0)


def _join(array: jax.Array) -> jax.Array:
    """[chunks, ..., chunk] -> [..., chunks * chunk]."""
    array = jnp.moveaxis(array, 0, -2)
    return array.reshape(*array.shape[:-2], -1)
