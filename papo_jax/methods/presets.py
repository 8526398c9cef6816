"""Methods by name: a preset is a function that returns keyword arguments, with its paper's settings.

    advantage     a function of `methods.advantages`
    objective     a function of `methods.objectives`, with clip_low, clip_high, kl_coefficient
    overlong      share of the length limit that is penalised, 0 for none
    overlong_mask truncated answers take no part in the loss
    refills       dynamic sampling: at most so many further draws of prompts while groups are all right or all wrong
    lam, ...      PAPO's reweighting and phase; lam = 0 leaves the base objective as it is
"""

from typing import Any

Arguments = dict[str, Any]


def grpo() -> Arguments:
    """GRPO, Shao et al. 2024, arXiv 2402.03300: group advantages, clip 0.2, mean over answers, k3 KL 0.04."""
    return dict(
        advantage="group_normalised", objective="grpo", clip_low=0.2, clip_high=0.2, kl_coefficient=0.04,
        overlong=0.0, overlong_mask=False, refills=0, **_unweighted(),
    )  # fmt: skip


def dapo() -> Arguments:
    """DAPO, Yu et al. 2025, arXiv 2503.14476: clip 0.2 / 0.28, token mean, overlong penalty, dynamic sampling.

    Their overlong mask, which goes with runs without the penalty, is `overlong_mask`.
    """
    return dict(
        advantage="group_normalised", objective="dapo", clip_low=0.2, clip_high=0.28, kl_coefficient=0.0,
        overlong=0.2, overlong_mask=False, refills=10, **_unweighted(),
    )  # fmt: skip


def papo() -> Arguments:
    """PAPO, arXiv 2605.11775: DAPO's surrogate under polarity weights. The rule's details are our reading.

    Without dynamic sampling, so that a step costs one draw: also our choice.
    """
    return {**dapo(), "refills": 0, "lam": 0.2}


def _unweighted() -> Arguments:
    """The reweighting's fields at their defaults, switched off by lam = 0."""
    return dict(
        lam=0.0, weighting="sign", signal="polarity", w_min=0.5, w_max=1.5, renormalise=True,
        phase="level", target=None, target_start=1.0, target_end=1.0, target_steps=100, initial_rollouts=1,
        tau=0.3, kappa=10.0, decay=0.9, fixed=1.0, hysteresis=0.1, dead_band=1e-6,
    )  # fmt: skip


PRESETS = {"grpo": grpo, "dapo": dapo, "papo": papo}


def get(name: str) -> Arguments:
    """Returns a preset's keyword arguments.

    Args:
      name: one of `PRESETS`.

    Returns:
      A fresh dict.

    Raises:
      ValueError: if there is no such method.

    >>> get("dapo")["clip_high"]
    0.28
    """
    if name not in PRESETS:
        raise ValueError(f"method.name {name!r} is none of {', '.join(PRESETS)}")
    return PRESETS[name]()
