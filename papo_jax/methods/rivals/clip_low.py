"""clip-low: a tighter lower clip, which stops the tokens of wrong answers that have already become less likely.

Source: arXiv 2509.26114 (2025): in PPO's clip the lower bound, which acts on A < 0, raises entropy and the upper one lowers it;
a tighter lower bound is the remedy. Its tuned numbers and its code could not be found; 0.1 below and 0.2 above are ours.
Inert at one update a rollout, where the ratio is 1.
"""

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import DAPO


def clip_low() -> Arguments:
    """clip-low, arXiv 2509.26114, with bounds of ours: 0.1 below, 0.2 above; GRPO's advantages, token mean, no KL term."""
    return arguments(DAPO, clip_low=0.1, clip_high=0.2, kl_coefficient=0.0)


PRESETS = (clip_low,)
