"""REINFORCE with a mean or a leave-one-out baseline, and no clip.

Sources: RLOO, Kool et al. 2019 and Ahmadian et al. 2024, arXiv 2402.14740; REINFORCE, Williams
1992. The papers sum over an answer's tokens and make one update a rollout, where the ratio is 1;
with more updates it is kept as an unclipped importance weight (our choice: TRL, verl and OpenRLHF
clip it as PPO does). Without the KL term in the reward.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods import advantages as estimators
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import Average, Objective, Rule, unclipped, with_coefficients


def summed(mask: jax.Array, limit: int | None = None) -> Average:
    """A sum over each answer, a mean over answers: c = 1, count = answers."""
    return Average(mask.astype(jnp.float32), mask.any(axis=1).sum())


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the unclipped surrogate.

        L = -1/B sum_i sum_t r A

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      coefficients: [B, T] of the token losses; None for `summed`.

    Returns:
      `Objective` whose count is the number of answers.
    """
    return unclipped(
        logprob, old_logprob, advantages, mask, with_coefficients(summed(mask), coefficients)
    )


RULE = Rule(objective, summed)


def reinforce() -> Arguments:
    """REINFORCE, Williams 1992, with the group's mean as baseline: no deviation, no clip."""
    return arguments(RULE, advantage=estimators.group_centered)


def rloo() -> Arguments:
    """RLOO, Ahmadian et al. 2024, arXiv 2402.14740: the mean of the group's other rewards as
    baseline, no clip."""
    return arguments(RULE, advantage=estimators.leave_one_out)


PRESETS = (reinforce, rloo)
