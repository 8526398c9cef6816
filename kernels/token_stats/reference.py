"""Token statistics in plain jnp: the reference that every faster implementation is tested against.

Shapes: [...] any leading axes, usually [B, T] (sequences, time); V vocabulary; D width.

With tempered logits z / tau, their maximum m, x = (z - m) / tau and p = softmax(x), four sums over
the vocabulary are enough:

    s0 = sum e^x    s1 = sum x e^x    q0 = sum e^2x    q1 = sum x e^2x

    logsumexp = m / tau + log s0                log p_y = x_y - log s0
    H = log s0 - s1 / s0                        C = (q0 (H - log s0) + q1) / s0^2
    S_y = p_y (H + log p_y)                     T = C - S_y

Since m is among the entries, s0 >= 1 and s1 <= 0, so H >= 0 and log p_y <= 0 hold exactly in
floating point, not only up to rounding. The gradients in the logits are, with 1_y one at y and zero
elsewhere,

    d log p_y / dz = (1_y - p) / tau        d logsumexp / dz = p / tau
    d H / dz = -p (H + log p) / tau

T is wrapped in stop_gradient: it weights updates and is not optimized itself.

Here p is in memory. The one-pass implementations loop over tiles of the vocabulary instead, keep
the sums of `sums.py`, and recompute each tile in their backward pass.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class TokenStats(NamedTuple):
    """Statistics of tokens under their next-token distributions: [...], at least float32.

    Attributes:
      logprob: log p_y, nats, <= 0.
      logsumexp: of the tempered logits.
      entropy: H = -sum_v p_v log p_v, nats, 0 <= H <= log V.
      unit_polarity: T = C - S_y, the first-order change of H (nats) per unit logit step and unit
        advantage. A signal: its gradient is zero.
    """

    logprob: jax.Array
    logsumexp: jax.Array
    entropy: jax.Array
    unit_polarity: jax.Array


def token_stats(
    logits: jax.Array,
    tokens: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
) -> TokenStats:
    """Computes the statistics of `tokens` under softmax(logits / temperature).

        T = C - S_y,  S_v = p_v (H + log p_v),  C = sum_v p_v S_v

    Source: the decomposition is that of entropy polarity, arXiv 2605.11775 (2026); the four-sum
    form is calculus.

    Args:
      logits: [..., V] of any float dtype; an entry of -inf is outside the support.
      tokens: [...] integers in [0, V).
      temperature: tau > 0, the sampler's.
      mask: [...] boolean; where it is false, the statistics and the gradient are 0. None is true
        everywhere.
      vocabulary_size: the columns that are tokens; those beyond, which some checkpoints have as
        padding, are outside the support. None for all V.
      axis_name: mesh axis over which the vocabulary is sharded; `logits` is this device's shard,
        while `tokens` and `vocabulary_size` refer to the whole vocabulary.

    Returns:
      `TokenStats` of shape [...].

    Raises:
      AssertionError: if the leading shapes differ, or the tokens are not integers or the mask not
        boolean.
      ValueError: if the temperature is a number and not above 0.

    >>> stats = token_stats(jnp.log(jnp.array([0.9, 0.1])), jnp.array(0))
    >>> print(stats.entropy.round(4))
    0.3251
    >>> print(stats.unit_polarity.round(4))  # -2 p (1-p)^2 log(p / (1-p))
    -0.0396
    """
    check_inputs(logits.shape[:-1], tokens, mask, temperature)
    logits = logits.astype(stats_dtype(logits))
    columns = column_indices(logits, axis_name)
    if vocabulary_size is not None:
        logits = jnp.where(columns < vocabulary_size, logits, -jnp.inf)
    if mask is not None:
        # A row outside the mask may hold anything, NaN too.
        logits = jnp.where(mask[..., None], logits, 0.0)

    def sum_columns(values):
        return _sum_shards(values.sum(axis=-1), axis_name)

    # Subtract before dividing: z / tau first would round away the differences of large logits.
    maximum = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    maximum = maximum if axis_name is None else jax.lax.pmax(maximum, axis_name)
    x = (logits - maximum) / temperature
    support = x > -jnp.inf
    exponential = jnp.exp(x)
    target_x = jnp.where(columns == tokens[..., None], jnp.where(support, x, -jnp.inf), 0.0)
    target_x = sum_columns(target_x)
    x = jnp.where(support, x, 0.0)  # 0 * -inf is NaN; the exponential is already an exact 0 there

    # The statistics from the sums.
    s0, s1 = sum_columns(exponential), sum_columns(x * exponential)
    log_s0 = jnp.log(s0)
    entropy = log_s0 - s1 / s0
    logprob = target_x - log_s0
    logsumexp = maximum[..., 0] / temperature + log_s0
    constants = jax.lax.stop_gradient((x, exponential, s0, entropy, logprob))
    stats = TokenStats(
        logprob=logprob,
        logsumexp=logsumexp,
        entropy=entropy,
        unit_polarity=_unit_polarity(*constants, sum_columns=sum_columns),
    )
    if mask is None:
        return stats
    return jax.tree.map(lambda values: jnp.where(mask, values, 0.0), stats)


def logit_gradient(
    logits: jax.Array,
    tokens: jax.Array,
    cotangents: TokenStats,
    *,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """Computes the gradient in the logits from that in the statistics, by the closed forms above.

        dL/dz_v = [ g_logprob ([v = y] - p_v) + g_logsumexp p_v - g_H p_v (H + log p_v) ] / tau

    Args:
      logits: [..., V].
      tokens: [...] integers in [0, V).
      cotangents: dL/d statistic, [...]; that of T is not used.
      temperature: tau > 0.

    Returns:
      [..., V], at least float32.

    >>> ones = TokenStats(*jnp.array([[1.0], [0.0], [0.0], [0.0]]))
    >>> print(logit_gradient(jnp.zeros((1, 4)), jnp.array([2]), ones))  # 1_y - p
    [[-0.25 -0.25  0.75 -0.25]]
    """
    entropy = token_stats(logits, tokens, temperature=temperature).entropy
    z = logits.astype(stats_dtype(logits))
    x = (z - z.max(axis=-1, keepdims=True)) / temperature
    log_p = x - jnp.log(jnp.exp(x).sum(axis=-1, keepdims=True))
    p = jnp.exp(log_p)
    entropy_gradient = -p * (entropy[..., None] + jnp.where(p > 0, log_p, 0.0))
    one_hot = column_indices(logits, None) == tokens[..., None]
    g = jax.tree.map(lambda values: values[..., None], cotangents)
    gradient = g.logprob * (one_hot - p) + g.logsumexp * p + g.entropy * entropy_gradient
    return gradient / temperature


def linear_token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    *,
    temperature: jax.Array | float = 1.0,
    mask: jax.Array | None = None,
    vocabulary_size: int | None = None,
    axis_name: str | None = None,
) -> TokenStats:
    """Computes `token_stats` of the logits hidden @ unembedding^T, all of them in memory at once.

    Args:
      hidden: [..., D] final hidden states.
      unembedding: [V, D].
      tokens: [...] integers in [0, V).
      temperature: as in `token_stats`; so are `mask`, `vocabulary_size` and `axis_name`.

    Returns:
      `TokenStats` of shape [...].

    >>> stats = linear_token_stats(jnp.ones((1, 2)), jnp.zeros((4, 2)), jnp.array([3]))
    >>> print(stats.logprob.round(4))  # uniform over four tokens
    [-1.3863]
    """
    return token_stats(
        compute_logits(hidden, unembedding),
        tokens,
        temperature=temperature,
        mask=mask,
        vocabulary_size=vocabulary_size,
        axis_name=axis_name,
    )


def compute_logits(hidden: jax.Array, unembedding: jax.Array) -> jax.Array:
    """Returns the logits hidden @ unembedding^T, [..., V], accumulated in at least float32."""
    return jnp.einsum(
        "...d,vd->...v",
        hidden,
        unembedding,
        precision=matmul_precision(hidden, unembedding),
        preferred_element_type=stats_dtype(hidden, unembedding),
    )


def matmul_precision(*operands: jax.Array) -> jax.lax.Precision:
    """Returns the precision at which float32 operands are multiplied as float32.

    By default an NVIDIA GPU rounds float32 operands to TF32, 10 bits of mantissa, and a TPU to
    bfloat16: logits of size 1e4 would be off by whole nats. Operands of 16 bits lose nothing either
    way.
    """
    if stats_dtype(*operands) == jnp.result_type(*operands):
        return jax.lax.Precision.HIGHEST
    return jax.lax.Precision.DEFAULT


def stats_dtype(*arrays: jax.Array) -> jnp.dtype:
    """Returns the dtype of the statistics of these operands: at least float32."""
    dtypes = (array.dtype for array in arrays)
    return functools.reduce(jnp.promote_types, dtypes, jnp.dtype(jnp.float32))


def check_inputs(
    leading: tuple[int, ...],
    tokens: jax.Array,
    mask: jax.Array | None,
    temperature: jax.Array | float,
) -> None:
    """Refuses tokens, masks and temperatures that no implementation takes.

    Args:
      leading: the leading axes of the logits or hidden states, [...].
      tokens: must be integers of shape [...].
      mask: None, or must be boolean of shape [...].
      temperature: must be above 0 where it is a number; a traced value is not checked.

    Raises:
      AssertionError: if a shape or dtype does not fit.
      ValueError: if the temperature is not above 0.
    """
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(
            f"the temperature of the token statistics is {temperature}; it must be above 0"
        )
    chex.assert_shape(tokens, leading)
    chex.assert_type(tokens, int)
    if mask is not None:
        chex.assert_shape(mask, leading)
        chex.assert_type(mask, bool)


def column_indices(logits: jax.Array, axis_name: str | None) -> jax.Array:
    """Returns the index in the whole vocabulary of each column, at the rank of the logits."""
    width = logits.shape[-1]
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * width
    return (first + jnp.arange(width)).reshape((1,) * (logits.ndim - 1) + (-1,))


def _sum_shards(values: jax.Array, axis_name: str | None) -> jax.Array:
    return values if axis_name is None else jax.lax.psum(values, axis_name)


def _unit_polarity(
    x: jax.Array,
    exponential: jax.Array,
    s0: jax.Array,
    entropy: jax.Array,
    logprob: jax.Array,
    *,
    sum_columns: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Computes T = C - S_y from the normalized sums."""
    p = exponential / s0[..., None]
    correction = sum_columns(p * p * (x + (entropy - jnp.log(s0))[..., None]))
    p_y = jnp.exp(logprob)
    sampled = p_y * (entropy + jnp.where(p_y > 0, logprob, 0.0))
    return correction - sampled
