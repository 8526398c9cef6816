"""CE-GPPO: tokens outside the clip range keep a gradient, of a bounded size.

Source: arXiv 2509.20712 (2025), equation 8, and Kwai-Klear/CE-GPPO: beta1 0.75 (7B; 0.5 for 1.5B),
beta2 1, clip 0.2, token mean. Its prose swaps the two betas; the equation is followed, where beta1
acts on A < 0 and beta2 on A > 0. The dual clip at 10 is in the code and not in the paper; it is
kept. At one update a rollout the ratio is 1 and this is PPO.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    masked_log_ratio,
    masked_sum,
    per_token,
    ratio_metrics,
    with_coefficients,
)


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    below_beta: float = 0.75,
    above_beta: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 10.0,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the surrogate whose clipped tokens pass a bounded gradient on.

        l = beta1 (1 - low) / sg(r) r A     where A < 0 and r < 1 - low
            beta2 (1 + high) / sg(r) r A    where A > 0 and r > 1 + high
            r A                             elsewhere; where A < 0, not below dual_clip A
        L = -1/N sum_t l

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      below_beta, above_beta: beta1 and beta2.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      dual_clip: above this ratio a token with A < 0 has no gradient.
      coefficients: [B, T] of the token losses; None for `per_token`.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    average = with_coefficients(per_token(mask), coefficients)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    ratio, low, high = jnp.exp(log_ratio), 1.0 - clip_low, 1.0 + clip_high
    unit = jnp.exp(
        log_ratio - jax.lax.stop_gradient(log_ratio)
    )  # 1, with the ratio's relative slope
    below, above = (advantages < 0) & (ratio < low), (advantages > 0) & (ratio > high)
    passed = jnp.where(
        below, below_beta * low * unit, jnp.where(above, above_beta * high * unit, ratio)
    )
    cut = (advantages < 0) & (ratio > dual_clip)
    loss = -jnp.where(cut, dual_clip, passed) * advantages
    metrics = ratio_metrics(
        log_ratio, advantages, mask, zeroed=cut, outside=(ratio < low) | (ratio > high)
    )
    return Objective(masked_sum(average.coefficients, loss, mask), average.count, metrics)


def ce_gppo() -> Arguments:
    """CE-GPPO, arXiv 2509.20712: beta 0.75 and 1, clip 0.2, dual clip 10, token mean."""
    return arguments(
        Rule(objective, per_token),
        below_beta=0.75,
        above_beta=1.0,
        clip_low=0.2,
        clip_high=0.2,
        dual_clip=10.0,
    )


PRESETS = (ce_gppo,)
