"""BAPO: clip bounds that move until tokens with A > 0 have their share of the loss.

Source: arXiv 2510.18927 (2025) and WooooDyy/BAPO. The paper raises c_high, then c_low, until
positive tokens have the share rho = 0.4 of the loss (0.5 by its repository's README), with c_low
0.6 to 0.9 and c_high 1.2 to 3.0. Its code raises c_low first and compares positive with negative:
0.5 in its script, 1 in its yaml, with other bounds and steps (the script: 0.8 to 0.95 by 0.05, 1.2
to 2.0 by 0.1). `bapo_code` has the code's order and the script's 0.5 under the paper's bounds; 0.05
is the yaml's step, here for both bounds of both presets. Shares are over the whole minibatch at the
current policy (a micro-batch in the code). Without the dual clip that their system adds.
Where no bounds reach the share, the last ones are used: both at their upper ends. Raising c_low
never helps to reach it, since max(r, c_low) only grows: c_low acts through what it cuts. Without
effect at one update a rollout, where every ratio is 1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

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


def bapo_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    positive_ratio: float = 2 / 3,
    low_first: bool = False,
    low_min: float = 0.6,
    low_max: float = 0.9,
    high_min: float = 1.2,
    high_max: float = 3.0,
    bound_step: float = 0.05,
) -> LossSum:
    """Computes the clipped surrogate under the first bounds that give A > 0 its share of the loss.

        positive(c_high) = sum_{A > 0} min(r, c_high) A
        negative(c_low) = sum_{A < 0} max(r, c_low) abs(A)
        L = -1/N sum_t min(r A, clip(r, c_low, c_high) A)
            at the first bounds with positive >= positive_ratio negative

    Args:
      tokens: `TokenBatch` of the whole minibatch.
      reduction: `token_mean`.
      positive_ratio: positive over negative; rho / (1 - rho) for a share rho.
      low_first: move c_low before c_high.
      low_min, low_max, high_min, high_max: the bounds' ranges, of the ratio itself.
      bound_step: by which one of them is moved at a time.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    mask, weighted = tokens.mask, tokens.weighted_advantages
    log_ratio = masked_log_ratio(tokens)
    ratio, held = bounded_ratio(log_ratio, tokens)
    lows, highs = _bound_path(low_first, low_min, low_max, high_min, high_max, bound_step)
    fixed_ratio = jax.lax.stop_gradient(ratio)

    def loss_of_sign(values, sign):
        return jnp.where(mask & (sign * weighted > 0), values * jnp.abs(weighted), 0.0).sum()

    # The first pair of bounds at which tokens with A > 0 have their share, else the last pair.
    positive = jax.lax.map(lambda high: loss_of_sign(jnp.minimum(fixed_ratio, high), 1.0), highs)
    negative = jax.lax.map(lambda low: loss_of_sign(jnp.maximum(fixed_ratio, low), -1.0), lows)
    reached = positive >= positive_ratio * negative
    chosen = jnp.where(reached.any(), reached.argmax(), lows.size - 1)
    low, high = lows[chosen], highs[chosen]

    loss, clipped, outside = clipped_loss(ratio, weighted, low, high)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=clipped | held, outside=outside)
    metrics |= {"bounds/low": (low, 1), "bounds/high": (high, 1)}
    return LossSum(masked_sum(reduction, loss, mask), reduction.count, metrics)


def _bound_path(low_first, low_min, low_max, high_min, high_max, step) -> list[jax.Array]:
    """Lists the bounds in the order in which they are tried: one to its end, then the other."""
    lows = np.append(np.arange(low_min, low_max - step / 2, step), low_max)
    highs = np.append(np.arange(high_min, high_max - step / 2, step), high_max)
    if low_first:
        pairs = [(low, highs[0]) for low in lows] + [(lows[-1], high) for high in highs[1:]]
    else:
        pairs = [(lows[0], high) for high in highs] + [(low, highs[-1]) for low in lows[1:]]
    return [jnp.asarray(bounds) for bounds in np.array(pairs, np.float32).T]


def bapo() -> Method:
    """BAPO, arXiv 2510.18927, as in the paper: c_high first, positive share 0.4."""
    return Method(Objective(bapo_loss, token_mean, needs_full_minibatch=True))


def bapo_code() -> Method:
    """BAPO with its code's order, c_low first, its script's 0.5, and the paper's bounds."""
    loss = functools.partial(bapo_loss, positive_ratio=0.5, low_first=True)
    return Method(Objective(loss, token_mean, needs_full_minibatch=True))


PRESETS = (bapo, bapo_code)
