"""clip-low: a tighter lower clip, which sooner stops pushing the tokens of wrong answers down.

Source: arXiv 2509.26114 (2025): in PPO's clip the lower bound, which acts on A < 0, raises entropy,
and the upper one lowers it, so a tighter lower bound is the remedy. Its tuned numbers and its code
could not be found; 0.1 below and 0.2 above are ours. At one update a rollout the ratio is 1, and
nothing is clipped.
"""

import functools

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, clipped_surrogate, token_mean


def clip_low() -> Method:
    """clip-low, arXiv 2509.26114, with bounds of ours: 0.1 below, 0.2 above; token mean, no KL."""
    loss = functools.partial(clipped_surrogate, clip_low=0.1, clip_high=0.2)
    return Method(Objective(loss, token_mean))


PRESETS = (clip_low,)
