"""QAE: the group's K-quantile as the baseline, so that most answers get no advantage.

Source: arXiv 2509.22611 (2025) and junkangwu/QAE: K 0.4 in DAPO's recipe; the division by the
deviation stays. The paper's quantile, the smallest reward that at least a share K of the group does
not exceed, is followed. Its code interpolates between rewards, which gives another baseline in some
groups: with three wrong of G = 8 it is 0.8, and not 1.
"""

import chex
import jax
import jax.numpy as jnp

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import DAPO


def quantile_baseline(
    rewards: jax.Array, *, quantile: float = 0.4, epsilon: float = 1e-6
) -> jax.Array:
    """Subtracts each group's K-quantile and divides by the group's standard deviation.

        A[n, g] = (R[n, g] - b_n) / (std_g R[n] + epsilon)
        b_n = inf {x : share of R[n] <= x is at least K}

    For rewards 0 and 1: b = 0 where at least ceil(K G) are wrong, so that only right answers act,
    and 1 otherwise, so that only wrong ones do.

    Args:
      rewards: [N, G].
      quantile: K in (0, 1].
      epsilon: added to the standard deviation, in the unit of the rewards.

    Returns:
      [N, G] advantages; exact zeros where a group's rewards are all equal.

    >>> print(quantile_baseline(jnp.array([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])).round(3))
    [[ 2.309  0.     0.     0.   ]
     [ 0.     0.     0.    -2.309]]
    """
    chex.assert_rank(rewards, 2)
    # A hair less, so that 0.4 x 5 in float32 is 2.
    order = jnp.clip(jnp.ceil(quantile * rewards.shape[1] - 1e-4), 1, rewards.shape[1]).astype(
        jnp.int32
    )
    baseline = jnp.take(jnp.sort(rewards, axis=1), order - 1, axis=1)[:, None]
    centered = (rewards - baseline) / (rewards.std(axis=1, keepdims=True) + epsilon)
    return jnp.where((rewards == rewards[:, :1]).all(axis=1, keepdims=True), 0.0, centered)


def qae() -> Method:
    """QAE, arXiv 2509.22611: the 0.4-quantile as baseline, over DAPO's loss alone.

    Its dynamic sampling and length penalty are off.
    """
    return Method(DAPO, advantage_rule=quantile_baseline)


PRESETS = (qae,)
