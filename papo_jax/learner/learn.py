"""The learner: one pure function from a state, a rollout and its grades to the next state.

Shapes: N prompts, G samples a prompt, B = N G sequences, T completion slots, U updates a rollout.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from papo_jax import mesh_rules
from papo_jax.learner.batches import Grades, Rollout, UpdateBatch
from papo_jax.learner.minibatches import UpdatePlan
from papo_jax.learner.parameter_polarity import compute_unit_parameter_polarity
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import Stream, TrainState, stream_key
from papo_jax.learner.update import update_minibatch
from papo_jax.learner.weighted_advantages import (
    WeightedAdvantages,
    compute_weighted_advantages,
    sequence_identities,
)
from papo_jax.methods.method import Method
from papo_jax.models import Params

Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Learner:
    """Everything static about learning from a rollout.

    Attributes:
      method: the rules that turn grades into updates.
      optimizer: whose state the training state holds.
      max_new_tokens: the longest completion, tokens.
      plan_updates: (state, [B] boolean, rows with a token in the loss) -> `UpdatePlan`.
      preconditioner: optimizer's state -> diagonal of its preconditioner, for parameter polarity.
      max_skipped: once so many updates in a row were skipped for not being finite, no further one
        is made. None for no bound.
    """

    method: Method
    optimizer: optax.GradientTransformation
    max_new_tokens: int
    plan_updates: Callable[[TrainState, jax.Array], UpdatePlan]
    preconditioner: Callable[[optax.OptState], Params] | None = None
    max_skipped: int | None = None


class LearnOutput(NamedTuple):
    """The results of a step of learning besides the state.

    Attributes:
      weighted: the rollout's advantages and weights.
      batch: the arrays that the updates read.
      plan: the planned updates. Those that were not due, or came after `max_skipped`, were not
        tried.
      metrics: of the rollout, name -> [].
      updates: metrics of each update, name -> [U]; zeros where "update/tried" is false.
    """

    weighted: WeightedAdvantages
    batch: UpdateBatch
    plan: UpdatePlan
    metrics: Metrics
    updates: Metrics


def learn(
    state: TrainState, rollout: Rollout, grades: Grades, scorer: PolicyScorer, *, learner: Learner
) -> tuple[TrainState, LearnOutput]:
    """Computes a rollout's weighted advantages, and makes its updates in one scan.

    Args:
      state: before the step; its parameters sampled the rollout.
      rollout: sampled sequences.
      grades: of its answers.
      scorer: of the policy.
      learner: everything static.

    Returns:
      (state after the step, `LearnOutput`).

    Raises:
      ValueError: if the method needs a preconditioner or a reference that is not there.
    """
    # Advantages and weights, under the parameters that sampled: no update has been made yet.
    unit_parameter_polarity = None
    if learner.method.needs_parameter_polarity:
        if learner.preconditioner is None:
            raise ValueError(f"method.signal {learner.method.signal!r} needs a preconditioner")
        unit_parameter_polarity = compute_unit_parameter_polarity(
            state.params, learner.preconditioner(state.opt_state), rollout.trajectories, scorer
        )
    weighted, metrics = compute_weighted_advantages(
        rollout,
        grades,
        state.entropy_trajectory,
        key=stream_key(state.key, state.step, Stream.WEIGHTS),
        method=learner.method,
        max_new_tokens=learner.max_new_tokens,
        unit_parameter_polarity=unit_parameter_polarity,
    )

    # Updates, epochs x minibatches, one after another.
    if learner.method.needs_reference and rollout.reference_logprob is None:
        raise ValueError(f"method {learner.method.name!r} needs the rollout's reference_logprob")
    batch = _make_batch(rollout, grades, weighted)
    state = state._replace(entropy_trajectory=weighted.entropy_trajectory)
    plan = learner.plan_updates(state, weighted.loss_mask.any(axis=1))
    update = functools.partial(_update_if_due, batch=batch, scorer=scorer, learner=learner)
    state, updates = jax.lax.scan(update, state, plan)
    output = LearnOutput(
        weighted=weighted, batch=batch, plan=plan, metrics=metrics, updates=updates
    )
    return state._replace(step=state.step + 1), output


def take_rows(batch: UpdateBatch, rows: mesh_rules.Array, mesh: Mesh | None = None) -> UpdateBatch:
    """Returns some rows of a batch, spread over the mesh as the batch is."""
    taken = jax.tree.map(lambda leaf: leaf[rows], batch)
    if mesh is None or mesh.size == 1:
        return taken
    return jax.lax.with_sharding_constraint(taken, mesh_rules.batch_sharding(mesh))


def _make_batch(rollout: Rollout, grades: Grades, weighted: WeightedAdvantages) -> UpdateBatch:
    """Collects the arrays that updates read."""
    old_logprob, reference_logprob = rollout.stats.logprob, rollout.reference_logprob
    if reference_logprob is None:
        reference_logprob = old_logprob
    accuracy = grades.right.astype(jnp.float32).mean(axis=1)
    return UpdateBatch(
        trajectories=rollout.trajectories,
        old_logprob=old_logprob,
        reference_logprob=reference_logprob,
        weighted_advantages=weighted.weights * weighted.advantages,
        loss_mask=weighted.loss_mask,
        polarity=weighted.polarity,
        sequences=sequence_identities(weighted.loss_mask),
        accuracy=jnp.repeat(accuracy, grades.right.shape[1]),
    )


def _update_if_due(
    state: TrainState,
    planned: UpdatePlan,
    *,
    batch: UpdateBatch,
    scorer: PolicyScorer,
    learner: Learner,
) -> tuple[TrainState, Metrics]:
    """Makes one update of the plan; the scan has taken the leading axis off `planned`."""
    due = planned.due
    if learner.max_skipped is not None:
        due &= state.skipped < learner.max_skipped

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        return update_minibatch(
            state,
            take_rows(batch, planned.rows, scorer.mesh),
            planned.keys,
            scorer,
            method=learner.method,
            optimizer=learner.optimizer,
            max_new_tokens=learner.max_new_tokens,
        )

    # An update that is not due leaves the state as it is, and zeros for metrics.
    _, shapes = jax.eval_shape(update, state)
    nothing = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    state, metrics = jax.lax.cond(due, update, lambda state: (state, nothing), state)
    return state, {**metrics, "update/tried": due}
