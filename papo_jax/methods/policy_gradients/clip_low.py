"""clip-low: a tighter lower clip, which sooner stops pushing the tokens of wrong answers down.

Source: arXiv 2509.26114 (2025): in PPO's clip the lower bound, which acts on A < 0, raises entropy,
and the upper one lowers it, so a tighter lower bound is the remedy. Its tuned numbers and its code
could not be found; 0.1 below and 0.2 above are ours. At one update a rollout the ratio is 1, and
nothing is clipped.
"""

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import DAPO


def clip_low() -> Arguments:
    """clip-low, arXiv 2509.26114, with bounds of ours: 0.1 below, 0.2 above; GRPO's advantages,
    token mean, no KL term."""
    return arguments(DAPO, clip_low=0.1, clip_high=0.2, kl_coefficient=0.0)


PRESETS = (clip_low,)
