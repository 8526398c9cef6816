"""STARE: the most surprising tokens of right answers weigh a little more while entropy is below a
target.

Source: arXiv 2606.19236 (2026) and hp-luo/STARE: x1.1 on the top 10 % by surprisal within A > 0
while the rollout's entropy is below 0.3 nats (O1); `stare_c2` also has x0.9 on the top 10 % within
A < 0. Surprisal is of the current policy. The paper takes the quantile over the batch, as here; its
code over a micro-batch. Clip 0.2 / 0.28, token mean, weights not renormalized; published with one
update a rollout. Without the dual clip that their system adds.
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


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    rollout_entropy: jax.Array,
    entropy_target: float = 0.3,
    surprising_share: float = 0.1,
    right_weight: float = 1.1,
    wrong_weight: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> Objective:
    """Computes the clipped surrogate with weights on surprising tokens.

        w = right_weight on the ceil(share n+) tokens of the highest -log p among the n+ with A > 0,
            wrong_weight on those among the n- with A < 0,  1 elsewhere and wherever H >= target
        L = -1/N sum_t w min(r A, clip(r, 1 - low, 1 + high) A)

    Args:
      logprob, old_logprob, advantages, mask: [B, T] of the whole minibatch.
      draws: [B, T] uniform numbers that belong to the tokens, for equal surprisal.
      rollout_entropy: [] mean entropy H of the rollout under the sampling policy, nats.
      entropy_target: nats; at or above it all weights are 1.
      surprising_share: of the tokens of one sign of A.
      right_weight, wrong_weight: of surprising tokens with A > 0 and A < 0.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    average = per_token(mask)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    loss, clipped, outside = clipped_loss(
        jnp.exp(log_ratio), advantages, 1.0 - clip_low, 1.0 + clip_high
    )
    surprisal = -jax.lax.stop_gradient(logprob)

    def top(side: jax.Array) -> jax.Array:
        return choices.highest(
            surprisal, side, choices.at_least(surprising_share, side.sum()), ties=draws
        )

    right, wrong = top(mask & (advantages > 0)), top(mask & (advantages < 0))
    weights = jnp.where(right, right_weight, jnp.where(wrong, wrong_weight, 1.0))
    weights = jnp.where(rollout_entropy < entropy_target, weights, 1.0)
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=clipped, outside=outside)
    metrics["selected/tokens"] = ((mask & (weights != 1.0)).sum(), 1)
    return Objective(masked_sum(average.coefficients, weights * loss, mask), average.count, metrics)


def stare() -> Arguments:
    """STARE, arXiv 2606.19236, option O1: x1.1 on the top 10 % within A > 0 while H < 0.3 nats;
    clip 0.2 / 0.28, token mean."""
    return arguments(
        Rule(objective, per_token, whole=True),
        entropy_target=0.3,
        surprising_share=0.1,
        right_weight=1.1,
        wrong_weight=1.0,
        clip_low=0.2,
        clip_high=0.28,
    )


def stare_c2() -> Arguments:
    """STARE, arXiv 2606.19236, option C2: also x0.9 on the top 10 % within A < 0."""
    return {**stare(), "wrong_weight": 0.9}


PRESETS = (stare, stare_c2)
