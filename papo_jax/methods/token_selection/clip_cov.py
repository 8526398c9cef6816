"""Clip-Cov: a few tokens of high covariance between advantage and log-probability, drawn at random,
lose their gradient.

Source: Cui et al. 2025, arXiv 2505.22617, and PRIME-RL/Entropy-Mechanism-of-RL: a share of 2e-4 of
the tokens from those with 1 < Cov < 5, under the current policy; the ratio clip at 1 / 1, which
only cuts ratios above 2. The paper speaks of the batch, the code takes each micro-batch; here it is
the whole minibatch. The chosen tokens stay in the denominator.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods import draws as choices
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    clipped_loss,
    masked_log_ratio,
    masked_sum,
    per_token,
    ratio_metrics,
)
from papo_jax.methods.signals import centered_product


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    covariance_share: float = 2e-4,
    covariance_low: float = 1.0,
    covariance_high: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
) -> Objective:
    """Computes the clipped surrogate without the tokens that are drawn.

        Cov_t = (A_t - mean A)(log p(y_t) - mean log p)
        drawn: min(eligible, max(1, int(share N))) of those with low < Cov < high that are not
        clipped L = -1/N sum_t 1[not drawn] min(r A, clip(r, 1 - clip_low, 1 + clip_high) A)

    Args:
      logprob, old_logprob, advantages, mask: [B, T] of the whole minibatch.
      draws: [B, T] uniform numbers that belong to the tokens.
      covariance_share: of all N tokens.
      covariance_low, covariance_high: bounds on Cov, exclusive.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    average = per_token(mask)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    loss, clipped, outside = clipped_loss(
        jnp.exp(log_ratio), advantages, 1.0 - clip_low, 1.0 + clip_high
    )
    covariance = jax.lax.stop_gradient(centered_product(advantages, logprob, mask))
    eligible = mask & (covariance > covariance_low) & (covariance < covariance_high) & ~clipped
    drawn = choices.lowest(draws, eligible, choices.at_most(covariance_share, average.count))
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=clipped | drawn, outside=outside)
    metrics["selected/tokens"] = (drawn.sum(), 1)
    return Objective(masked_sum(average.coefficients, loss, mask & ~drawn), average.count, metrics)


def clip_cov() -> Arguments:
    """Clip-Cov, Cui et al. 2025, arXiv 2505.22617: a share of 2e-4 from 1 < Cov < 5, ratio clip 1 /
    1, token mean."""
    return arguments(
        Rule(objective, per_token, whole=True),
        covariance_share=2e-4,
        covariance_low=1.0,
        covariance_high=5.0,
        clip_low=1.0,
        clip_high=1.0,
    )


PRESETS = (clip_cov,)
