"""KL-Cov: the tokens of the highest covariance between advantage and log-probability are held back
by a penalty.

Source: Cui et al. 2025, arXiv 2505.22617, and PRIME-RL/Entropy-Mechanism-of-RL: the top 0.2 % (7B;
0.02 % for 32B), coefficient 1, no clip anywhere. The share is 0.2 % in the paper's code, 0.02 % in
verl's default and 20 % in SkyRL's. The penalty abs(log r) has no slope where r = 1, so the first,
on-policy minibatch of a rollout feels nothing: at one update a rollout the method is REINFORCE. A
ratio that is off by rounding alone would already have the whole slope, in a direction of chance and
other for every micro-batch; so below 1e-5 in size log r counts as 0 (our choice).
"""

import jax
import jax.numpy as jnp

from papo_jax.methods import draws as choices
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    masked_log_ratio,
    masked_sum,
    per_token,
    ratio_metrics,
)
from papo_jax.methods.signals import centered_product

ROUNDING = 1e-5  # nats; two float32 passes over the same tokens were seen to differ by up to 1e-6


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    draws: jax.Array,
    penalized_share: float = 2e-3,
    penalty: float = 1.0,
) -> Objective:
    """Computes the unclipped surrogate with a penalty on the tokens of the highest covariance.

        Cov_t = (A_t - mean A)(log p(y_t) - mean log p)
        L = 1/N sum_t (-r A + penalty abs(log r) 1[t among the max(1, int(share N)) highest Cov])

    Args:
      logprob, old_logprob, advantages, mask: [B, T] of the whole minibatch.
      draws: [B, T] uniform numbers that belong to the tokens, for equal covariances.
      penalized_share: of all N tokens.
      penalty: the coefficient.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    average = per_token(mask)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    covariance = jax.lax.stop_gradient(centered_product(advantages, logprob, mask))
    held = choices.highest(
        covariance, mask, choices.at_most(penalized_share, average.count), ties=draws
    )
    distance = jnp.where(jnp.abs(log_ratio) > ROUNDING, jnp.abs(log_ratio), 0.0)
    loss = -jnp.exp(log_ratio) * advantages + jnp.where(held, penalty * distance, 0.0)
    nowhere = jnp.zeros(mask.shape, bool)
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=nowhere, outside=nowhere)
    metrics["selected/tokens"] = (held.sum(), 1)
    return Objective(masked_sum(average.coefficients, loss, mask), average.count, metrics)


def kl_cov() -> Arguments:
    """KL-Cov, Cui et al. 2025, arXiv 2505.22617: the top 0.2 % of the tokens, coefficient 1, no
    clip, token mean."""
    return arguments(Rule(objective, per_token, whole=True), penalized_share=2e-3, penalty=1.0)


PRESETS = (kl_cov,)
