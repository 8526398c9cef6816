"""Clip_V: the few tokens of wrong answers whose unit polarity is the largest leave the loss.

Source: arXiv 2602.03392 (2026) and Trinity-RFT, whose C - S is our T. Settings: mu 8.5 (2.0 is a
bare constructor's default), at most 1e-4 of the tokens. As in their code the choice is made once
over the rollout batch under the sampling policy, and the threshold is not centered. Their code also
drops tokens with A = 0 above it; here A < 0 alone.
"""

import functools

import jax
import jax.numpy as jnp

from papo_jax.methods import token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, clipped_surrogate, token_mean
from papo_jax.methods.token_batch import SampledTokens
from papo_jax.polarity import masked_mean


def polarity_outliers(
    tokens: SampledTokens, *, vocabulary_mu: float = 8.5, vocabulary_share: float = 1e-4
) -> jax.Array:
    """Returns the tokens that leave the loss, [B, T].

        of the tokens with A < 0 and T > mu std T, the max(1, int(share N)) of the largest T

    Args:
      tokens: `SampledTokens`; its `token_uniforms` decide between equal T.
      vocabulary_mu: in standard deviations of T (the population's).
      vocabulary_share: at most this share of all N tokens leaves, or one.
    """
    mask, unit = tokens.mask, tokens.stats.unit_polarity
    deviation = jnp.sqrt(masked_mean((unit - masked_mean(unit, mask)) ** 2, mask))
    beyond = mask & (tokens.advantages < 0) & (unit > vocabulary_mu * deviation)
    count = token_random.count_at_most(vocabulary_share, mask.sum())
    return token_random.select_highest(unit, beyond, count, ties=tokens.token_uniforms)


def clip_v() -> Method:
    """Clip_V, arXiv 2602.03392: mu 8.5, at most 1e-4 of the tokens; clip 0.2, token mean."""
    objective = Objective(functools.partial(clipped_surrogate, clip_high=0.2), token_mean)
    return Method(objective, dropped_token_rule=polarity_outliers)


PRESETS = (clip_v,)
