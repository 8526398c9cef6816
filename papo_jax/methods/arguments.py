"""The keyword arguments that every preset has, at their defaults: where a method acts, and with
what numbers.

    advantage     rewards [N, G] -> advantages [N, G], a function of `methods.advantages` or of the method's own
    shape         (stats, advantages, mask) -> advantages [B, T]: what it makes of them token by token, or None
    drop          (stats, advantages, mask) -> [B, T] boolean: tokens that leave the loss and its denominator, or None
    bonus_rule    (bonus, entropy) -> bonus: moves the coefficient of an entropy bonus once a rollout, or None
    objective     a `Rule` of `methods.objectives` or of the method's own
    pack          sequences that stay fill minibatches one after another, so that fewer are made; else they are dealt evenly
    overlong      share of the length limit that is penalized, 0 for none
    overlong_mask truncated answers take no part in the loss
    refills       dynamic sampling: at most so many further draws of prompts while groups are all right or all wrong
    lam, ...      PAPO's reweighting and phase; lam = 0 leaves the base objective as it is

Beyond these a preset holds the numbers that its functions name as keyword-only arguments
(`methods.calling`).
"""

from typing import Any

from papo_jax.methods import advantages
from papo_jax.methods.objectives import Rule

Arguments = dict[str, Any]
FUNCTIONS = ("advantage", "shape", "drop", "bonus_rule", "objective")


def arguments(objective: Rule, **changes: Any) -> Arguments:
    """Returns the defaults with an objective and what differs.

    Args:
      objective: the method's `Rule`.
      **changes: name -> value.

    Returns:
      A fresh dict.
    """
    return (
        dict(
            advantage=advantages.group_normalized,
            shape=None,
            drop=None,
            bonus_rule=None,
            objective=objective,
            pack=False,
            overlong=0.0,
            overlong_mask=False,
            refills=0,
            lam=0.0,
            weighting="sign",
            signal="polarity",
            w_min=0.5,
            w_max=1.5,
            renormalize=True,
            phase="level",
            target=None,
            target_start=1.0,
            target_end=1.0,
            target_steps=100,
            initial_rollouts=1,
            tau=0.3,
            kappa=10.0,
            decay=0.9,
            fixed=1.0,
            direction=1.0,
            hysteresis=0.1,
            dead_band=1e-6,
        )
        | changes
    )
