"""OPEFO: the flows that raise and lower entropy are weighted so that they balance.

Source: arXiv 2605.11491 (2026), of which only summaries could be found and no code. Known: tokens
that raise entropy get 1 + lambda, those that lower it 1 - lambda, with the lambda that makes the
weighted flows cancel; one strictly on-policy update a rollout, no clip, no KL term. Not known: the
token average, and whether its token-level diagnostic, which is said to simplify the off-action
terms, is what it sums. The exact first-order P = A T stands in for it here: our choice.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, token_mean, unclipped_surrogate
from papo_jax.methods.token_batch import SampledTokens


def balance_flows(tokens: SampledTokens) -> jax.Array:
    """Weights advantages so that the net first-order change of entropy is zero.

        F+ = sum_{P > 0} P,   F- = sum_{P < 0} abs(P),   lambda = (F- - F+) / (F- + F+)
        A' = (1 + lambda) A where P > 0, (1 - lambda) A where P < 0

    Args:
      tokens: `SampledTokens`.

    Returns:
      [B, T] advantages; unchanged where there is no flow at all. Where there is flow in one
      direction alone, its tokens get 0.
    """
    flow = jnp.where(tokens.mask, tokens.advantages * tokens.stats.unit_polarity, 0.0)
    raising, lowering = jnp.maximum(flow, 0.0).sum(), jnp.maximum(-flow, 0.0).sum()
    both = raising + lowering
    strength = jnp.where(both > 0, (lowering - raising) / jnp.where(both > 0, both, 1.0), 0.0)
    return tokens.advantages * (1.0 + strength * jnp.sign(flow))


def opefo() -> Method:
    """OPEFO, arXiv 2605.11491, with P for its diagnostic; meant for one update a rollout.

    L = -1/N sum_t r A
    """
    return Method(Objective(unclipped_surrogate, token_mean), token_advantage_rule=balance_flows)


PRESETS = (opefo,)
