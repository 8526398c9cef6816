"""`learn`: its updates are those of `update_minibatch`, and what it leaves out is not made.

Shapes: B sequences, T completion slots.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.learner.batches import Rollout, UpdateBatch
from papo_jax.learner.learn import learn
from papo_jax.learner.minibatches import UpdatePlan
from papo_jax.learner.state import Stream, stream_key
from papo_jax.learner.update import update_minibatch
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import presets
from tests.support.learning import (
    MAX_NEW_TOKENS,
    PAPO,
    REWARDS,
    assert_near,
    assert_same_change,
    compiled,
    learn_once,
    make_learner,
)
from tests.support.rows import make_grades
from tests.support.seeds import make_key

SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def rollout(score_rollout, stored_rollout) -> Rollout:
    return score_rollout(jax.tree.map(jnp.asarray, stored_rollout))


def update_one_by_one(state, batch: UpdateBatch, plan: UpdatePlan, scorer, *, learner):
    """The updates of a plan that are due, each a program of its own: (state, metrics of each)."""
    update = compiled(
        functools.partial(
            update_minibatch,
            method=learner.method,
            optimizer=learner.optimizer,
            max_new_tokens=learner.max_new_tokens,
        )
    )
    found = []
    for number in np.flatnonzero(plan.due):
        rows = np.asarray(plan.rows[number])
        minibatch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], batch)
        state, metrics = update(state, minibatch, plan.keys[number], scorer)
        found.append(metrics)
    return jax.device_get((state, found))


@pytest.mark.parametrize(
    "method",
    [
        PAPO,
        # A pass for the statistics, choices by the plan's keys, and its own presets' shares.
        pytest.param(presets.get("clip_cov", covariance_share=0.2, covariance_low=0.0), marks=SLOW),
        pytest.param(presets.get("grpo"), marks=SLOW),
        pytest.param(presets.get("psr"), marks=SLOW),
    ],
    ids=lambda method: method.name,
)
def test_updates_are_those_of_update_minibatch(state, rollout, scorer, policy, method):
    reference = None
    if method.needs_reference:
        params = jax.tree.map(lambda leaf: 1.01 * leaf, policy.params)
        reference = compiled(scorer.score)(params, rollout.trajectories).logprob
        rollout = rollout._replace(reference_logprob=reference)
    grades, learner = make_grades(REWARDS), make_learner(method, epochs=2)
    after, output = learn_once(state, rollout, grades, scorer, learner=learner)

    # The same in plain steps: weigh, lay out a batch, plan, update.
    weighted, metrics = compute_weighted_advantages(
        rollout,
        grades,
        state.entropy_trajectory,
        key=stream_key(state.key, state.step, Stream.WEIGHTS),
        method=method,
        max_new_tokens=MAX_NEW_TOKENS,
    )
    old_logprob = rollout.stats.logprob
    batch = UpdateBatch(
        trajectories=rollout.trajectories,
        old_logprob=old_logprob,
        reference_logprob=old_logprob if reference is None else reference,
        weighted_advantages=weighted.weights * weighted.advantages,
        loss_mask=weighted.loss_mask,
        polarity=weighted.polarity,
        sequences=jnp.arange(16),
        accuracy=jnp.repeat(REWARDS.mean(axis=1), 4),
    )
    weighed = state._replace(entropy_trajectory=weighted.entropy_trajectory)
    plan = learner.plan_updates(weighed, weighted.loss_mask.any(axis=1))
    expected, found = update_one_by_one(weighed, batch, plan, scorer, learner=learner)

    assert_near(output.batch, batch)
    assert_near(output.metrics, metrics)
    np.testing.assert_array_equal(output.plan.rows, plan.rows)
    np.testing.assert_array_equal(output.updates["update/tried"], plan.due)
    for name, values in output.updates.items():
        if name != "update/tried":
            assert_near(values[plan.due], np.array([metrics[name] for metrics in found]))
    assert_same_change(after, expected, state)
    assert int(after.step) == 1 and int(after.skipped) == 0
    assert_near(after.entropy_trajectory, weighted.entropy_trajectory)
    assert_near(after.opt_state, expected.opt_state)


def test_packed_minibatches_that_are_not_due_are_not_made(state, rollout, scorer):
    """Of 16 answers five are right, all that PSR learns from: two of four minibatches are due."""
    learner = make_learner(presets.get("psr"))
    after, output = learn_once(state, rollout, make_grades(REWARDS), scorer, learner=learner)
    assert output.plan.due.tolist() == [True, True, False, False]
    updates = output.updates
    assert updates["update/tried"].tolist() == [True, True, False, False]
    assert updates["update/made"].tolist() == [1, 1, 0, 0]
    for name, values in updates.items():
        assert not values[2:].any(), name
    assert (updates["grad_norm"][:2] > 0).all()

    # Momentum would go on moving the parameters in a third and fourth update.
    weighed = state._replace(entropy_trajectory=output.weighted.entropy_trajectory)
    expected, _ = update_one_by_one(weighed, output.batch, output.plan, scorer, learner=learner)
    assert_same_change(after, expected, state)
    assert_near(after.opt_state, expected.opt_state)


def test_a_kl_term_without_a_reference_is_refused(state, rollout, scorer):
    learner = make_learner(presets.get("grpo"))
    with pytest.raises(ValueError, match="'grpo' needs the rollout's reference_logprob"):
        jax.eval_shape(
            functools.partial(learn, scorer=scorer, learner=learner),
            state,
            rollout,
            make_grades(REWARDS),
        )


# Rows of the first group, which is spoilt, in updates 0, 2, 3 and 4.
SPOILT_PLAN = [[0, 4], [5, 6], [1, 7], [2, 8], [3, 9], [10, 11], [12, 13], [14, 15]]


def fixed_plan(state, kept) -> UpdatePlan:
    keys = jax.random.split(make_key(0), len(SPOILT_PLAN))
    return UpdatePlan(rows=jnp.array(SPOILT_PLAN), keys=keys, due=jnp.ones(len(SPOILT_PLAN), bool))


@pytest.mark.parametrize(
    "max_skipped, tried, skipped, made, in_a_row",
    [
        (3, [1, 1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], 3),
        pytest.param(
            None,
            [1] * 8,
            [1, 0, 1, 1, 1, 0, 0, 0],
            [0, 1, 0, 0, 0, 1, 1, 1],
            0,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_after_so_many_skips_in_a_row_no_update_is_made(
    state, rollout, scorer, max_skipped, tried, skipped, made, in_a_row
):
    grades = make_grades(REWARDS)
    grades = grades._replace(rewards=np.where(np.arange(4)[:, None] == 0, np.nan, grades.rewards))
    learner = make_learner(presets.get("dapo"), fixed_plan, max_skipped=max_skipped)
    after, output = learn_once(state, rollout, grades, scorer, learner=learner)
    updates = output.updates
    assert updates["update/tried"].tolist() == [bool(number) for number in tried]
    assert updates["update/skipped"].tolist() == skipped
    assert updates["update/made"].tolist() == made
    assert int(after.skipped) == in_a_row

    # The state is that after the updates that were made, and nothing else is in it.
    plan = output.plan._replace(due=np.array(made, bool))
    weighed = state._replace(entropy_trajectory=output.weighted.entropy_trajectory)
    expected, _ = update_one_by_one(weighed, output.batch, plan, scorer, learner=learner)
    assert_same_change(after, expected, state)
    assert_near(after.opt_state, expected.opt_state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))
