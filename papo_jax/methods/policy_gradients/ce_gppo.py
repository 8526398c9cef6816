"""CE-GPPO: tokens outside the clip range keep a gradient, of a bounded size.

Source: arXiv 2509.20712 (2025), equation 8, and Kwai-Klear/CE-GPPO: beta1 0.75 (7B; 0.5 for 1.5B),
beta2 1, clip 0.2, token mean. Its prose swaps the two betas; the equation is followed, where beta1
acts on A < 0 and beta2 on A > 0. The dual clip at 10 is in the code and not in the paper; it is
kept. At one update a rollout the ratio is 1 and this is PPO.
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


def ce_gppo_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    below_beta: float = 0.75,
    above_beta: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> LossSum:
    """Computes the surrogate whose clipped tokens pass a bounded gradient on.

        l = beta1 (1 - low) / sg(r) r A     where A < 0 and r < 1 - low
            beta2 (1 + high) / sg(r) r A    where A > 0 and r > 1 + high
            r A                             elsewhere
        L = -1/N sum_t l

    Args:
      tokens: `TokenBatch`.
      reduction: `token_mean`.
      below_beta, above_beta: beta1 and beta2.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    weighted, log_ratio = tokens.weighted_advantages, masked_log_ratio(tokens)
    (ratio, held), low, high = bounded_ratio(log_ratio, tokens), 1.0 - clip_low, 1.0 + clip_high
    # 1, with the ratio's relative slope.
    unit = jnp.exp(log_ratio - jax.lax.stop_gradient(log_ratio))
    below, above = (weighted < 0) & (ratio < low), (weighted > 0) & (ratio > high)
    passed = jnp.where(
        below, below_beta * low * unit, jnp.where(above, above_beta * high * unit, ratio)
    )
    outside = (ratio < low) | (ratio > high)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=held & ~below & ~above, outside=outside)
    return LossSum(masked_sum(reduction, -passed * weighted, tokens.mask), reduction.count, metrics)


def ce_gppo() -> Method:
    """CE-GPPO, arXiv 2509.20712: beta 0.75 and 1, clip 0.2, dual clip 10, token mean."""
    return Method(Objective(ce_gppo_loss, token_mean), dual_clip=10.0)


PRESETS = (ce_gppo,)
