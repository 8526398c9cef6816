"""Which states are saved: on schedule, at the end, on a signal, and never a sick one."""

import types

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from papo_jax.errors import TrainingStopped
from papo_jax.learner.state import init_state
from papo_jax.training.state_saving import save_if_due

NAN, INF = float("nan"), float("inf")


class Recorder:
    """Checkpoints that remember what was asked of them, and keep nothing."""

    def __init__(self, newest=None):
        self.newest, self.saved = newest, []

    def save(self, state, score, *, files, evaluated):
        self.saved.append((int(state.step), score))
        self.newest = int(state.step)


@pytest.fixture
def make_run(small, tmp_path):
    """A function from the newest checkpoint to a run of six steps that saves every second one."""

    def make(newest=None):
        return types.SimpleNamespace(
            settings=small({"training.steps": 5, "checkpoint.every": 2}),
            workdir=tmp_path,
            checkpoints=Recorder(newest),
            evaluations=None,
        )

    return make


def state_after(step, *, skipped=0, weight=1.0, moment=0.0):
    state = init_state({"w": jnp.full((3,), weight)}, optax.adam(0.1), 0)
    moments = state.opt_state[0]._replace(mu={"w": jnp.array([0.0, moment, 0.0])})
    return state._replace(
        step=jnp.int32(step), skipped=jnp.int32(skipped), opt_state=(moments, *state.opt_state[1:])
    )


REWARDS = {0: 0.1, 1: 0.3, 2: 0.5, 3: 0.9, 4: 0.7}


@pytest.mark.parametrize(
    "step, stopping, saved",
    [
        (1, False, []),
        (2, False, [(2, (0.1 + 0.3) / 2)]),
        (2, True, [(2, (0.1 + 0.3) / 2)]),  # due anyway
        (3, True, [(3, None)]),  # would not exist without the signal
        (4, False, [(4, (0.5 + 0.9) / 2)]),
        (5, False, [(5, (0.9 + 0.7) / 2)]),  # the last
        (5, True, [(5, (0.9 + 0.7) / 2)]),
    ],
)
def test_what_is_due_and_its_score(make_run, step, stopping, saved):
    run = make_run()
    save_if_due(run, state_after(step), REWARDS, stopping=stopping)
    assert [one for one, _ in run.checkpoints.saved] == [one for one, _ in saved]
    for (_, score), (_, wanted) in zip(run.checkpoints.saved, saved, strict=True):
        assert score == (None if wanted is None else pytest.approx(wanted, abs=0))


def test_rewards_that_are_lost_are_left_out_of_the_score(make_run):
    run = make_run()
    save_if_due(run, state_after(4), {0: 0.1, 3: 0.9}, stopping=False)
    assert run.checkpoints.saved == [(4, 0.9)]


@pytest.mark.parametrize(
    "sick", [{"weight": NAN}, {"weight": -INF}, {"moment": NAN}, {"moment": INF}]
)
@pytest.mark.parametrize("step, stopping", [(2, False), (5, False), (3, True)])
@pytest.mark.parametrize("skipped", [0, 1])
def test_a_state_that_is_not_finite_is_never_saved(make_run, sick, step, stopping, skipped):
    run = make_run(newest=1)
    with pytest.raises(TrainingStopped, match=f"step {step - 1}: .* not finite.*checkpoint 1 is"):
        save_if_due(run, state_after(step, skipped=skipped, **sick), REWARDS, stopping=stopping)
    assert run.checkpoints.saved == []


def test_skipped_updates_put_a_checkpoint_off_once(make_run):
    run = make_run()
    with pytest.warns(UserWarning, match="the last 1 update.s. before step 2 .*: no checkpoint"):
        save_if_due(run, state_after(2, skipped=1), REWARDS, stopping=False)
    assert run.checkpoints.saved == []
    with pytest.warns(UserWarning, match="the last 2 update.s. before step 4 .*are saved"):
        save_if_due(run, state_after(4, skipped=2), REWARDS, stopping=False)
    assert [step for step, _ in run.checkpoints.saved] == [4]


@pytest.mark.parametrize("step, stopping", [(5, False), (3, True)])
def test_the_state_that_a_run_ends_with_is_saved_if_it_is_finite(make_run, step, stopping):
    run = make_run(newest=2)
    with pytest.warns(UserWarning, match="were not finite; the parameters are, and are saved"):
        save_if_due(run, state_after(step, skipped=1), REWARDS, stopping=stopping)
    assert [one for one, _ in run.checkpoints.saved] == [step]


def test_values_at_the_edge_of_the_range_are_finite(make_run):
    run = make_run()
    largest = float(np.finfo(np.float32).max)
    save_if_due(run, state_after(2, weight=-largest, moment=largest), REWARDS, stopping=False)
    assert [step for step, _ in run.checkpoints.saved] == [2]
