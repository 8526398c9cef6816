"""Clip_V: the few tokens of wrong answers whose unit polarity is the largest leave the loss.

Source: arXiv 2602.03392 (2026) and Trinity-RFT, whose C - S is our T. Settings: mu 8.5 (2.0 is a
bare constructor's default), at most 1e-4 of the tokens. As in their code the choice is made once
over the rollout batch under the sampling policy, and the threshold is not centered. Their code also
drops tokens with A = 0 above it; here A < 0 alone.
"""

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax.methods import draws as choices
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import DAPO
from papo_jax.polarity import masked_mean


def outliers(
    stats: TokenStats,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    vocabulary_mu: float = 8.5,
    vocabulary_share: float = 1e-4,
) -> jax.Array:
    """Tells which tokens leave the loss.

        of the tokens with A < 0 and T > mu std T, the max(1, int(share N)) of the largest T

    Args:
      stats: [B, T] under the sampling policy.
      advantages: [B, T].
      mask: [B, T] boolean, the rollout's N tokens.
      draws: [B, T] uniform numbers that belong to the tokens, for equal T.
      vocabulary_mu: in standard deviations of T (the population's).
      vocabulary_share: at most this share of all N tokens leaves, or one.

    Returns:
      [B, T] boolean.
    """
    unit = stats.unit_polarity
    deviation = jnp.sqrt(masked_mean((unit - masked_mean(unit, mask)) ** 2, mask))
    beyond = mask & (advantages < 0) & (unit > vocabulary_mu * deviation)
    return choices.highest(unit, beyond, choices.at_most(vocabulary_share, mask.sum()), ties=draws)


def clip_v() -> Arguments:
    """Clip_V, arXiv 2602.03392: mu 8.5, at most 1e-4 of the tokens; clip 0.2, token mean."""
    return arguments(
        DAPO,
        drop=outliers,
        vocabulary_mu=8.5,
        vocabulary_share=1e-4,
        clip_low=0.2,
        clip_high=0.2,
        kl_coefficient=0.0,
    )


PRESETS = (clip_v,)
