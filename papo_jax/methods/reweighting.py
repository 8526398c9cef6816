"""Weights on advantages: A'_t = w_t A_t with w_t > 0, so no sign changes and both branches stay.

Shapes: B sequences, T time. Weights are 0 where the mask is false and carry no gradient.
"""

import chex
import jax
import jax.numpy as jnp

from papo_jax.methods import token_random

WEIGHTINGS = ("sign", "graded", "balanced", "switch")
FLOOR = 1e-12  # of sigma_P, for a batch whose P are all 0


def papo(
    polarity: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    s: jax.Array,
    *,
    lam: float = 0.2,
    weighting: str = "sign",
    w_min: float = 0.5,
    w_max: float = 1.5,
    renormalize: bool = True,
    token_weights: jax.Array | None = None,
    key: jax.Array | None = None,
    sequences: jax.Array | None = None,
    strata: jax.Array | None = None,
) -> jax.Array:
    """Weights tokens by the branch that their polarity is in and the phase that entropy is in.

        sign, switch   w = 1 + lam s sign(P)
        graded         w = 1 + lam s tanh(P / sigma_P),  sigma_P the root mean square over the batch
        balanced       rho = M+ / (M+ + M-),  rho* = rho + lam s min(rho, 1 - rho),
                       w+ = rho* / rho,  w- = (1 - rho*) / (1 - rho)

    then clipped to [w_min, w_max] and, with `renormalize`, multiplied by sum c |A| / sum c w |A|.
    That keeps the batch's pull, sum c w |A|: reweighting changes which tokens the loss acts on, and
    not how strongly it acts.

    Source: PAPO, arXiv 2605.11775 (2026), for keeping both branches and reweighting advantages by
    an entropy phase signal; every formula above is our reading.

    Args:
      polarity: [B, T] P, an exact 0 where a token is in neither branch
        (`papo_jax.polarity.apply_dead_band`).
      advantages: [B, T].
      mask: [B, T] boolean, the generated tokens of the whole rollout batch.
      s: [] the phase signal in [-1, 1]; for `switch` the entropy trajectory's `switch`.
      lam: strength in [0, 1). At 0 the weights are the mask, exactly.
      weighting: one of `WEIGHTINGS`.
      w_min, w_max: bounds before renormalizing.
      renormalize: whether to keep the batch's pull.
      token_weights: [B, T] c, of the objective's reduction; None for all equal.
      key: if given, the weights are permuted among the tokens of each stratum before they are
        renormalized: a control with the same histogram, up to that one factor, and no information
        but the stratum's.
      sequences: [B] identities that the permutation is keyed by; None for the rows' indices.
      strata: [B, T] integers, a stratum for each token; None for a single one.

    Returns:
      [B, T] float32 weights.

    Raises:
      ValueError: if there is no such weighting.

    >>> P, A = jnp.array([[0.3, -0.1]]), jnp.array([[1.0, 1.0]])
    >>> print(papo(P, A, jnp.ones((1, 2), bool), jnp.array(1.0), lam=0.2))
    [[1.2 0.8]]
    """
    chex.assert_equal_shape([polarity, advantages, mask])
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting {weighting!r} is none of {WEIGHTINGS}")
    polarity, advantages = jnp.where(mask, polarity, 0.0), jnp.where(mask, advantages, 0.0)

    # Weights by branch and phase.
    if weighting == "balanced":
        weights = _balance_branches(polarity, lam * s)
    elif weighting == "graded":
        spread = jnp.sqrt((polarity**2).sum() / jnp.maximum(mask.sum(), 1))
        weights = 1.0 + lam * s * jnp.tanh(polarity / jnp.maximum(spread, FLOOR))
    else:
        weights = 1.0 + lam * s * jnp.sign(polarity)
    weights = jnp.clip(weights, w_min, w_max)

    # The random control permutes them.
    if key is not None:
        rows = jnp.arange(mask.shape[0]) if sequences is None else sequences
        strata = jnp.zeros(mask.shape, jnp.int32) if strata is None else strata
        weights = token_random.permute_within_strata(
            weights, mask, key, sequences=rows, strata=strata
        )

    # Keep the batch's pull.
    if renormalize:
        pull = jnp.abs(advantages)
        if token_weights is not None:
            pull = pull * jnp.where(mask, token_weights, 0.0)
        # The ratio before / after as 1 + (before - after) / after: weights of 1 stay exactly 1.
        surplus, after = ((1.0 - weights) * pull).sum(), (weights * pull).sum()
        scale = 1.0 + surplus / jnp.where(after > 0, after, 1.0)
        weights = weights * jnp.where(after > 0, scale, 1.0)

    # `where` and not a product: lam = 0 gives the mask bit for bit, even if the signal holds NaN.
    weights = jnp.where(mask, jnp.where(lam == 0, 1.0, weights), 0.0)
    return jax.lax.stop_gradient(weights).astype(jnp.float32)


def _balance_branches(polarity: jax.Array, strength: jax.Array) -> jax.Array:
    """Computes `balanced` weights, which move the expanding branch's share of the mass of P.

    Where one branch is empty every weight is 1. Written in ratios of the two masses, since 1 - rho
    rounds to 0 in float32 where one branch dwarfs the other:

        w+ = 1 + lam s min(1, M- / M+)    w- = 1 - lam s min(1, M+ / M-)
    """
    positive = jnp.where(polarity > 0, polarity, 0.0).sum()
    negative = jnp.where(polarity < 0, -polarity, 0.0).sum()
    both = (positive > 0) & (negative > 0)
    ratio = jnp.where(both, negative, 1.0) / jnp.where(both, positive, 1.0)
    expanding = 1.0 + strength * jnp.minimum(1.0, ratio)
    contracting = 1.0 - strength * jnp.minimum(1.0, 1.0 / ratio)
    weights = jnp.where(polarity > 0, expanding, jnp.where(polarity < 0, contracting, 1.0))
    return jnp.where(both, weights, 1.0)
