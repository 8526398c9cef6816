"""Clip_B: tokens of wrong answers that are far less likely than their states' tokens leave the
loss.

Source: arXiv 2602.03392 (2026) and Trinity-RFT. Settings: mu 2.5, over GRPO's advantages and PPO's
clip. As in their code the choice is made once over the rollout batch under the sampling policy, and
the tokens leave numerator and denominator. Theirs divides rewards by the sample's deviation, ours
by the population's.
"""

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import DAPO
from papo_jax.polarity import masked_mean, sampled_contribution


def outliers(
    stats: TokenStats, advantages: jax.Array, mask: jax.Array, *, batch_mu: float = 2.5
) -> jax.Array:
    """Tells which tokens leave the loss, [B, T].

        A < 0  and  S - mean S < -mu std S,   S = p (H + log p), mean and standard deviation over all tokens

    Args:
      stats: [B, T] under the sampling policy.
      advantages: [B, T].
      mask: [B, T] boolean, the rollout's tokens.
      batch_mu: in standard deviations (the population's).

    Returns:
      [B, T] boolean.
    """
    contribution = sampled_contribution(stats.logprob, stats.entropy, -jnp.ones_like(advantages))
    centered = contribution - masked_mean(contribution, mask)
    deviation = jnp.sqrt(masked_mean(centered**2, mask))
    return mask & (advantages < 0) & (centered < -batch_mu * deviation)


def clip_b() -> Arguments:
    """Clip_B, arXiv 2602.03392: mu 2.5; clip 0.2, token mean."""
    return arguments(
        DAPO, drop=outliers, batch_mu=2.5, clip_low=0.2, clip_high=0.2, kl_coefficient=0.0
    )


PRESETS = (clip_b,)
