"""BAPO: clip bounds that are moved in every minibatch until tokens with A > 0 have their share of
the loss.

Source: arXiv 2510.18927 (2025) and WooooDyy/BAPO. The paper raises c_high, then c_low, until
positive tokens have the share rho = 0.4 of the loss (0.5 by its repository's README), with c_low
0.6 to 0.9 and c_high 1.2 to 3.0. Its code raises c_low first
and compares positive with negative: 0.5 in its script, 1 in its yaml, with other bounds and steps
(the script: 0.8 to 0.95 by 0.05, 1.2 to 2.0 by 0.1). `bapo_code` has the code's order and the
script's 0.5 under the paper's bounds; 0.05 is the yaml's step, here for both bounds of both
presets. Shares are over the whole minibatch at the current policy (a micro-batch in the code).
Without the dual clip that their system adds.
Where no bounds reach the share, the last ones are used: both at their upper ends. Raising c_low
never helps to reach it, since max(r, c_low) only grows: c_low acts through what it cuts. Without
effect at one update a rollout, where every ratio is 1.
"""

import jax
import jax.numpy as jnp
import numpy as np

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
    positive_ratio: float = 2 / 3,
    low_first: bool = False,
    low_min: float = 0.6,
    low_max: float = 0.9,
    high_min: float = 1.2,
    high_max: float = 3.0,
    bound_step: float = 0.05,
) -> Objective:
    """Computes the clipped surrogate under the first bounds that give tokens with A > 0 their
    share.

        positive(c_high) = sum_{A > 0} min(r, c_high) A,   negative(c_low) = sum_{A < 0} max(r, c_low) abs(A)
        L = -1/N sum_t min(r A, clip(r, c_low, c_high) A)  at the first bounds with positive >=
        positive_ratio negative

    Args:
      logprob, old_logprob, advantages, mask: [B, T] of the whole minibatch.
      positive_ratio: positive over negative; rho / (1 - rho) for a share rho.
      low_first: move c_low before c_high.
      low_min, low_max, high_min, high_max: the bounds' ranges, of the ratio itself.
      bound_step: by which one of them is moved at a time.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    average = per_token(mask)
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    ratio = jnp.exp(log_ratio)
    lows, highs = _path(low_first, low_min, low_max, high_min, high_max, bound_step)
    held = jax.lax.stop_gradient(ratio)

    def pressure(values, sign):
        return jnp.where(mask & (sign * advantages > 0), values * jnp.abs(advantages), 0.0).sum()

    positive = jax.lax.map(lambda high: pressure(jnp.minimum(held, high), 1.0), highs)
    negative = jax.lax.map(lambda low: pressure(jnp.maximum(held, low), -1.0), lows)
    reached = positive >= positive_ratio * negative
    chosen = jnp.where(reached.any(), reached.argmax(), lows.size - 1)
    low, high = lows[chosen], highs[chosen]
    loss, clipped, outside = clipped_loss(ratio, advantages, low, high)
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=clipped, outside=outside)
    metrics |= {"bounds/low": (low, 1), "bounds/high": (high, 1)}
    return Objective(masked_sum(average.coefficients, loss, mask), average.count, metrics)


def _path(low_first, low_min, low_max, high_min, high_max, step) -> tuple[jax.Array, jax.Array]:
    """The bounds in the order in which they are tried: one goes to its end, then the other."""
    lows = np.append(np.arange(low_min, low_max - step / 2, step), low_max)
    highs = np.append(np.arange(high_min, high_max - step / 2, step), high_max)
    if low_first:
        pairs = [(low, highs[0]) for low in lows] + [(lows[-1], high) for high in highs[1:]]
    else:
        pairs = [(lows[0], high) for high in highs] + [(low, highs[-1]) for low in lows[1:]]
    return tuple(jnp.asarray(np.array(pairs, np.float32).T))


_RULE = Rule(objective, per_token, whole=True)
_BOUNDS = dict(low_min=0.6, low_max=0.9, high_min=1.2, high_max=3.0, bound_step=0.05)


def bapo() -> Arguments:
    """BAPO, arXiv 2510.18927, as in the paper: c_high first, positive share 0.4, c_low 0.6 to 0.9,
    c_high 1.2 to 3.0."""
    return arguments(_RULE, positive_ratio=2 / 3, low_first=False, **_BOUNDS)


def bapo_code() -> Arguments:
    """BAPO with its code's order, c_low first, and its script's 0.5 of the negative loss; the
    paper's bounds."""
    return arguments(_RULE, positive_ratio=0.5, low_first=True, **_BOUNDS)


PRESETS = (bapo, bapo_code)
