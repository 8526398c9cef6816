"""REINFORCE with a mean or a leave-one-out baseline, and no clip.

Sources: RLOO, Kool et al. 2019 and Ahmadian et al. 2024, arXiv 2402.14740; REINFORCE, Williams
1992. The papers sum over an answer's tokens and make one update a rollout, where the ratio is 1;
with more updates it is kept as an unclipped importance weight (our choice: TRL, verl and OpenRLHF
clip it as PPO does). Without the KL term in the reward.
"""

from papo_jax.methods import advantages
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, answer_sum, unclipped_surrogate

OBJECTIVE = Objective(unclipped_surrogate, answer_sum)


def reinforce() -> Method:
    """REINFORCE, Williams 1992, with the group's mean as baseline: no deviation, no clip."""
    return Method(OBJECTIVE, advantage_rule=advantages.group_centered)


def rloo() -> Method:
    """RLOO, Ahmadian et al. 2024, arXiv 2402.14740: the mean of the group's other rewards."""
    return Method(OBJECTIVE, advantage_rule=advantages.leave_one_out)


PRESETS = (reinforce, rloo)
