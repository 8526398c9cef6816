"""A method as a value: a rule for each point of the step where it acts, and its hyperparameters.

A rule is a pure function. Its hyperparameters, which a config may change (floats and integers, but
also flags and names of choices), are its keyword-only arguments of plain type, declared with their
defaults in its signature and nowhere else; a preset binds those that differ with
`functools.partial`.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any

import jax

from papo_jax.methods import advantages, phase, reweighting, signals
from papo_jax.methods.hyperparameters import (
    Hyperparameter,
    bind_hyperparameters,
    bound_hyperparameters,
    check_binding,
    declared_hyperparameters,
    plain_type,
    unbind_function,
)
from papo_jax.methods.objectives import Objective


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
    """The rules that turn a graded rollout into updates.

    Attributes:
      objective: loss of a minibatch under the current policy.
      advantage_rule: rewards [N, G] -> advantages [N, G].
      token_advantage_rule: `SampledTokens` -> advantages [B, T]; None to give all tokens of an
        answer the answer's advantage.
      dropped_token_rule: `SampledTokens` -> [B, T] boolean, tokens that leave the loss and its
        denominator; or None.
      coefficient_rule: (coefficient, entropy, initial_entropy) -> coefficient, which moves the
        coefficient of an entropy bonus once a rollout; or None.
      phase_rule: (`EntropyTrajectory`, entropy) -> (`EntropyTrajectory`, s), the phase signal.
      weight_rule: PAPO's weights on advantages, by signal and phase, with the signature of
        `reweighting.papo`; all 1 at the default lam = 0.
      signal: the signal that the weights follow, a name in `signals.SIGNALS`.
      direction: multiplies s; -1 drives entropy away from its target.
      dead_band: nats per unit of logit step; a token with abs(T) within it is in neither branch.
      pack: true to fill minibatches one after another with the sequences of the loss, so that fewer
        updates are made where few are left; false to deal them out evenly.
      dual_clip: the greatest importance ratio of a token with A < 0, above which it has no
        gradient; None for no such bound.
      overlong: the last share of the greatest length in which answers are penalized, 0 for none.
      overlong_mask: true to leave truncated answers out of the loss.
      refills: dynamic sampling: how many more times prompts may be drawn in a step, to replace
        groups that are all right or all wrong.
      name: of the preset.
    """

    objective: Objective
    advantage_rule: Callable[..., jax.Array] = advantages.group_normalized
    token_advantage_rule: Callable[..., jax.Array] | None = None
    dropped_token_rule: Callable[..., jax.Array] | None = None
    coefficient_rule: Callable[..., jax.Array] | None = None
    phase_rule: Callable[..., tuple[phase.EntropyTrajectory, jax.Array]] = phase.update
    weight_rule: Callable[..., jax.Array] = functools.partial(reweighting.papo, lam=0.0)
    signal: str = "polarity"
    direction: float = 1.0
    dead_band: float = 1e-6
    pack: bool = False
    dual_clip: float | None = None
    overlong: float = 0.0
    overlong_mask: bool = False
    refills: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        """Raises `TypeError` for a rule that binds a name that its function does not declare."""
        for rule in self._rules_by_name().values():
            check_binding(rule)

    def __eq__(self, other: object) -> bool:
        """Compares rules by function and hyperparameters, since partials compare by identity."""
        return isinstance(other, Method) and self._compared_values() == other._compared_values()

    def __hash__(self) -> int:
        return hash(tuple(self._compared_values().items()))

    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Returns every hyperparameter that a config may change, name -> value."""
        found: dict[str, Hyperparameter] = {
            name: getattr(self, name) for name in OWN_HYPERPARAMETERS
        }
        for rule in self._rules_by_name().values():
            found |= bound_hyperparameters(rule)
        return found

    def with_hyperparameters(self, **values: Any) -> "Method":
        """Returns the method with other hyperparameters.

        Args:
          **values: of hyperparameters by name, which may be traced; a name that several rules
            declare is bound in each.

        Raises:
          ValueError: if the method has no such hyperparameter.

        >>> from papo_jax.methods import presets
        >>> presets.get("papo").with_hyperparameters(w_max=2.0).hyperparameter("w_max")
        2.0
        """
        unknown = sorted(values.keys() - self.hyperparameters().keys())
        if unknown:
            raise ValueError(f"method.{unknown[0]} means nothing to {self.name!r}")
        own = {name: value for name, value in values.items() if name in OWN_HYPERPARAMETERS}
        rules = {
            name: bind_hyperparameters(rule, values) for name, rule in self._rules_by_name().items()
        }
        loss = rules.pop("loss")
        objective = self.objective._replace(loss=loss)
        return dataclasses.replace(self, objective=objective, **rules, **own)

    def hyperparameter_types(self) -> dict[str, type]:
        """Returns the type of every hyperparameter, name -> type."""
        annotations = typing.get_type_hints(type(self))
        own = {name: plain_type(annotations[name]) for name in OWN_HYPERPARAMETERS}
        found = {name: kind for name, kind in own.items() if kind is not None}
        for rule in self._rules_by_name().values():
            found |= declared_hyperparameters(rule)
        return found

    def hyperparameter(self, name: str) -> Any:
        """Returns one hyperparameter, None if the method has none of that name."""
        return self.hyperparameters().get(name)

    @property
    def needs_reference(self) -> bool:
        """True if the objective looks at a reference policy."""
        return bool(self.hyperparameter("kl_coefficient"))

    @property
    def needs_parameter_polarity(self) -> bool:
        """True if the signal takes a pass over the parameters."""
        return signals.SIGNALS[self.signal].needs_parameter_polarity

    def _compared_values(self) -> dict[Any, Any]:
        functions = {name: unbind_function(rule) for name, rule in self._rules_by_name().items()}
        unbound_objective = self.objective._replace(loss=functions["loss"])
        return {
            **functions,
            "objective": unbound_objective,
            "name": self.name,
            **self.hyperparameters(),
        }

    def _rules_by_name(self) -> dict[str, Callable]:
        """Returns every rule by its field's name, and the objective's loss as "loss"."""
        rules = {name: getattr(self, name) for name in RULES if getattr(self, name) is not None}
        return {**rules, "loss": self.objective.loss}


RULES = (
    "advantage_rule",
    "token_advantage_rule",
    "dropped_token_rule",
    "coefficient_rule",
    "phase_rule",
    "weight_rule",
)
# Fields of `Method` that are hyperparameters themselves.
OWN_HYPERPARAMETERS = (
    "signal",
    "direction",
    "dead_band",
    "pack",
    "dual_clip",
    "overlong",
    "overlong_mask",
    "refills",
)
