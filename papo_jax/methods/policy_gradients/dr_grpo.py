"""Dr. GRPO: GRPO without the divisions by length and by the group's deviation.

Source: Liu et al. 2025, arXiv 2503.20783, and sail-sg/understand-r1-zero. Settings: clip 0.2, no KL
term. Sums are divided by the longest answer that may be generated, as in their code; some other
systems divide by the longest one of the batch. Their code also gives truncated answers the reward
0; here they are graded like any other.
"""

import functools

from papo_jax.methods import advantages
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, clipped_surrogate, limit_mean


def dr_grpo() -> Method:
    """Dr. GRPO, Liu et al. 2025, arXiv 2503.20783: centered rewards, sums over the length limit.

    L = -1/B sum_i 1/max_new_tokens sum_t min(r A, clip(r, 1 - low, 1 + high) A)
    """
    objective = Objective(functools.partial(clipped_surrogate, clip_high=0.2), limit_mean)
    return Method(objective, advantage_rule=advantages.group_centered)


PRESETS = (dr_grpo,)
