"""Plan of a rollout's updates: every row once an epoch, rows of the loss dealt out or packed."""

import jax
import numpy as np
import optax
import pytest

from papo_jax.learner.minibatches import plan_updates
from papo_jax.learner.state import Stream, init_state, stream_key
from tests.support.seeds import SEED, make_rng

ROWS = 16


@pytest.fixture(scope="module")
def state():
    return init_state({}, optax.identity(), SEED)._replace(step=np.int32(3))


def some_kept(number: int) -> np.ndarray:
    return make_rng(number).permutation(ROWS) < number


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("kept", [0, 1, 6, ROWS])
def test_every_row_comes_once_an_epoch(state, kept, pack):
    plan = plan_updates(state, some_kept(kept), minibatches=4, epochs=3, pack=pack)
    epochs = np.asarray(plan.rows).reshape(3, ROWS)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), [np.arange(ROWS)] * 3)
    assert len({tuple(rows) for rows in epochs.tolist()}) == 3


def test_rows_of_the_loss_are_dealt_out_evenly(state):
    kept = some_kept(6)
    plan = plan_updates(state, kept, minibatches=4, epochs=2, pack=False)
    assert kept[plan.rows].sum(axis=1).tolist() == [2, 2, 1, 1] * 2
    assert plan.due.all()


@pytest.mark.parametrize(
    "number, counts, due",
    [
        (6, [4, 2, 0, 0], [True, True, False, False]),
        (ROWS, [4, 4, 4, 4], [True] * 4),
        # A first one is due nevertheless: every epoch has figures.
        (0, [0, 0, 0, 0], [True, False, False, False]),
    ],
)
def test_rows_of_the_loss_are_packed(state, number, counts, due):
    kept = some_kept(number)
    plan = plan_updates(state, kept, minibatches=4, epochs=2, pack=True)
    assert kept[plan.rows].sum(axis=1).tolist() == counts * 2
    assert plan.due.tolist() == due * 2


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("number", [6, ROWS])
def test_order_and_keys_follow_from_the_states_key_and_step(state, number, pack):
    """The same in plain steps: an order an epoch, rows of the loss first, cut or dealt out."""
    kept = some_kept(number)
    plan = plan_updates(state, kept, minibatches=4, epochs=2, pack=pack)
    rows, keys = [], []
    for epoch in range(2):
        order_key = stream_key(state.key, state.step, Stream.MINIBATCHES)
        order = jax.random.permutation(jax.random.fold_in(order_key, epoch), ROWS)
        first = [row for row in np.asarray(order) if kept[row]]
        order = np.array(first + [row for row in np.asarray(order) if not kept[row]])
        cut = pack or kept.all()
        rows += list(order.reshape(4, 4) if cut else order.reshape(4, 4).T)
        selection_key = stream_key(state.key, state.step, Stream.SELECTION)
        keys += [jax.random.fold_in(selection_key, epoch)] * 4
    np.testing.assert_array_equal(plan.rows, rows)
    for planned, key in zip(plan.keys, keys, strict=True):
        np.testing.assert_array_equal(jax.random.key_data(planned), jax.random.key_data(key))
    other = plan_updates(
        state._replace(step=state.step + 1), kept, minibatches=4, epochs=2, pack=pack
    )
    assert (np.asarray(other.rows) != np.asarray(plan.rows)).any()
