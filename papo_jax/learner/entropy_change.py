"""Three figures for one question, on the same teacher-forced states: how did this step change
entropy?

    polarity      sum of g T over the step's updates: first order in the logits, states apart
    directional   grad_theta H . dtheta: first order in the parameters, exact as dtheta goes to 0
    realized      H(theta + dtheta) - H(theta)

dtheta spans all inner updates of the step. Source of the first: arXiv 2605.11775 (2026); the second
is calculus. Shapes: B sequences, T completion slots; entropies in nats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from papo_jax import polarity as theory
from papo_jax.learner.trajectories import Trajectories, map_rows, statistics
from papo_jax.models import Params, lora

GROUPS = (
    "reinforced_expanding",
    "reinforced_contracting",
    "penalized_expanding",
    "penalized_contracting",
)


class EntropyChange(NamedTuple):
    """Changes of entropy at each state, [B, T] nats; meaningless where the mask is false."""

    directional: jax.Array
    realized: jax.Array


def entropy_change(
    before: Params,
    after: Params,
    trajectories: Trajectories,
    frozen: Params | None = None,
    *,
    graph: nnx.GraphDef,
    temperature: float,
    parts: int,
    mesh: Mesh | None = None,
) -> EntropyChange:
    """Computes the directional and the realized change between two sets of parameters.

    Args:
      before: parameters that sampled the trajectories.
      after: parameters when the step was done.
      trajectories: B sequences.
      frozen: parameters that are not trained; None where all are.
      graph: of the policy.
      temperature: the sampler's.
      parts: slices that the rows are gone through in.
      mesh: that parameters and trajectories are spread over; None for one device.

    Returns:
      `EntropyChange` of shape [B, T].
    """
    step = jax.tree.map(jnp.subtract, after, before)

    def of_rows(rows: Trajectories) -> EntropyChange:
        def entropy(params):
            return statistics(
                graph,
                lora.join_params(params, frozen),
                rows,
                temperature=temperature,
                implementation="forward",
                mesh=mesh,
            ).entropy

        # `theory.directional_entropy_change`, and the entropies before, which the same pass has
        # made anyway.
        earlier, directional = jax.jvp(entropy, (before,), (step,))
        return EntropyChange(directional, entropy(after) - earlier)

    return map_rows(of_rows, parts, trajectories)


def summarize(
    change: EntropyChange,
    pressure: jax.Array,
    polarity: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
) -> dict[str, jax.Array]:
    """Averages the changes over all tokens and over the four groups of advantage sign and branch.

    Args:
      change: [B, T] directional and realized.
      pressure: [B, T] the predicted change g T of each token at ratio 1, for the groups'
        prediction.
      polarity: [B, T] P = A T, for the branches.
      advantages: [B, T] A.
      mask: [B, T] boolean.

    Returns:
      name -> [] nats. A group's figures are its sum over the mean's denominator, so the four groups
      and the tokens without polarity add up to the whole; the predicted ones to
      `entropy_change/polarity` as far as ratios are near 1 and the objective lets every token pull.
    """
    tokens = jnp.maximum(mask.sum(), 1)
    positive, negative = theory.branches(polarity, mask, dead_band=0.0)
    members = (
        (advantages > 0) & positive,
        (advantages > 0) & negative,
        (advantages < 0) & positive,
        (advantages < 0) & negative,
    )
    out = {
        "entropy_change/directional": theory.masked_mean(change.directional, mask),
        "entropy_change/realized": theory.masked_mean(change.realized, mask),
    }
    for group, member in zip(GROUPS, members, strict=True):
        for figure, values in (
            ("polarity", pressure),
            ("directional", change.directional),
            ("realized", change.realized),
        ):
            out[f"entropy_change/{figure}/{group}"] = jnp.where(member, values, 0.0).sum() / tokens
    return out
