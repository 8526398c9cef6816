"""Three measures of how a step changed entropy, at the same teacher-forced states.

    polarity      sum of g T over the step's updates: first order in the logits, each state alone
    directional   grad_theta H . dtheta: first order in the parameters, exact as dtheta goes to 0
    realized      H(theta + dtheta) - H(theta)

dtheta is the sum of all updates of the step. The first measure, whose source is arXiv 2605.11775
(2026), is computed in `learner.gradients`, the others here. The directional one is calculus, and
tested against `papo_jax.polarity.directional_entropy_change`.

Shapes: B sequences, T completion slots; entropies in nats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.learner.batches import Trajectories
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.models import Params
from papo_jax.polarity import branches, masked_mean

# The advantage's sign and the polarity's; in the order of `members` below.
TOKEN_GROUPS = (
    "reinforced_expanding",
    "reinforced_contracting",
    "penalized_expanding",
    "penalized_contracting",
)


class EntropyChange(NamedTuple):
    """Changes of entropy at each state, [B, T] nats; meaningful only where an action stands."""

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
    parameter_change = jax.tree.map(jnp.subtract, after, before)

    def measure_rows(rows: Trajectories) -> EntropyChange:
        def entropy(params):
            return scorer.token_stats(params, rows, implementation="forward").entropy

        # The forward-mode pass gives the entropies before the step as well.
        entropy_before, directional = jax.jvp(entropy, (before,), (parameter_change,))
        return EntropyChange(directional=directional, realized=entropy(after) - entropy_before)

    return scorer.map_microbatches(measure_rows, trajectories)


def summarize_entropy_change(
    *,
    change: EntropyChange,
    predicted: jax.Array,
    polarity: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
) -> dict[str, jax.Array]:
    """Averages the changes over all tokens, and sums up each of the four token groups' share.

    Args:
      change: [B, T] directional and realized.
      predicted: [B, T] g T of each token, summed over the step's updates as if at ratio 1; read by
        the groups alone.
      polarity: [B, T] P = A T, which tells the branches.
      advantages: [B, T] A.
      mask: [B, T] boolean.

    Returns:
      name -> [] nats. A group's figure is its tokens' sum divided by the number of all tokens, so
      the four groups and the tokens in neither branch add up to the mean over all. The predicted
      ones add up to `entropy_change/polarity` as far as ratios are near 1 and the objective uses
      every token.
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
    for group, member in zip(TOKEN_GROUPS, members, strict=True):
        for figure, values in (
            ("polarity", predicted),
            ("directional", change.directional),
            ("realized", change.realized),
        ):
            out[f"entropy_change/{figure}/{group}"] = jnp.where(member, values, 0.0).sum() / tokens
    return out
