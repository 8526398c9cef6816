"""Adaptive entropy control: a bonus only while entropy is below a target, its coefficient moved a
little every rollout.

Source: Skywork-OR1, He et al. 2025, arXiv 2505.22312, and its training scripts: target 0.2 nats,
coefficient from 0, in [0, 0.005], 1e-4 a rollout. While the bonus is off, the coefficient is kept
and goes down by its steps. That a rollout's entropy moves it before that rollout's updates is
inferred from their code. TRL moves it at every optimizer step, by 0.005 up to 1; that is not
followed. Their dynamic sampling is `refills`, 0 here.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.entropy_terms import entropy_bonus
from papo_jax.methods.objectives import Objective, Rule, per_token


def moved(
    bonus: jax.Array,
    entropy: jax.Array,
    *,
    entropy_target: float = 0.2,
    bonus_step: float = 1e-4,
    bonus_max: float = 5e-3,
) -> jax.Array:
    """Moves the coefficient: up by a step where entropy is below the target, down where it is not.

    Args:
      bonus: [] the coefficient so far.
      entropy: [] of this rollout, nats; one that is not finite changes nothing.
      entropy_target: nats.
      bonus_step: a rollout's change.
      bonus_max: its bound; the other is 0.

    Returns:
      [] the new coefficient.

    >>> print(
    ...     moved(jnp.array(0.002), jnp.array(0.1)).round(5),
    ...     moved(jnp.array(0.0), jnp.array(0.3)),
    ... )
    0.0021 0.0
    """
    new = jnp.clip(
        bonus + jnp.where(entropy < entropy_target, bonus_step, -bonus_step), 0.0, bonus_max
    )
    return jnp.where(jnp.isfinite(entropy), new, bonus)


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    entropy: jax.Array,
    bonus: jax.Array,
    rollout_entropy: jax.Array,
    entropy_target: float = 0.2,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate with a bonus that is on while the rollout's entropy is below
    the target.

        L = 1/N sum_t -min(r A, clip(r, 1 - low, 1 + high) A) - bonus 1[H < target] H_t

    Args:
      logprob, old_logprob, advantages, mask, entropy, coefficients: [B, T], as in
        `entropy_bonus.objective`.
      bonus: [] the coefficient, from `moved`.
      rollout_entropy: [] mean entropy of the rollout, nats.
      entropy_target: nats.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    return entropy_bonus.objective(
        logprob,
        old_logprob,
        advantages,
        mask,
        entropy=entropy,
        clip_low=clip_low,
        clip_high=clip_high,
        entropy_coefficient=jnp.where(rollout_entropy < entropy_target, bonus, 0.0),
        coefficients=coefficients,
    )


def adaptive_entropy() -> Arguments:
    """Skywork-OR1, He et al. 2025, arXiv 2505.22312: target 0.2 nats, 1e-4 a rollout, at most
    0.005; clip 0.2, token mean."""
    return arguments(
        Rule(objective, per_token),
        bonus_rule=moved,
        entropy_target=0.2,
        bonus_step=1e-4,
        bonus_max=5e-3,
        clip_low=0.2,
        clip_high=0.2,
    )


PRESETS = (adaptive_entropy,)
