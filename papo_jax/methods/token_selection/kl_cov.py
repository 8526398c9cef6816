"""KL-Cov: a penalty on the tokens of the highest covariance of A and log p.

Source: Cui et al. 2025, arXiv 2505.22617, and PRIME-RL/Entropy-Mechanism-of-RL: the top 0.2 % (7B;
0.02 % for 32B), coefficient 1, no clip anywhere. The share is 0.2 % in the paper's code, 0.02 % in
verl's default and 20 % in SkyRL's. The penalty abs(log r) has no slope where r = 1, so the first,
on-policy minibatch of a rollout feels nothing: at one update a rollout the method is REINFORCE. A
ratio that is off by rounding alone would already have the whole slope, in a direction of chance and
other for every micro-batch; so below 1e-5 in size log r counts as 0 (our choice).
"""

import jax
import jax.numpy as jnp

from papo_jax.methods import token_random
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
from papo_jax.methods.signals import centered_product
from papo_jax.methods.token_batch import TokenBatch

ROUNDING = 1e-5  # nats; two float32 passes over the same tokens were seen to differ by up to 1e-6


def kl_cov_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    penalized_share: float = 2e-3,
    penalty: float = 1.0,
) -> LossSum:
    """Computes the unclipped surrogate with a penalty on the tokens of the highest covariance.

        Cov_t = (A_t - mean A)(log p(y_t) - mean log p)
        L = 1/N sum_t (-r A + penalty abs(log r) 1[t among the max(1, int(share N)) highest Cov])

    Args:
      tokens: `TokenBatch` of the whole minibatch, with `token_uniforms`, for equal covariances.
      reduction: `token_mean`.
      penalized_share: of all N tokens.
      penalty: the coefficient.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    mask, weighted = tokens.mask, tokens.weighted_advantages
    log_ratio = masked_log_ratio(tokens)
    covariance = jax.lax.stop_gradient(centered_product(weighted, tokens.logprob, mask))
    penalized = token_random.select_highest(
        covariance,
        mask,
        token_random.count_at_most(penalized_share, reduction.count),
        ties=tokens.token_uniforms,
    )
    distance = jnp.where(jnp.abs(log_ratio) > ROUNDING, jnp.abs(log_ratio), 0.0)
    ratio, held = bounded_ratio(log_ratio, tokens)
    loss = -ratio * weighted + jnp.where(penalized, penalty * distance, 0.0)
    metrics = ratio_metrics(
        log_ratio, tokens, zeroed=held & ~penalized, outside=jnp.zeros_like(held)
    )
    metrics["selected/tokens"] = (penalized.sum(), 1)
    return LossSum(masked_sum(reduction, loss, mask), reduction.count, metrics)


def kl_cov() -> Method:
    """KL-Cov, Cui et al. 2025, arXiv 2505.22617: the top 0.2 % of the tokens, coefficient 1."""
    return Method(
        Objective(kl_cov_loss, token_mean, needs_full_minibatch=True, needs_token_uniforms=True)
    )


PRESETS = (kl_cov,)
