"""The token statistics in plain jnp: what every faster implementation is held against.

Shapes: [...] any leading axes, usually [B, T] (sequences, time); V vocabulary; D width.

With tempered logits z / tau, their maximum m, x = (z - m) / tau and p = softmax(x), four sums over the
vocabulary are enough:

    s0 = sum e^x    s1 = sum x e^x    q0 = sum e^2x    q1 = sum x e^2x

    logsumexp = m / tau + log s0                log p_y = x_y - log s0
    H = log s0 - s1 / s0                        C = (q0 (H - log s0) + q1) / s0^2
    S_y = p_y (H + log p_y)                     T = C - S_y

Since m is among the entries, s0 >= 1 and s1 <= 0, so H >= 0 and log p_y <= 0 hold exactly in floating
point, not only up to rounding.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class TokenStats(NamedTuple):
    """What one state's distribution says of one token; all of one shape [...], at least float32.

    Attributes:
      logprob: log p_y, nats, <= 0.
      logsumexp: of the tempered logits.
      entropy: H = -sum_v p_v log p_v, nats, 0 <= H <= log V.
      unit_polarity: T = C - S_y, the first-order change of H (nats) per unit logit step and unit advantage.
        A signal: its gradient is zero.
    """

    logprob: jax.Array
    logsumexp: jax.Array
    entropy: jax.Array
    unit_polarity: jax.Array


def token_stats(logits: jax.Array, tokens: jax.Array, *, temperature: float = 1.0) -> TokenStats:
    """Computes the statistics of `tokens` under softmax(logits / temperature).

        T = C - S_y,  S_v = p_v (H + log p_v),  C = sum_v p_v S_v

    Source: the decomposition is that of entropy polarity, arXiv 2605.11775 (2026); the four-sum form is calculus.

    Args:
      logits: [..., V] of any float dtype; an entry of -inf is outside the support.
      tokens: [...] integers in [0, V).
      temperature: tau > 0; the distribution that the sampler uses.

    Returns:
      `TokenStats` of shape [...].

    Raises:
      AssertionError: if the leading shapes differ or the tokens are not integers.

    >>> stats = token_stats(jnp.log(jnp.array([0.9, 0.1])), jnp.array(0))
    >>> round(float(stats.entropy), 4), round(float(stats.unit_polarity), 4)  # -2 p (1-p)^2 log(p / (1-p))
    (0.3251, -0.0396)
    """
    chex.assert_shape(tokens, logits.shape[:-1])
    chex.assert_type(tokens, int)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    maximum = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    # Subtract before dividing: z / tau first would round away the differences of large logits.
    x = (logits - maximum) / temperature
    support = x > -jnp.inf
    exponential = jnp.exp(x)
    x = jnp.where(support, x, 0.0)  # 0 * -inf is NaN; the exponential is already an exact 0 there
    s0 = exponential.sum(axis=-1)
    s1 = (x * exponential).sum(axis=-1)
    log_s0 = jnp.log(s0)
    entropy = log_s0 - s1 / s0
    logprob = _pick(jnp.where(support, x, -jnp.inf), tokens) - log_s0
    logsumexp = maximum[..., 0] / temperature + log_s0
    return TokenStats(logprob, logsumexp, entropy, _unit_polarity(x, exponential, s0, entropy, logprob))


def linear_token_stats(
    hidden: jax.Array, unembedding: jax.Array, tokens: jax.Array, *, temperature: float = 1.0
) -> TokenStats:
    """Computes `token_stats` of the logits hidden @ unembedding^T, which it holds whole.

    Args:
      hidden: [..., D] final hidden states.
      unembedding: [V, D].
      tokens: [...] integers in [0, V).
      temperature: tau > 0.

    Returns:
      `TokenStats` of shape [...].

    >>> stats = linear_token_stats(jnp.ones((1, 2)), jnp.zeros((4, 2)), jnp.array([3]))
    >>> print(stats.logprob.round(4))  # uniform over four tokens
    [-1.3863]
    """
    return token_stats(head(hidden, unembedding), tokens, temperature=temperature)


def head(hidden: jax.Array, unembedding: jax.Array) -> jax.Array:
    """Returns the logits hidden @ unembedding^T, [..., V], accumulated in at least float32."""
    dtype = jnp.promote_types(jnp.promote_types(hidden.dtype, unembedding.dtype), jnp.float32)
    return jnp.einsum("...d,vd->...v", hidden, unembedding, preferred_element_type=dtype)


def _pick(values: jax.Array, tokens: jax.Array) -> jax.Array:
    return jnp.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]


def _unit_polarity(x, exponential, s0, entropy, logprob) -> jax.Array:
    """T = C - S_y from the normalised sums; no gradient, since it steers updates and is not optimised."""
    x, exponential, s0, entropy, logprob = jax.lax.stop_gradient((x, exponential, s0, entropy, logprob))
    p = exponential / s0[..., None]
    correction = (p * p * (x + (entropy - jnp.log(s0))[..., None])).sum(axis=-1)
    p_y = jnp.exp(logprob)
    sampled = p_y * (entropy + jnp.where(p_y > 0, logprob, 0.0))
    return correction - sampled
