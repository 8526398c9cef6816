"""OPEFO: the flows that raise and lower entropy are weighted so that they balance.

Source: arXiv 2605.11491 (2026), of which only summaries could be found and no code. Known: tokens
that raise entropy get 1 + lambda, those that lower it 1 - lambda, with the lambda that makes the
weighted flows cancel; one strictly on-policy update a rollout, no clip, no KL term. Not known: the
token average, and whether its token-level diagnostic, which is said to simplify the off-action
terms, is what it sums. The exact first-order P = A T stands in for it here: our choice.
"""

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import Objective, Rule, per_token, unclipped, with_coefficients


def balanced(stats: TokenStats, advantages: jax.Array, mask: jax.Array) -> jax.Array:
    """Weights advantages so that the net first-order change of entropy is zero.

        F+ = sum_{P > 0} P,   F- = sum_{P < 0} abs(P),   lambda = (F- - F+) / (F- + F+)
        A' = (1 + lambda) A where P > 0, (1 - lambda) A where P < 0

    Args:
      stats: [B, T] under the sampling policy.
      advantages: [B, T].
      mask: [B, T] boolean, the rollout's tokens.

    Returns:
      [B, T] advantages; unchanged where there is no flow at all. Where there is flow in one
      direction alone, its tokens get 0.
    """
    flow = jnp.where(mask, advantages * stats.unit_polarity, 0.0)
    raising, lowering = jnp.maximum(flow, 0.0).sum(), jnp.maximum(-flow, 0.0).sum()
    both = raising + lowering
    strength = jnp.where(both > 0, (lowering - raising) / jnp.where(both > 0, both, 1.0), 0.0)
    return advantages * (1.0 + strength * jnp.sign(flow))


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the policy gradient's surrogate without clip, a mean over tokens.

        L = -1/N sum_t r A

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      coefficients: [B, T] of the token losses; None for `per_token`.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    return unclipped(
        logprob, old_logprob, advantages, mask, with_coefficients(per_token(mask), coefficients)
    )


def opefo() -> Arguments:
    """OPEFO, arXiv 2605.11491, with P for its diagnostic: balanced flows, no clip, token mean;
    meant for one update a rollout."""
    return arguments(Rule(objective, per_token), shape=balanced)


PRESETS = (opefo,)
