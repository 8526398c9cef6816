"""CISPO: the importance ratio is a bounded, detached weight, so that no token loses its gradient.

Source: MiniMax-M1, 2025, arXiv 2506.13585: no lower bound, an upper bound whose number is not
published. TRL takes weights up to 5, an absolute bound, as ScaleRL did; that is followed here.
(Where TRL's epsilon_high is not set, it bounds every weight by 0.2.) verl bounds them by 1 - 0.2
and 1 + 0.2: weight_low = 0.8, weight_high = 1.2.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    masked_log_ratio,
    masked_sum,
    per_token,
    ratio_metrics,
    with_coefficients,
)


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    weight_low: float = 0.0,
    weight_high: float = 5.0,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the weighted log-likelihood. Only its gradient means anything: the value need not
    fall with training.

        L = -1/N sum_t sg(clip(r, weight_low, weight_high)) A log p(y_t)

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      weight_low, weight_high: bounds on the ratio itself.
      coefficients: [B, T] of the token losses; None for `per_token`.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    average = with_coefficients(per_token(mask), coefficients)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    ratio = jnp.exp(log_ratio)
    pull = jax.lax.stop_gradient(
        jnp.where(mask, jnp.clip(ratio, weight_low, weight_high) * advantages, 0.0)
    )
    outside = (ratio < weight_low) | (ratio > weight_high)
    metrics = ratio_metrics(
        log_ratio, advantages, mask, zeroed=jnp.zeros(mask.shape, bool), outside=outside
    )
    return Objective(
        masked_sum(average.coefficients, -pull * logprob, mask), average.count, metrics
    )


def cispo() -> Arguments:
    """CISPO, MiniMax 2025, arXiv 2506.13585, with TRL's bounds: weights up to 5, none below; token
    mean."""
    return arguments(Rule(objective, per_token), weight_low=0.0, weight_high=5.0)


PRESETS = (cispo,)
