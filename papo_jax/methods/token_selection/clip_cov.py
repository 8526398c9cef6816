"""Clip-Cov: a few random tokens of high covariance of A and log p lose their gradient.

Source: Cui et al. 2025, arXiv 2505.22617, and PRIME-RL/Entropy-Mechanism-of-RL: a share of 2e-4 of
all tokens, drawn from those with 1 < Cov < 5 under the current policy; the ratio clip at 1 / 1,
which only cuts ratios above 2. The paper takes means and shares over the batch, its code over each
micro-batch; here they are over the whole minibatch. The drawn tokens stay in the denominator.
"""

import jax

from papo_jax.methods import token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    bounded_ratio,
    clipped_loss,
    masked_log_ratio,
    masked_sum,
    ratio_metrics,
    token_mean,
)
from papo_jax.methods.signals import centered_product
from papo_jax.methods.token_batch import TokenBatch


def clip_cov_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    covariance_share: float = 2e-4,
    covariance_low: float = 1.0,
    covariance_high: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
) -> LossSum:
    """Computes the clipped surrogate without a random few tokens of high covariance.

        Cov_t = (A_t - mean A)(log p(y_t) - mean log p)
        drawn: max(1, int(share N)) of the tokens with low < Cov < high that are not clipped, or all
        L = -1/N sum_t 1[not drawn] min(r A, clip(r, 1 - clip_low, 1 + clip_high) A)

    Args:
      tokens: `TokenBatch` of the whole minibatch, with `token_uniforms`.
      reduction: `token_mean`.
      covariance_share: of all N tokens.
      covariance_low, covariance_high: bounds on Cov, exclusive.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    mask, weighted = tokens.mask, tokens.weighted_advantages
    log_ratio = masked_log_ratio(tokens)
    ratio, held = bounded_ratio(log_ratio, tokens)
    loss, clipped, outside = clipped_loss(ratio, weighted, 1.0 - clip_low, 1.0 + clip_high)
    clipped |= held
    covariance = jax.lax.stop_gradient(centered_product(weighted, tokens.logprob, mask))
    inside = (covariance > covariance_low) & (covariance < covariance_high)
    drawn = token_random.select_lowest(
        tokens.token_uniforms,
        mask & inside & ~clipped,
        token_random.count_at_most(covariance_share, reduction.count),
    )
    metrics = ratio_metrics(log_ratio, tokens, zeroed=clipped | drawn, outside=outside)
    metrics["selected/tokens"] = (drawn.sum(), 1)
    return LossSum(masked_sum(reduction, loss, mask & ~drawn), reduction.count, metrics)


def clip_cov() -> Method:
    """Clip-Cov, Cui et al. 2025, arXiv 2505.22617: a share of 2e-4 from 1 < Cov < 5, clip 1 / 1."""
    return Method(
        Objective(clip_cov_loss, token_mean, needs_full_minibatch=True, needs_token_uniforms=True)
    )


PRESETS = (clip_cov,)
