"""Methods by name: a preset is a function that returns keyword arguments, with its paper's
settings.

GRPO, DAPO and PAPO with its ablations are here; every other method is a file of a family, as `methods.method_files` finds them.
What the arguments mean is said in `methods.arguments`.
"""

from collections.abc import Callable

from papo_jax.methods import method_files, objectives
from papo_jax.methods.arguments import FUNCTIONS, Arguments, arguments


def grpo() -> Arguments:
    """GRPO, Shao et al. 2024, arXiv 2402.03300: group advantages, clip 0.2, mean over answers, k3
    KL 0.04."""
    return arguments(objectives.GRPO, clip_low=0.2, clip_high=0.2, kl_coefficient=0.04)


def dapo() -> Arguments:
    """DAPO, Yu et al. 2025, arXiv 2503.14476: clip 0.2 / 0.28, token mean, overlong penalty,
    dynamic sampling.

    At most 10 draws more for a full batch. Their runs have 512 prompts x 16 answers a rollout and
    16 updates of 512 answers. Their overlong mask, which goes with runs without the penalty, is
    `overlong_mask`.
    """
    return arguments(
        objectives.DAPO, clip_low=0.2, clip_high=0.28, kl_coefficient=0.0, overlong=0.2, refills=10
    )


def papo() -> Arguments:
    """PAPO, arXiv 2605.11775: DAPO's surrogate under polarity weights. The rule's details are our
    reading.

    Without dynamic sampling, so that a step costs one draw: also our choice.
    """
    return {**dapo(), "refills": 0, "lam": 0.2}


def papo_up() -> Arguments:
    """PAPO with s = +1 throughout: always towards more entropy; an ablation."""
    return {**papo(), "phase": "fixed", "fixed": 1.0}


def papo_down() -> Arguments:
    """PAPO with s = -1 throughout: always towards less entropy; an ablation."""
    return {**papo(), "phase": "fixed", "fixed": -1.0}


def papo_reversed() -> Arguments:
    """PAPO with the phase signal's sign turned round: drives entropy away from its target; an
    ablation."""
    return {**papo(), "direction": -1.0}


def papo_sampled() -> Arguments:
    """PAPO steered by -A S alone, without the distributional correction C; an ablation."""
    return {**papo(), "signal": "sampled"}


def papo_parameter() -> Arguments:
    """PAPO steered by parameter polarity, which sees the parameters that states share; ours."""
    return {**papo(), "signal": "parameter"}


def papo_random() -> Arguments:
    """PAPO's weights permuted over the batch: the same histogram (but for one factor) without
    information; the control."""
    return {**papo(), "signal": "random"}


def papo_random_in_sign() -> Arguments:
    """PAPO's weights permuted among tokens of one sign of A; the control that keeps the link with
    the advantage."""
    return {**papo(), "signal": "random_in_sign"}


def papo_random_in_probability() -> Arguments:
    """PAPO's weights permuted among tokens of one sign of A and one decile of p: polarity beyond
    rarity, as far as deciles tell."""
    return {**papo(), "signal": "random_in_probability"}


def papo_random_in_mass() -> Arguments:
    """PAPO's weights permuted among tokens of one sign of A and one tenth of the mass of abs(P) by
    p; the hardest control, ours."""
    return {**papo(), "signal": "random_in_mass"}


def sign_advantage() -> Arguments:
    """PAPO's weights by -sign(A) instead of polarity: the comparator that needs no distribution;
    ours."""
    return {**papo(), "signal": "advantage_sign"}


_OWN = (
    grpo,
    dapo,
    papo,
    papo_up,
    papo_down,
    papo_reversed,
    papo_sampled,
    papo_parameter,
    papo_random,
    papo_random_in_sign,
    papo_random_in_probability,
    papo_random_in_mass,
    sign_advantage,
)

PRESETS: dict[str, Callable[[], Arguments]] = {
    preset.__name__: preset for preset in _OWN
} | method_files.find_presets()


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


def numbers(name: str) -> Arguments:
    """Returns those of a preset's arguments that a config may change: all that are no functions.

    >>> sorted(set(numbers("clip_cov")) - set(numbers("reinforce")))
    ['clip_high', 'clip_low', 'covariance_high', 'covariance_low', 'covariance_share']
    >>> (
    ...     "target" in numbers("reinforce"),
    ...     "drop" in numbers("reinforce"),
    ... )  # None in both, a number and a function
    (True, False)
    """
    return {key: value for key, value in get(name).items() if key not in FUNCTIONS}
