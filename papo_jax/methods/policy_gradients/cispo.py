"""CISPO: the importance ratio is a bounded, detached weight, so that no token loses its gradient.

Source: MiniMax-M1, 2025, arXiv 2506.13585: no lower bound, an upper bound whose number is not
published. TRL takes weights up to 5, an absolute bound, as ScaleRL did; that is followed here.
(Where TRL's epsilon_high is not set, it bounds every weight by 0.2.) verl bounds them by 1 - 0.2
and 1 + 0.2: weight_low = 0.8, weight_high = 1.2.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    bounded_ratio,
    masked_log_ratio,
    masked_sum,
    ratio_metrics,
    token_mean,
)
from papo_jax.methods.token_batch import TokenBatch


def cispo_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    weight_low: float = 0.0,
    weight_high: float = 5.0,
) -> LossSum:
    """Computes the weighted log-likelihood; only its gradient means anything.

        L = -1/N sum_t sg(clip(r, weight_low, weight_high)) A log p(y_t)

    The value need not fall with training.

    Args:
      tokens: `TokenBatch`.
      reduction: `token_mean`.
      weight_low, weight_high: bounds on the ratio itself.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    mask, log_ratio = tokens.mask, masked_log_ratio(tokens)
    ratio, _ = bounded_ratio(log_ratio, tokens)  # a weight: held, it still pulls
    pull = jnp.clip(ratio, weight_low, weight_high) * tokens.weighted_advantages
    pull = jax.lax.stop_gradient(jnp.where(mask, pull, 0.0))
    outside = (ratio < weight_low) | (ratio > weight_high)
    nowhere = jnp.zeros(mask.shape, bool)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=nowhere, outside=outside)
    return LossSum(masked_sum(reduction, -pull * tokens.logprob, mask), reduction.count, metrics)


def cispo() -> Method:
    """CISPO, MiniMax 2025, arXiv 2506.13585, with TRL's bounds: weights up to 5, none below."""
    return Method(Objective(cispo_loss, token_mean))


PRESETS = (cispo,)
