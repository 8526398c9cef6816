"""What steers the weights: a signed number for every token, positive where the update is expected
to expand entropy.

A signal takes (stats [B, T] under the sampling policy, advantages [B, T], mask [B, T]) and returns
[B, T], 0 outside the mask.
Shapes: B sequences, T time. P is set to 0 where abs(T) is within the dead band, other signals where
they are at most 1e-6 of their root mean square over the batch. The random controls take P, and
permute the weights made of it (`strata`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax import polarity as theory

DEAD_BAND = 1e-6


def polarity(
    stats: TokenStats, advantages: jax.Array, mask: jax.Array, *, dead_band: float = 1e-6
) -> jax.Array:
    """P = A T with the dead band on abs(T). Source: PAPO, arXiv 2605.11775 (2026)."""
    unit = theory.dead_banded(stats.unit_polarity, dead_band=dead_band)
    return jnp.where(mask, theory.entropy_polarity(unit, advantages), 0.0)


def sampled(stats: TokenStats, advantages: jax.Array, mask: jax.Array) -> jax.Array:
    """-A S_y, polarity without the distributional correction: an ablation."""
    return _banded(theory.sampled_contribution(stats.logprob, stats.entropy, advantages), mask)


def parameter(
    stats: TokenStats, advantages: jax.Array, mask: jax.Array, *, unit_parameter: jax.Array
) -> jax.Array:
    """P^theta = A <grad log p(y), M grad Hbar>, polarity through the shared parameters: ours.

    `unit_parameter` is the inner product for every token ([B, T], `papo_jax.learner.parameter_polarity`).
    """
    return _banded(advantages * unit_parameter, mask)


def advantage_sign(stats: TokenStats, advantages: jax.Array, mask: jax.Array) -> jax.Array:
    """-sign(A): right answers contract and wrong ones expand; needs no distribution at all: a
    rival."""
    return jnp.where(mask, -jnp.sign(advantages), 0.0)


def covariance(stats: TokenStats, advantages: jax.Array, mask: jax.Array) -> jax.Array:
    """-(A - mean A)(log p - mean log p), minus Clip-Cov's covariance (arXiv 2505.22617): a
    rival."""
    return _banded(-centered_product(advantages, stats.logprob, mask), mask)


def surprisal(stats: TokenStats, advantages: jax.Array, mask: jax.Array) -> jax.Array:
    """-A (log p + H), where log p + H > 0 says that the token is likelier than its state's tokens
    are on average: a rival."""
    return _banded(-advantages * (stats.logprob + stats.entropy), mask)


# method.signal -> signal; every random control starts from P.
SIGNALS: dict[str, Callable[..., jax.Array]] = {
    "polarity": polarity,
    "sampled": sampled,
    "parameter": parameter,
    "advantage_sign": advantage_sign,
    "covariance": covariance,
    "surprisal": surprisal,
    "random": polarity,
    "random_in_sign": polarity,
    "random_in_probability": polarity,
    "random_in_mass": polarity,
}


def strata(
    signal: str, polarity: jax.Array, stats: TokenStats, advantages: jax.Array, mask: jax.Array
) -> jax.Array | None:
    """Returns the stratum of each token, [B, T] integers, that a random control permutes its
    weights within; else None.

        random                  all tokens: also breaks the link with sign(A), which alone moves entropy
        random_in_sign          those of one sign of A
        random_in_probability   those of one sign of A and one decile of p: what is left tests polarity beyond rarity
        random_in_mass          those of one sign of A and one tenth of the mass of abs(P) by p: the same where most tokens are
                                nearly certain, and one decile would hold nearly all that have a
                                polarity

    Args:
      signal: a name in `SIGNALS`.
      polarity: [B, T] P.
      stats: [B, T] under the sampling policy.
      advantages: [B, T].
      mask: [B, T] boolean.
    """
    sign = jnp.sign(advantages).astype(jnp.int32) + 1
    if signal == "random":
        return jnp.zeros_like(sign)
    if signal == "random_in_sign":
        return sign
    if signal == "random_in_probability":
        return 10 * sign + tenths(stats.logprob, jnp.ones_like(stats.logprob), mask)
    if signal == "random_in_mass":
        return 10 * sign + tenths(stats.logprob, jnp.abs(polarity), mask)
    return None


def tenths(values: jax.Array, mass: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns which tenth of the batch's mass each token belongs to when they stand in the order of
    their values.

    Args:
      values: [B, T]; equal ones stay together.
      mass: [B, T] at least 0; equal for deciles.
      mask: [B, T] boolean.

    Returns:
      [B, T] integers 0 to 9.

    >>> everywhere = jnp.ones((1, 20), bool)
    >>> tenths(jnp.arange(20.0)[None], jnp.ones((1, 20)), everywhere).tolist()
    [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]]
    >>> tenths(
    ...     jnp.arange(20.0)[None], jnp.arange(20.0)[None] == 7, everywhere
    ... ).tolist()  # all mass is in one token
    [[0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]]
    """
    order = jnp.argsort(jnp.where(mask, values, jnp.inf).reshape(-1))
    held = jnp.cumsum(jnp.where(mask, mass, 0.0).reshape(-1)[order])
    # The first token of a tenth is the first by which more is held than the tenths below it have.
    first = jnp.searchsorted(10 * held, held[-1] * jnp.arange(1, 10), side="right")
    edges = values.reshape(-1)[order][jnp.minimum(first, order.size - 1)]
    above = values[..., None] >= edges.reshape((1,) * values.ndim + (-1,))
    return above.sum(axis=-1).astype(jnp.int32)


def centered_product(first: jax.Array, second: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns (a - mean a)(b - mean b) of every token, [B, T], with means over the mask: its mean
    is their covariance."""
    return (first - theory.masked_mean(first, mask)) * (second - theory.masked_mean(second, mask))


def _banded(signal: jax.Array, mask: jax.Array) -> jax.Array:
    signal = jnp.where(mask, signal, 0.0)
    spread = jnp.sqrt(theory.masked_mean(signal**2, mask))
    return jnp.where(jnp.abs(signal) <= DEAD_BAND * spread, 0.0, signal)
