"""STEER: every token's loss is damped by the size of its expected change of entropy.

Source: arXiv 2510.10150 (2025) and zz-haooo/STEER: lam_min 0.8 in the released script (0.7 in the
paper's fourth version, by a replication's account), clip 0.2 / 0.28, token mean. Omega and the
largest abs(Omega) are of the current policy; the largest is over the whole minibatch here, over a
micro-batch in their code. Without the dual clip that their system adds.
"""

import jax
import jax.numpy as jnp

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


def steer_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    damping_min: float = 0.8,
    omega_floor: float = 0.02,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> LossSum:
    """Computes the clipped surrogate, damped token by token.

        Omega = (A / p_old) p (1 - p)(log p + H)
        w = exp(-k abs(Omega)),   k = -ln(damping_min) / max(max abs(Omega), omega_floor)
        L = -1/N sum_t w min(r A, clip(r, 1 - low, 1 + high) A)

    Args:
      tokens: `TokenBatch` of the whole minibatch, with `entropy`.
      reduction: `token_mean`.
      damping_min: the weight of the token that changes entropy most.
      omega_floor: below this the largest abs(Omega) counts as this.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    log_ratio = masked_log_ratio(tokens)
    ratio, held = bounded_ratio(log_ratio, tokens)
    loss, clipped, outside = clipped_loss(
        ratio, tokens.weighted_advantages, 1.0 - clip_low, 1.0 + clip_high
    )
    weights = damping_weights(tokens, ratio, damping_min, omega_floor)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=clipped | held, outside=outside)
    return LossSum(masked_sum(reduction, weights * loss, tokens.mask), reduction.count, metrics)


def damping_weights(
    tokens: TokenBatch, ratio: jax.Array, damping_min: float, omega_floor: float
) -> jax.Array:
    """Computes the weights of `steer_loss`, [B, T] in [damping_min, 1], without gradient."""
    mask, logprob = tokens.mask, tokens.logprob
    probability = jnp.exp(jnp.where(mask, logprob, 0.0))
    # p / p_old is the ratio, which does not overflow where p_old underflows.
    omega = tokens.weighted_advantages * ratio * (1.0 - probability)
    omega = omega * (logprob + tokens.entropy)
    size = jnp.where(mask, jnp.abs(omega), 0.0)
    rate = -jnp.log(damping_min) / jnp.maximum(size.max(), omega_floor)
    return jax.lax.stop_gradient(jnp.exp(-rate * size))


def steer() -> Method:
    """STEER, arXiv 2510.10150, with the released script's lam_min 0.8; clip 0.2 / 0.28."""
    return Method(Objective(steer_loss, token_mean, needs_full_minibatch=True))


PRESETS = (steer,)
