"""Adaptive entropy control: a bonus below a target entropy, its coefficient moved every rollout.

Source: Skywork-OR1, He et al. 2025, arXiv 2505.22312, and its training scripts: target 0.2 nats,
the coefficient starts at 0, stays in [0, 0.005] and moves by 1e-4 a rollout. While the bonus is
off, the coefficient goes down in the same steps and is not reset. That a rollout's entropy moves it
before that rollout's updates is inferred from their code. Not followed: TRL, which moves it at
every optimizer step, by 0.005 up to 1. Their dynamic sampling is `refills`, 0 here.
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


def step_coefficient(
    coefficient: jax.Array,
    entropy: jax.Array,
    initial_entropy: jax.Array,
    *,
    entropy_target: float = 0.2,
    bonus_step: float = 1e-4,
    bonus_max: float = 5e-3,
) -> jax.Array:
    """Moves the coefficient: up by a step where entropy is below the target, down where it is not.

    Args:
      coefficient: [] so far.
      entropy: [] of this rollout, nats; one that is not finite changes nothing.
      initial_entropy: [] not used.
      entropy_target: nats.
      bonus_step: the change at each rollout.
      bonus_max: the upper bound; the lower one is 0.

    Returns:
      [] the new coefficient.

    >>> print(
    ...     step_coefficient(jnp.array(0.002), jnp.array(0.1), None).round(5),
    ...     step_coefficient(jnp.array(0.0), jnp.array(0.3), None),
    ... )
    0.0021 0.0
    """
    new = jnp.clip(
        coefficient + jnp.where(entropy < entropy_target, bonus_step, -bonus_step), 0.0, bonus_max
    )
    return jnp.where(jnp.isfinite(entropy), new, coefficient)


def adaptive_entropy_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    entropy_target: float = 0.2,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> LossSum:
    """Computes the clipped surrogate with a bonus while the rollout's entropy is below the target.

        L = 1/N sum_t -min(r A, clip(r, 1 - low, 1 + high) A) - coefficient 1[H < target] H_t

    Args:
      tokens: `TokenBatch` with `entropy`, `rollout_entropy` and `adaptive_coefficient`, which
        `step_coefficient` moves.
      reduction: `token_mean`.
      entropy_target: nats.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    below = tokens.rollout_entropy < entropy_target
    coefficient = jnp.where(below, tokens.adaptive_coefficient, 0.0)
    surrogate = clipped_surrogate(tokens, reduction, clip_low=clip_low, clip_high=clip_high)
    return subtract_entropy(surrogate, tokens, reduction, coefficient)


def adaptive_entropy() -> Method:
    """Skywork-OR1, He et al. 2025, arXiv 2505.22312: target 0.2 nats, 1e-4 a rollout, to 0.005."""
    return Method(Objective(adaptive_entropy_loss, token_mean), coefficient_rule=step_coefficient)


PRESETS = (adaptive_entropy,)
