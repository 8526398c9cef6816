"""STARE: surprising tokens of right answers weigh more while entropy is below a target.

Source: arXiv 2606.19236 (2026) and hp-luo/STARE: x1.1 on the top 10 % by surprisal within A > 0
while the rollout's entropy is below 0.3 nats (O1); `stare_c2` also has x0.9 on the top 10 % within
A < 0. Surprisal is of the current policy. The paper takes the quantile over the batch, as here; its
code over a micro-batch. Clip 0.2 / 0.28, token mean, weights not renormalized; published with one
update a rollout. Without the dual clip that their system adds.
"""

import functools

import jax
import jax.numpy as jnp

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
from papo_jax.methods.token_batch import TokenBatch


def stare_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    entropy_target: float = 0.3,
    surprising_share: float = 0.1,
    right_weight: float = 1.1,
    wrong_weight: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> LossSum:
    """Computes the clipped surrogate with weights on surprising tokens.

        w = right_weight on the ceil(share n+) tokens of the highest -log p among the n+ with A > 0,
            wrong_weight on those among the n- with A < 0,  1 elsewhere and wherever H >= target
        L = -1/N sum_t w min(r A, clip(r, 1 - low, 1 + high) A)

    Args:
      tokens: `TokenBatch` of the whole minibatch, with `token_uniforms`, for equal surprisal, and
        `rollout_entropy` (H).
      reduction: `token_mean`.
      entropy_target: nats; at or above it all weights are 1.
      surprising_share: of the tokens of one sign of A.
      right_weight, wrong_weight: of surprising tokens with A > 0 and A < 0.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    mask, weighted = tokens.mask, tokens.weighted_advantages
    log_ratio = masked_log_ratio(tokens)
    ratio, held = bounded_ratio(log_ratio, tokens)
    loss, clipped, outside = clipped_loss(ratio, weighted, 1.0 - clip_low, 1.0 + clip_high)
    surprisal = -jax.lax.stop_gradient(tokens.logprob)

    def select_surprising(side: jax.Array) -> jax.Array:
        count = token_random.count_at_least(surprising_share, side.sum())
        return token_random.select_highest(surprisal, side, count, ties=tokens.token_uniforms)

    right = select_surprising(mask & (weighted > 0))
    wrong = select_surprising(mask & (weighted < 0))
    weights = jnp.where(right, right_weight, jnp.where(wrong, wrong_weight, 1.0))
    weights = jnp.where(tokens.rollout_entropy < entropy_target, weights, 1.0)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=clipped | held, outside=outside)
    metrics["selected/tokens"] = ((mask & (weights != 1.0)).sum(), 1)
    return LossSum(masked_sum(reduction, weights * loss, mask), reduction.count, metrics)


OBJECTIVE = Objective(stare_loss, token_mean, needs_full_minibatch=True, needs_token_uniforms=True)


def stare() -> Method:
    """STARE, arXiv 2606.19236, option O1: x1.1 on the top 10 % within A > 0 while H < 0.3 nats."""
    return Method(OBJECTIVE)


def stare_c2() -> Method:
    """STARE, arXiv 2606.19236, option C2: also x0.9 on the top 10 % within A < 0."""
    return Method(OBJECTIVE._replace(loss=functools.partial(stare_loss, wrong_weight=0.9)))


PRESETS = (stare, stare_c2)
