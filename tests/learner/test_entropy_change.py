"""Three figures for one question: predicted, first-order and realized change of entropy on the same
states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.learner import entropy_change
from papo_jax.training.session import prepare
from tests.support.seeds import make_key


@pytest.fixture(scope="module")
def session(small, tmp_path_factory):
    return prepare(small(), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def rollout(session):
    """(parameters, trajectories, mask)."""
    params = jax.device_get(session.initial.params)
    _, trajectories = session.programs.rollout(params, session.prompts(range(4)), make_key(2))
    return params, trajectories, np.asarray(trajectories.mask)


def change(session, rollout, size):
    """Both changes at every generated token for a random step of a given size."""
    params, trajectories, mask = rollout
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(make_key(3), len(leaves))
    moved = [
        leaf + size * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    found = session.programs.entropy_change(params, structure.unflatten(moved), trajectories)
    return np.asarray(found.directional)[mask], np.asarray(found.realized)[mask]


def test_realized_change_tends_to_the_directional_derivative(session, rollout):
    gaps = []
    for size in (2e-3, 5e-4, 1.25e-4):
        directional, realized = change(session, rollout, size)
        gaps.append(np.linalg.norm(realized - directional) / np.linalg.norm(directional))
    # The next order is quadratic, so a step four times smaller leaves a gap about four times
    # smaller.
    assert gaps[2] < 0.02 and gaps[1] < 0.45 * gaps[0] and gaps[2] < 0.45 * gaps[1]
    large = (
        np.abs(directional) > 0.1 * np.abs(directional).max()
    )  # elsewhere float32 has too few digits
    assert large.mean() > 0.2
    np.testing.assert_allclose(realized[large] / directional[large], 1.0, atol=0.1)


def test_directional_change_is_linear_in_the_step(session, rollout):
    small_step, large_step = change(session, rollout, 1e-3)[0], change(session, rollout, 2e-3)[0]
    np.testing.assert_allclose(large_step, 2 * small_step, rtol=2e-3, atol=1e-5)


def test_groups_by_hand():
    # One token a group and one without polarity; the four groups hold all but the last.
    values = jnp.array([[1.0, 2.0, 3.0, 4.0, 5.0, 99.0]])
    polarity = jnp.array([[0.1, -0.2, 0.3, -0.4, 0.0, 0.5]])
    advantages = jnp.array([[1.0, 1.0, -1.0, -1.0, 1.0, 1.0]])
    mask = jnp.array([[True, True, True, True, True, False]])
    found = entropy_change.summarize(
        entropy_change.EntropyChange(values, 2 * values), 3 * values, polarity, advantages, mask
    )
    for number, group in enumerate(entropy_change.GROUPS):
        np.testing.assert_allclose(
            found[f"entropy_change/directional/{group}"], (number + 1) / 5, rtol=1e-6
        )
        np.testing.assert_allclose(
            found[f"entropy_change/realized/{group}"], 2 * (number + 1) / 5, rtol=1e-6
        )
        np.testing.assert_allclose(
            found[f"entropy_change/polarity/{group}"], 3 * (number + 1) / 5, rtol=1e-6
        )
    np.testing.assert_allclose(
        found["entropy_change/directional"], 15 / 5, rtol=1e-6
    )  # 5 belongs to no group


@pytest.mark.parametrize(
    "method, minibatches",
    [
        pytest.param("grpo", 1, marks=pytest.mark.slow),
        pytest.param("papo", 1, marks=pytest.mark.slow),
        ("papo", 2),
    ],
)
def test_groups_add_up_to_the_prediction(small, train, tmp_path, method, minibatches):
    # On policy the ratio is 1, so the update's own g T is pressure x polarity, token by token; with
    # two small # updates the ratio is still near 1, and their counts differ a little.
    once = {
        "method.name": method,
        "training.minibatches": minibatches,
        "training.steps": 2,
        "diagnostics.every": 1,
    }
    once["training.learning_rate"] = 1e-6
    once |= {"method.lam": 0.4, "method.phase": "fixed"} if method == "papo" else {}
    if method == "grpo":
        once["method.kl_coefficient"] = (
            0.0  # its gradient has no advantage, so it belongs to no group
        )
    rows, _ = train(small(once), tmp_path)
    assert any(row["entropy_change/polarity"] for row in rows)
    for row in rows:
        total = sum(row[f"entropy_change/polarity/{group}"] for group in entropy_change.GROUPS)
        np.testing.assert_allclose(
            total, row["entropy_change/polarity"], rtol=1e-3 if minibatches == 1 else 0.5, atol=1e-9
        )


def test_only_steps_that_are_due_are_diagnosed(small, train, tmp_path):
    rows, _ = train(small({"training.steps": 3, "diagnostics.every": 2}), tmp_path)
    assert ["entropy_change/realized" in row for row in rows] == [True, False, True]
    assert all("entropy_change/polarity" in row for row in rows)
