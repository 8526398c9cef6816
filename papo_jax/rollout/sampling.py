"""Sampling of tokens from logits: the only place where a token is drawn.

Shapes: B sequences, V vocabulary. The same tempered, untruncated softmax is what the token
statistics describe, so what is sampled is what is trained.
"""

import math

import chex
import jax
import jax.numpy as jnp


def sample_tokens(keys: jax.Array, logits: jax.Array, *, temperature: float = 1.0) -> jax.Array:
    """Draws one token a row, exactly, from softmax(logits / temperature).

    In two levels, each by Gumbel-max: first a block of about sqrt(V) tokens by its probability,
    then a token inside it. That takes 2 sqrt(V) random numbers a row instead of V, which would be
    most of the time of generation on a CPU. Probabilities are as accurate as their float32
    logarithms: no cumulative sum rounds rare ones away.

    Args:
      keys: [B] PRNG keys, one a row: a row's draw depends on nothing else in the batch.
      logits: [B, V]; an entry of -inf is never drawn.
      temperature: tau > 0.

    Returns:
      [B] int32 tokens.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> print(sample_tokens(keys, jnp.array([[0.0, -jnp.inf], [-jnp.inf, 0.0]])))
    [0 1]
    """
    chex.assert_rank([keys, logits], [1, 2])
    rows, vocabulary = logits.shape
    block_size = math.isqrt(vocabulary - 1) + 1

    # Cut the tempered logits into blocks; impossible tokens fill up the last one.
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    logits = (logits - logits.max(axis=1, keepdims=True)) / temperature
    fill = ((0, 0), (0, -vocabulary % block_size))
    blocks = jnp.pad(logits, fill, constant_values=-jnp.inf).reshape(rows, -1, block_size)

    # Draw a block by its probability, then a token inside it.
    keys = jax.vmap(jax.random.split)(keys)
    chosen = _sample_categorical(keys[:, 0], jax.nn.logsumexp(blocks, axis=2))
    inside = _sample_categorical(
        keys[:, 1], jnp.take_along_axis(blocks, chosen[:, None, None], axis=1)[:, 0]
    )
    return (chosen * block_size + inside).astype(jnp.int32)


def take_likeliest_tokens(logits: jax.Array) -> jax.Array:
    """Returns the likeliest token of each row, [B, V] -> [B]: the limit of temperature 0."""
    return logits.argmax(axis=-1).astype(jnp.int32)


def _sample_categorical(keys: jax.Array, logits: jax.Array) -> jax.Array:
    """Draws an index a row, [B] keys and [B, n] -> [B].

    Mode "high" draws tokens rarer than 2^-23 with their right probability too.
    """

    def draw_index(key, row):
        return jax.random.categorical(key, row, mode="high")

    return jax.vmap(draw_index)(keys, logits)
