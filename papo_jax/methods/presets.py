"""Presets: methods by name, each a function that returns a `Method` at its paper's settings.

GRPO, DAPO and PAPO with its ablations are here; every other method has a file in the folder of its
family, which `methods.method_files` finds.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from papo_jax.errors import InputError
from papo_jax.methods import method_files, phase, reweighting
from papo_jax.methods.hyperparameters import Hyperparameter
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import DAPO, GRPO


def grpo() -> Method:
    """GRPO, Shao et al. 2024, arXiv 2402.03300: clip 0.2, a mean over answers, k3 KL 0.04."""
    loss = functools.partial(GRPO.loss, kl_coefficient=0.04)
    return Method(GRPO._replace(loss=loss))


def dapo() -> Method:
    """DAPO, Yu et al. 2025, arXiv 2503.14476: clip 0.2 / 0.28, token mean, dynamic sampling.

    At most 10 further draws to fill a batch. The paper's runs have 512 prompts x 16 answers a
    rollout, and 16 updates of 512 answers. Its overlong mask, an alternative to the penalty, is
    `overlong_mask`.
    """
    return Method(DAPO, overlong=0.2, refills=10)


def papo() -> Method:
    """PAPO, arXiv 2605.11775: DAPO's surrogate under polarity weights.

    The rule's details are our reading. That there is no dynamic sampling, so that a step costs one
    draw, is our choice.
    """
    return dataclasses.replace(dapo(), refills=0, weight_rule=reweighting.papo)


def papo_up() -> Method:
    """PAPO with s = +1 throughout: always towards more entropy; an ablation."""
    return _papo_at_phase(1.0)


def papo_down() -> Method:
    """PAPO with s = -1 throughout: always towards less entropy; an ablation."""
    return _papo_at_phase(-1.0)


def papo_reversed() -> Method:
    """PAPO with the phase signal's sign reversed: drives entropy from its target; an ablation."""
    return dataclasses.replace(papo(), direction=-1.0)


def papo_sampled() -> Method:
    """PAPO by -A S alone, without the distributional correction C; an ablation."""
    return _papo_with_signal("sampled")


def papo_parameter() -> Method:
    """PAPO by parameter polarity, which sees the parameters that states share; ours."""
    return _papo_with_signal("parameter")


def papo_random() -> Method:
    """PAPO's weights permuted over the batch: the same histogram without information; the control.

    (The histogram is the same up to one factor, by which renormalizing keeps the batch's pull.)
    """
    return _papo_with_signal("random")


def papo_random_in_sign() -> Method:
    """PAPO's weights permuted among tokens of one sign of A; keeps the link with the advantage."""
    return _papo_with_signal("random_in_sign")


def papo_random_in_probability() -> Method:
    """PAPO's weights permuted among tokens of one sign of A and one decile of p.

    It tells polarity from rarity, as far as deciles can.
    """
    return _papo_with_signal("random_in_probability")


def papo_random_in_mass() -> Method:
    """PAPO's weights permuted within one sign of A and one tenth of the mass of abs(P) by p.

    The hardest control; ours.
    """
    return _papo_with_signal("random_in_mass")


def sign_advantage() -> Method:
    """PAPO's weights by -sign(A): the comparator that needs no distribution; ours."""
    return _papo_with_signal("advantage_sign")


def _papo_at_phase(s: float) -> Method:
    rule = functools.partial(phase.update, phase="fixed", fixed=s)
    return dataclasses.replace(papo(), phase_rule=rule)


def _papo_with_signal(signal: str) -> Method:
    return dataclasses.replace(papo(), signal=signal)


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

PRESETS: dict[str, Callable[[], Method]] = {
    preset.__name__: preset for preset in _OWN
} | method_files.find_presets()


def get(name: str, **hyperparameters: Any) -> Method:
    """Returns a method.

    Args:
      name: one of `PRESETS`.
      **hyperparameters: those that differ from the preset's.

    Raises:
      ValueError: if there is no such method, or it has no such hyperparameter.

    >>> get("dapo").hyperparameter("clip_high"), get("papo", lam=0.5).hyperparameter("lam")
    (0.28, 0.5)
    """
    if name not in PRESETS:
        raise ValueError(f"method.name {name!r} is none of {', '.join(PRESETS)}")
    method = dataclasses.replace(PRESETS[name](), name=name)
    return method.with_hyperparameters(**hyperparameters) if hyperparameters else method


def hyperparameter_types() -> dict[str, type]:
    """Returns every hyperparameter that some preset has, name -> type: the config keys of a method.

    Raises:
      InputError: if two presets declare a hyperparameter of one name with other types.
    """
    found: dict[str, type] = {}
    for name in PRESETS:
        for key, kind in get(name).hyperparameter_types().items():
            if found.setdefault(key, kind) is not kind:
                raise InputError(
                    f"{key} of the method {name!r} is of type {kind.__name__};"
                    f" another method's is of type {found[key].__name__}"
                )
    return found


def hyperparameters(name: str) -> dict[str, Hyperparameter]:
    """Returns the hyperparameters of a preset, which a config may change.

    >>> sorted(set(hyperparameters("clip_cov")) - set(hyperparameters("reinforce")))
    ['clip_high', 'clip_low', 'covariance_high', 'covariance_low', 'covariance_share', 'epsilon']
    """
    return get(name).hyperparameters()
