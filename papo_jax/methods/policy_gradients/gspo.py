"""GSPO: one importance ratio for a whole answer.

Source: Zheng et al. 2025, arXiv 2507.18071. Settings: clip 3e-4 / 4e-4, four minibatches a rollout,
no KL term. verl's form (the detached ratio times exp(log p - sg log p)) and TRL's (the ratio with
its own gradient) have the same gradient if all tokens of an answer have one advantage. Under token
weights they differ, and verl's is followed. A mean of log ratios is small: left at verl's 0.2, the
clip would hardly ever act.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    answer_mean,
    bounded_ratio,
    clipped_loss,
    hold_log_ratio,
    masked_log_ratio,
    masked_sum,
    ratio_metrics,
)
from papo_jax.methods.token_batch import TokenBatch


def gspo_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> LossSum:
    """Computes the surrogate clipped by answer.

        s_i = exp(1/|o_i| sum_t log r_t),   s_t = sg(s_i) p(y_t) / sg(p(y_t))
        L = -1/B sum_i 1/|o_i| sum_t min(s_t A, clip(s_t, 1 - low, 1 + high) A)

    Args:
      tokens: `TokenBatch` of whole answers.
      reduction: `answer_mean`.
      clip_low, clip_high: the range of s is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of answers.
    """
    mask, logprob = tokens.mask, tokens.logprob
    log_ratio = masked_log_ratio(tokens)
    # Held token by token, so that one of them cannot be the whole mean.
    answer_log_ratio = (reduction.token_weights * hold_log_ratio(log_ratio)[0]).sum(
        axis=1, keepdims=True
    )
    # Zero, with the slope of the token's own log-probability.
    own_slope = jnp.where(mask, logprob - jax.lax.stop_gradient(logprob), 0.0)
    ratio, held = bounded_ratio(jax.lax.stop_gradient(answer_log_ratio) + own_slope, tokens)
    loss, clipped, outside = clipped_loss(
        ratio, tokens.weighted_advantages, 1.0 - clip_low, 1.0 + clip_high
    )
    metrics = ratio_metrics(log_ratio, tokens, zeroed=clipped | held, outside=outside)
    return LossSum(masked_sum(reduction, loss, mask), reduction.count, metrics)


def gspo() -> Method:
    """GSPO, Zheng et al. 2025, arXiv 2507.18071: the answer's ratio, clipped at 3e-4 / 4e-4."""
    return Method(Objective(gspo_loss, answer_mean, needs_full_minibatch=True))


PRESETS = (gspo,)
