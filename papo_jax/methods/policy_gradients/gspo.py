"""GSPO: one importance ratio for a whole answer.

Source: Zheng et al. 2025, arXiv 2507.18071. Settings: clip 3e-4 / 4e-4, four minibatches a rollout,
no KL term. verl's form (detached ratio times exp(log p - sg log p)) and TRL's (the ratio's own
gradient) are the same gradient for an advantage that is one for the answer; under token weights
they differ, and the first is followed. A mean of log ratios is
small: left at verl's 0.2, the clip would hardly ever act.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    clipped_loss,
    masked_log_ratio,
    masked_sum,
    per_answer,
    ratio_metrics,
)


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> Objective:
    """Computes the surrogate clipped by answer.

        s_i = exp(1/|o_i| sum_t log r_t),   s_t = sg(s_i) p(y_t) / sg(p(y_t))
        L = -1/B sum_i 1/|o_i| sum_t min(s_t A, clip(s_t, 1 - low, 1 + high) A)

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      clip_low, clip_high: the range of s is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is the number of answers.
    """
    average = per_answer(mask)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    of_answer = (average.coefficients * log_ratio).sum(axis=1, keepdims=True)
    of_token = masked_log_ratio(logprob, jax.lax.stop_gradient(logprob), mask)
    ratio = jnp.exp(jax.lax.stop_gradient(of_answer) + of_token)
    loss, zeroed, outside = clipped_loss(ratio, advantages, 1.0 - clip_low, 1.0 + clip_high)
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=zeroed, outside=outside)
    return Objective(masked_sum(average.coefficients, loss, mask), average.count, metrics)


def gspo() -> Arguments:
    """GSPO, Zheng et al. 2025, arXiv 2507.18071: the answer's ratio, clipped at 3e-4 / 4e-4, mean
    over answers."""
    return arguments(Rule(objective, per_answer, whole=True), clip_low=3e-4, clip_high=4e-4)


PRESETS = (gspo,)
