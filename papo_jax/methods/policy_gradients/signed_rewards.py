"""PSR, NSR and W-REINFORCE: learning from right answers alone, from wrong ones alone, or from both
with unequal weights.

Source: Zhu et al. 2025, arXiv 2506.01347, and TianHongZXY/RLVR-Decomposed. The text speaks of
REINFORCE; the code clips the ratio at 0.2 and takes a mean over tokens, and the code is followed.
There is no baseline. PSR and NSR drop the other answers before minibatches are made, so
denominators and the number of updates shrink. Two things differ from the code: there the last,
partial minibatch counts for less, here it has its own denominator; and an entropy bonus of 1e-3,
which is on by default there, is off here. Published: batch 1,024, minibatch 256, G 8.
"""

import jax

from papo_jax.methods import advantages as estimators
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import DAPO


def without_advantage(stats, advantages: jax.Array, mask: jax.Array) -> jax.Array:
    """Tells which tokens have A = 0, [B, T]: the answers that PSR (the wrong) and NSR (the right)
    leave out."""
    return mask & (advantages == 0)


def _signed(right: float, wrong: float, **changes) -> Arguments:
    numbers = dict(right=right, wrong=wrong, clip_low=0.2, clip_high=0.2, kl_coefficient=0.0)
    return arguments(DAPO, advantage=estimators.signed, **numbers, **changes)


def psr() -> Arguments:
    """Positive sample reinforcement, arXiv 2506.01347: A = 1 for right answers; wrong ones are
    dropped."""
    return _signed(1.0, 0.0, drop=without_advantage, pack=True)


def nsr() -> Arguments:
    """Negative sample reinforcement, arXiv 2506.01347: A = -1 for wrong answers; right ones are
    dropped."""
    return _signed(0.0, 1.0, drop=without_advantage, pack=True)


def w_reinforce() -> Arguments:
    """Weighted REINFORCE, arXiv 2506.01347: A = 0.1 for right answers and -1 for wrong ones; none
    is dropped."""
    return _signed(0.1, 1.0)


PRESETS = (psr, nsr, w_reinforce)
