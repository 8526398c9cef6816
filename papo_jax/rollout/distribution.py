"""Logits to distribution: the only place where a token is drawn, used at the temperature that is trained.

Shapes: B sequences, V vocabulary. The same tempered, untruncated softmax is what the token statistics
describe, so what is sampled is what is trained.
"""

import math

import chex
import jax
import jax.numpy as jnp


def sample(keys: jax.Array, logits: jax.Array, *, temperature: float = 1.0) -> jax.Array:
    """Draws one token a row, exactly, from softmax(logits / temperature).

    The inverse of the cumulative distribution at two levels: first a block of about sqrt(V) tokens by its
    mass, then a token inside it, each with a uniform number of its own. That needs two random numbers a row
    where Gumbel noise needs V, and resolves probabilities far below the 2^-24 steps of one float32 uniform.

    Args:
      keys: [B] PRNG keys, one a row: a row's draw depends on nothing else in the batch.
      logits: [B, V]; an entry of -inf is never drawn.
      temperature: tau > 0.

    Returns:
      [B] int32 tokens.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> print(sample(keys, jnp.array([[0.0, -jnp.inf], [-jnp.inf, 0.0]])))
    [0 1]
    """
    chex.assert_rank([keys, logits], [1, 2])
    vocabulary = logits.shape[1]
    block = math.isqrt(vocabulary - 1) + 1
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    weights = jnp.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    weights = jnp.pad(weights, ((0, 0), (0, -vocabulary % block))).reshape(logits.shape[0], -1, block)
    uniforms = jax.vmap(lambda key: jax.random.uniform(key, (2,), weights.dtype))(keys)
    chosen = _invert(weights.sum(axis=2), uniforms[:, 0])
    inside = _invert(jnp.take_along_axis(weights, chosen[:, None, None], axis=1)[:, 0], uniforms[:, 1])
    return (chosen * block + inside).astype(jnp.int32)


def greedy(logits: jax.Array) -> jax.Array:
    """Returns the likeliest token of each row, [B, V] -> [B]: the limit of temperature 0."""
    return logits.argmax(axis=-1).astype(jnp.int32)


def _invert(weights: jax.Array, uniforms: jax.Array) -> jax.Array:
    """Returns the first index whose cumulative weight exceeds uniform x total, [B, n] -> [B].

    A weight of 0 leaves the cumulative sum as it was and is never first to exceed. The target is kept
    below the total, which rounding up to it would overshoot.
    """
    cumulative = jnp.cumsum(weights, axis=1)
    total = cumulative[:, -1]
    target = jnp.minimum(uniforms * total, jnp.nextafter(total, jnp.zeros_like(total)))
    return (cumulative <= target[:, None]).sum(axis=1)
