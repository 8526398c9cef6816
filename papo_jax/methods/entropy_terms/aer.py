"""AER: an entropy bonus that is larger on hard prompts, and that keeps entropy near a share of
where it began.

Source: arXiv 2510.10959 (2025); its text and code could not be read. Known: a coefficient by
difficulty, a target anchored to the initial entropy with a share near 0.4, and a global coefficient
that follows it. All formulas below are ours, and all numbers but that share; they stand on GRPO's
advantages with clip 0.2 and a mean over tokens.
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
    initial_entropy: jax.Array,
    target_share: float = 0.4,
    bonus_gain: float = 1e-3,
    bonus_max: float = 1e-2,
) -> jax.Array:
    """Moves the coefficient in proportion to how far entropy is below its target.

        bonus <- clip(bonus + gain (share H_0 - H), 0, max)

    Args:
      bonus: [] the coefficient so far.
      entropy: [] H of this rollout, nats; one that is not finite changes nothing.
      initial_entropy: [] H_0 of the first rollouts, nats.
      target_share: of H_0.
      bonus_gain: change of the coefficient in a rollout that is a nat below the target.
      bonus_max: bound on the coefficient.

    Returns:
      [] the new coefficient.

    >>> print(
    ...     moved(
    ...         jnp.array(0.001), jnp.array(0.3), initial_entropy=jnp.array(1.0)
    ...     ).round(5)
    ... )
    0.0011
    """
    new = jnp.clip(bonus + bonus_gain * (target_share * initial_entropy - entropy), 0.0, bonus_max)
    return jnp.where(jnp.isfinite(entropy), new, bonus)


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    entropy: jax.Array,
    accuracy: jax.Array,
    bonus: jax.Array,
    hard_below: float = 0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate with a bonus that grows as the prompt gets harder.

        L = 1/N sum_t -min(r A, clip(r, 1 - low, 1 + high) A) - bonus clip((hard_below - accuracy) /
        hard_below, 0, 1) H_t

    Args:
      logprob, old_logprob, advantages, mask, entropy, coefficients: [B, T], as in
        `entropy_bonus.objective`.
      accuracy: [B, T] the share of right answers among the samples of the token's prompt.
      bonus: [] the coefficient, from `moved`.
      hard_below: the accuracy from which on there is no bonus.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    difficulty = jnp.clip((hard_below - accuracy) / hard_below, 0.0, 1.0)
    return entropy_bonus.objective(
        logprob,
        old_logprob,
        advantages,
        mask,
        entropy=entropy,
        entropy_coefficient=bonus * difficulty,
        clip_low=clip_low,
        clip_high=clip_high,
        coefficients=coefficients,
    )


def aer() -> Arguments:
    """AER, arXiv 2510.10959, in our reading: target 0.4 H_0, bonus up to 0.01 where under half of
    the answers are right."""
    return arguments(
        Rule(objective, per_token),
        bonus_rule=moved,
        target_share=0.4,
        bonus_gain=1e-3,
        bonus_max=1e-2,
        hard_below=0.5,
        clip_low=0.2,
        clip_high=0.2,
    )


PRESETS = (aer,)
