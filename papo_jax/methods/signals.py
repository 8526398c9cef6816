"""Signals that the weights follow: a number a token, positive where its update expands entropy.

A signal takes `SampledTokens` and returns [B, T], 0 outside the mask and where it is rounding
noise: P where abs(T) is within the method's dead band, the other signals where they are at most
1e-6 of their root mean square over the batch. A random control follows P, and the weights made of
it are then permuted within strata.

Shapes: B sequences, T time.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax import polarity
from papo_jax.methods.token_batch import SampledTokens

RELATIVE_BAND = 1e-6  # in units of a signal's root mean square


class Signal(NamedTuple):
    """A signal, and what it needs.

    Attributes:
      compute: `SampledTokens` -> [B, T].
      stratify: `SampledTokens` -> [B, T] integers, the strata that a random control permutes its
        weights within; None for a signal that is no control.
      needs_parameter_polarity: true if it reads `SampledTokens.unit_parameter_polarity`.
    """

    compute: Callable[[SampledTokens], jax.Array]
    stratify: Callable[[SampledTokens], jax.Array] | None = None
    needs_parameter_polarity: bool = False


def banded_polarity(
    stats: TokenStats, advantages: jax.Array, mask: jax.Array, *, dead_band: float = 1e-6
) -> jax.Array:
    """Computes P = A T with the dead band on abs(T), [B, T]. Source: arXiv 2605.11775 (2026)."""
    unit = polarity.apply_dead_band(stats.unit_polarity, dead_band=dead_band)
    return jnp.where(mask, polarity.entropy_polarity(unit, advantages), 0.0)


def token_polarity(tokens: SampledTokens) -> jax.Array:
    """Returns P, which the tokens hold already."""
    return tokens.polarity


def sampled_contribution(tokens: SampledTokens) -> jax.Array:
    """Computes -A S_y, polarity without the distributional correction: an ablation."""
    stats = tokens.stats
    signal = polarity.sampled_contribution(stats.logprob, stats.entropy, tokens.advantages)
    return _zero_within_band(signal, tokens.mask)


def parameter_polarity(tokens: SampledTokens) -> jax.Array:
    """Computes A u = A <grad log p(y), M grad Hbar>, polarity through shared parameters: ours."""
    return _zero_within_band(tokens.advantages * tokens.unit_parameter_polarity, tokens.mask)


def advantage_sign(tokens: SampledTokens) -> jax.Array:
    """Computes -sign(A): right answers contract and wrong ones expand; needs no distribution."""
    return jnp.where(tokens.mask, -jnp.sign(tokens.advantages), 0.0)


def negative_covariance(tokens: SampledTokens) -> jax.Array:
    """Computes -(A - mean A)(log p - mean log p), minus Clip-Cov's covariance, arXiv 2505.22617."""
    product = centered_product(tokens.advantages, tokens.stats.logprob, tokens.mask)
    return _zero_within_band(-product, tokens.mask)


def relative_surprisal(tokens: SampledTokens) -> jax.Array:
    """Computes -A (log p + H); log p + H is above 0 for tokens less surprising than average."""
    stats = tokens.stats
    return _zero_within_band(-tokens.advantages * (stats.logprob + stats.entropy), tokens.mask)


def single_stratum(tokens: SampledTokens) -> jax.Array:
    """Puts all tokens together: breaks even the link with sign(A), which alone moves entropy."""
    return jnp.zeros_like(sign_stratum(tokens))


def sign_stratum(tokens: SampledTokens) -> jax.Array:
    """Puts tokens of one sign of A together."""
    return jnp.sign(tokens.advantages).astype(jnp.int32) + 1


def probability_stratum(tokens: SampledTokens) -> jax.Array:
    """Puts tokens of one sign of A and one decile of p together.

    An effect of P beyond this control's is due to polarity and not to rarity.
    """
    logprob = tokens.stats.logprob
    deciles = mass_tenths(logprob, jnp.ones_like(logprob), tokens.mask)
    return 10 * sign_stratum(tokens) + deciles


def mass_stratum(tokens: SampledTokens) -> jax.Array:
    """Puts tokens of one sign of A and one tenth of the mass of abs(P) by p together.

    In place of deciles of p where most tokens are nearly certain: there one decile would hold
    nearly all tokens that have a polarity, and these strata split them.
    """
    tenths = mass_tenths(tokens.stats.logprob, jnp.abs(tokens.polarity), tokens.mask)
    return 10 * sign_stratum(tokens) + tenths


SIGNALS: dict[str, Signal] = {  # by method.signal
    "polarity": Signal(token_polarity),
    "sampled": Signal(sampled_contribution),
    "parameter": Signal(parameter_polarity, needs_parameter_polarity=True),
    "advantage_sign": Signal(advantage_sign),
    "covariance": Signal(negative_covariance),
    "surprisal": Signal(relative_surprisal),
    "random": Signal(token_polarity, stratify=single_stratum),
    "random_in_sign": Signal(token_polarity, stratify=sign_stratum),
    "random_in_probability": Signal(token_polarity, stratify=probability_stratum),
    "random_in_mass": Signal(token_polarity, stratify=mass_stratum),
}


def mass_tenths(values: jax.Array, mass: jax.Array, mask: jax.Array) -> jax.Array:
    """Sorts tokens by value and returns the tenth of the batch's mass that each one falls in.

    Args:
      values: [B, T]; equal ones fall in the same tenth.
      mass: [B, T] at least 0; all equal for deciles.
      mask: [B, T] boolean.

    Returns:
      [B, T] integers 0 to 9.

    >>> everywhere = jnp.ones((1, 20), bool)
    >>> mass_tenths(jnp.arange(20.0)[None], jnp.ones((1, 20)), everywhere).tolist()
    [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]]
    >>> mass_tenths(
    ...     jnp.arange(20.0)[None], jnp.arange(20.0)[None] == 7, everywhere
    ... ).tolist()  # all mass is in one token
    [[0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]]
    """
    order = jnp.argsort(jnp.where(mask, values, jnp.inf).reshape(-1))
    cumulative = jnp.cumsum(jnp.where(mask, mass, 0.0).reshape(-1)[order])
    # Tenth k begins at the first token with which the cumulative mass exceeds k tenths of all.
    first = jnp.searchsorted(10 * cumulative, cumulative[-1] * jnp.arange(1, 10), side="right")
    edges = values.reshape(-1)[order][jnp.minimum(first, order.size - 1)]
    above = values[..., None] >= edges.reshape((1,) * values.ndim + (-1,))
    return above.sum(axis=-1).astype(jnp.int32)


def centered_product(first: jax.Array, second: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns (a - mean a)(b - mean b), [B, T]; its masked mean is the covariance."""
    return (first - polarity.masked_mean(first, mask)) * (
        second - polarity.masked_mean(second, mask)
    )


def _zero_within_band(signal: jax.Array, mask: jax.Array) -> jax.Array:
    """Sets a signal to 0 outside the mask and where it is small beside its root mean square."""
    signal = jnp.where(mask, signal, 0.0)
    spread = jnp.sqrt(polarity.masked_mean(signal**2, mask))
    return jnp.where(jnp.abs(signal) <= RELATIVE_BAND * spread, 0.0, signal)
