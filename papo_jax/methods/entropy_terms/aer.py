"""AER: an entropy bonus, larger on hard prompts, that holds a share of the initial entropy.

Source: arXiv 2510.10959 (2025); its text and code could not be read. Known: a coefficient by
difficulty, a target anchored to the initial entropy with a share near 0.4, and a global coefficient
that follows it. All formulas below are ours, and all numbers but that share; they stand on GRPO's
advantages with clip 0.2 and a mean over tokens.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.entropy_terms.entropy_bonus import subtract_entropy
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    clipped_surrogate,
    token_mean,
)
from papo_jax.methods.token_batch import TokenBatch


def follow_target(
    coefficient: jax.Array,
    entropy: jax.Array,
    initial_entropy: jax.Array,
    *,
    target_share: float = 0.4,
    bonus_gain: float = 1e-3,
    bonus_max: float = 1e-2,
) -> jax.Array:
    """Moves the coefficient in proportion to how far entropy is below its target.

        coefficient <- clip(coefficient + gain (share H_0 - H), 0, max)

    Args:
      coefficient: [] so far.
      entropy: [] H of this rollout, nats; one that is not finite changes nothing.
      initial_entropy: [] H_0 of the first rollouts, nats.
      target_share: of H_0.
      bonus_gain: change of the coefficient in a rollout that is a nat below the target.
      bonus_max: bound on the coefficient.

    Returns:
      [] the new coefficient.

    >>> print(follow_target(jnp.array(0.001), jnp.array(0.3), jnp.array(1.0)).round(5))
    0.0011
    """
    new = jnp.clip(
        coefficient + bonus_gain * (target_share * initial_entropy - entropy), 0.0, bonus_max
    )
    return jnp.where(jnp.isfinite(entropy), new, coefficient)


def aer_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    hard_below: float = 0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> LossSum:
    """Computes the clipped surrogate with a bonus that grows as the prompt gets harder.

        difficulty = clip((hard_below - accuracy) / hard_below, 0, 1)
        L = 1/N sum_t -min(r A, clip(r, 1 - low, 1 + high) A) - coefficient difficulty H_t

    Args:
      tokens: `TokenBatch` with `entropy`, `accuracy` and `adaptive_coefficient`, which
        `follow_target` moves.
      reduction: `token_mean`.
      hard_below: the accuracy from which on there is no bonus.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    difficulty = jnp.clip((hard_below - tokens.accuracy) / hard_below, 0.0, 1.0)
    surrogate = clipped_surrogate(tokens, reduction, clip_low=clip_low, clip_high=clip_high)
    return subtract_entropy(surrogate, tokens, reduction, tokens.adaptive_coefficient * difficulty)


def aer() -> Method:
    """AER, arXiv 2510.10959, in our reading: target 0.4 H_0, bonus up to 0.01 on hard prompts."""
    return Method(Objective(aer_loss, token_mean), coefficient_rule=follow_target)


PRESETS = (aer,)
