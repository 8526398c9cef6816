"""PSR, NSR and W-REINFORCE: right answers alone, wrong ones alone, or both unequally.

Source: Zhu et al. 2025, arXiv 2506.01347, and TianHongZXY/RLVR-Decomposed. The text says
REINFORCE; the code clips the ratio at 0.2 and takes a mean over tokens, and the code is followed.
There is no baseline. PSR and NSR drop the other answers before minibatches are made, so
denominators and the number of updates shrink. Two things differ from the code: there the last,
partial minibatch counts for less, here it has its own denominator; and an entropy bonus of 1e-3,
which is on by default there, is off here. Published: batch 1,024, minibatch 256, G 8.
"""

import functools

import jax

from papo_jax.methods import advantages
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, clipped_surrogate, token_mean
from papo_jax.methods.token_batch import SampledTokens


def zero_advantage(tokens: SampledTokens) -> jax.Array:
    """Returns the tokens with A = 0, [B, T]: answers that PSR (wrong) and NSR (right) leave out."""
    return tokens.mask & (tokens.advantages == 0)


def _signed_method(right: float, wrong: float, *, drop: bool) -> Method:
    return Method(
        Objective(functools.partial(clipped_surrogate, clip_high=0.2), token_mean),
        advantage_rule=functools.partial(advantages.signed, right=right, wrong=wrong),
        dropped_token_rule=zero_advantage if drop else None,
        pack=drop,
    )


def psr() -> Method:
    """Positive sample reinforcement, arXiv 2506.01347: A = 1 if right; wrong ones are dropped."""
    return _signed_method(1.0, 0.0, drop=True)


def nsr() -> Method:
    """Negative sample reinforcement, arXiv 2506.01347: A = -1 if wrong; right ones are dropped."""
    return _signed_method(0.0, 1.0, drop=True)


def w_reinforce() -> Method:
    """Weighted REINFORCE, arXiv 2506.01347: A = 0.1 if right and -1 if wrong; none is dropped."""
    return _signed_method(0.1, 1.0, drop=False)


PRESETS = (psr, nsr, w_reinforce)
