"""Every method trains, and what a method keeps in the state survives a stop."""

import contextlib

import jax
import numpy as np
import pytest

from papo_jax.methods import presets
from papo_jax.training.training_run import prepare_run

# Every step teaches, whatever the policy draws.
pytestmark = pytest.mark.usefixtures("mixed_verdicts")


@pytest.mark.slow
@pytest.mark.parametrize("name", presets.PRESETS)
def test_two_steps(small, train, tmp_path, name):
    made = small({"method.name": name, "training.minibatches": 2, "training.steps": 2})
    rows, state = train(made, tmp_path / "run")
    assert [row["step"] for row in rows] == [0, 1]
    for row in rows:
        assert all(value is not None and np.isfinite(value) for value in row.values()), row
        assert row["update/skipped"] == 0 and row["weight/min"] > 0
    assert any(row["grad_norm"] > 0 for row in rows)
    with contextlib.closing(prepare_run(made, tmp_path / "start")) as fresh:
        start = jax.device_get(fresh.initial.params)
    moved = jax.tree.map(lambda new, old: float(np.abs(new - old).max()), state.params, start)
    assert min(jax.tree.leaves(moved)) > 0


def coefficient_has_moved(rows, state):
    np.testing.assert_allclose(
        state.entropy_trajectory.adaptive_coefficient, 4e-4, rtol=1e-5
    )  # 1e-4 a step


def weights_have_acted(rows, state):
    assert any(row["weight/max"] > row["weight/min"] > 0 for row in rows[2:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, has_acted",
    [
        ({"method.name": "adaptive_entropy", "method.entropy_target": 9.0}, coefficient_has_moved),
        ({"method.name": "papo_parameter"}, weights_have_acted),
    ],
    ids=["adaptive_entropy", "papo_parameter"],
)
def test_two_and_two_are_four(small, train, tmp_path, method, has_acted):
    rows, state = train(small({**method, "training.steps": 4}), tmp_path / "whole")
    has_acted(rows, state)
    first, _ = train(small({**method, "training.steps": 2}), tmp_path / "parts")
    assert first == rows[:2]
    again, last = train(small({**method, "training.steps": 4}), tmp_path / "parts")
    assert again == rows
    jax.tree.map(np.testing.assert_array_equal, last, state)
