"""Three figures for one question, on the same teacher-forced states: how did a step change entropy?

    polarity      sum of g T over the step's updates: first order in the logits, states apart
    directional   grad_theta H . dtheta: first order in the parameters, exact as dtheta goes to 0
    realized      H(theta + dtheta) - H(theta)

dtheta spans all inner updates of the step. The first is made by `learner.gradients`; source:
arXiv 2605.11775 (2026). The second is calculus: `papo_jax.polarity.directional_entropy_change` is
the reference that it is tested against. Shapes: B sequences, T completion slots; entropies in nats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.learner.batches import Trajectories
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.models import Params
from papo_jax.polarity import branches, masked_mean

GROUPS = (
    "reinforced_expanding",
    "reinforced_contracting",
    "penalized_expanding",
    "penalized_contracting",
)


class EntropyChange(NamedTuple):
    """Changes of entropy at each state, [B, T] nats; meaningless where no action stands."""

    directional: jax.Array
    realized: jax.Array


def measure_entropy_change(
    before: Params, after: Params, trajectories: Trajectories, scorer: PolicyScorer
) -> EntropyChange:
    """Computes the directional and the realized change between two sets of parameters.

    Args:
      before: trained parameters that sampled the trajectories.
      after: trained parameters when the step was done.
      trajectories: B sequences.
      scorer: of the policy.

    Returns:
      `EntropyChange` of shape [B, T].
    """
    step = jax.tree.map(jnp.subtract, after, before)

    def measure_rows(rows: Trajectories) -> EntropyChange:
        def entropy(params):
            return scorer.token_stats(params, rows, implementation="forward").entropy

        # The same pass makes the entropies before.
        earlier, directional = jax.jvp(entropy, (before,), (step,))
        return EntropyChange(directional=directional, realized=entropy(after) - earlier)

    return scorer.map_microbatches(measure_rows, trajectories)


def summarize_entropy_change(
    *,
    change: EntropyChange,
    predicted: jax.Array,
    polarity: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
) -> dict[str, jax.Array]:
    """Averages the changes over all tokens and over the four groups of advantage sign and branch.

    Args:
      change: [B, T] directional and realized.
      predicted: [B, T] the predicted change g T of each token at ratio 1, for the groups'
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
    positive, negative = branches(polarity, mask, dead_band=0.0)
    members = (
        (advantages > 0) & positive,
        (advantages > 0) & negative,
        (advantages < 0) & positive,
        (advantages < 0) & negative,
    )
    out = {
        "entropy_change/directional": masked_mean(change.directional, mask),
        "entropy_change/realized": masked_mean(change.realized, mask),
    }
    for group, member in zip(GROUPS, members, strict=True):
        for figure, values in (
            ("polarity", predicted),
            ("directional", change.directional),
            ("realized", change.realized),
        ):
            out[f"entropy_change/{figure}/{group}"] = jnp.where(member, values, 0.0).sum() / tokens
    return out
