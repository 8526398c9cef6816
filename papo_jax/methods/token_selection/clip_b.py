"""Clip_B: unlikely tokens of wrong answers leave the loss.

Source: arXiv 2602.03392 (2026) and Trinity-RFT. Settings: mu 2.5, over GRPO's advantages and PPO's
clip. As in their code the choice is made once over the rollout batch under the sampling policy, and
the tokens leave numerator and denominator. Theirs divides rewards by the sample's deviation, ours
by the population's.
"""

import functools

import jax
import jax.numpy as jnp

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, clipped_surrogate, token_mean
from papo_jax.methods.token_batch import SampledTokens
from papo_jax.polarity import masked_mean, sampled_contribution


def batch_outliers(tokens: SampledTokens, *, batch_mu: float = 2.5) -> jax.Array:
    """Returns the tokens that leave the loss, [B, T].

        A < 0  and  S - mean S < -mu std S,   S = p (H + log p), mean and deviation over all tokens

    Args:
      tokens: `SampledTokens`.
      batch_mu: in standard deviations (the population's).
    """
    stats, advantages, mask = tokens.stats, tokens.advantages, tokens.mask
    contribution = sampled_contribution(stats.logprob, stats.entropy, -jnp.ones_like(advantages))
    centered = contribution - masked_mean(contribution, mask)
    deviation = jnp.sqrt(masked_mean(centered**2, mask))
    return mask & (advantages < 0) & (centered < -batch_mu * deviation)


def clip_b() -> Method:
    """Clip_B, arXiv 2602.03392: mu 2.5; clip 0.2, token mean."""
    objective = Objective(functools.partial(clipped_surrogate, clip_high=0.2), token_mean)
    return Method(objective, dropped_token_rule=batch_outliers)


PRESETS = (clip_b,)
