"""Advantages by hand. Shapes: N prompts, G samples a prompt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from papo_jax.methods import advantages

group_normalized = jax.jit(advantages.group_normalized)


def test_group_normalized_by_hand():
    rewards = np.array([[0, 1, 2, 1], [1, 0, 0, 0]], np.float32)
    # row 0: mean 1, population deviation sqrt((1 + 0 + 1 + 0) / 4) = 0.70711, so -1 / 0.70711 =
    # -1.41421 # row 1: mean 1/4, deviation sqrt(3) / 4 = 0.43301, so 0.75 / 0.43301 = 1.73205 and
    # -0.25 / 0.43301 = -0.57735
    expected = [[-1.41421, 0, 1.41421, 0], [1.73205, -0.57735, -0.57735, -0.57735]]
    np.testing.assert_allclose(group_normalized(rewards), expected, atol=1e-5)


def test_epsilon_is_added_to_the_deviation():
    # mean 1/2, deviation 1/2: -0.5 / (0.5 + 0.5) = -0.5
    np.testing.assert_allclose(
        advantages.group_normalized(jnp.array([[0.0, 1.0]]), epsilon=0.5), [[-0.5, 0.5]]
    )


@pytest.mark.parametrize("reward", [0.0, 0.1, 1.0, -1e4, 1 / 3])
def test_equal_rewards_give_exact_zeros(reward):
    # Rounding would not: the mean of seven float32 0.1 is not 0.1, and that difference over epsilon
    # is not small.
    assert not np.any(group_normalized(np.full((2, 7), reward, np.float32)))


def test_one_sample_a_group_gives_zero():
    assert not np.any(group_normalized(np.array([[0.3], [0.7]], np.float32)))


def test_groups_must_be_rows():
    with pytest.raises(AssertionError):
        advantages.group_normalized(jnp.zeros(4))


tenths = hnp.arrays(np.int32, (3, 5), elements=st.integers(-10, 10))


@settings(max_examples=25)
@given(tenths)
def test_groups_are_centered_scaled_and_independent(rewards):
    rewards = rewards.astype(np.float32) / 10
    out = np.asarray(group_normalized(rewards))
    spread = rewards.std(axis=1) > 0
    np.testing.assert_allclose(out.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=1), spread, atol=1e-4)
    np.testing.assert_allclose(group_normalized(rewards[::-1]), out[::-1], atol=1e-6)
    np.testing.assert_allclose(
        group_normalized(2 * rewards + 4), out, atol=1e-4
    )  # the unit of rewards does not matter


def test_overlong_penalty_by_hand():
    # max_length 100, buffer 20: free up to 80, then (80 - length) / 20
    lengths = np.array([[0, 80, 81], [90, 95, 100]])
    expected = [[0, 0, -0.05], [-0.5, -0.75, -1]]
    np.testing.assert_allclose(
        advantages.overlong_penalty(lengths, max_length=100, buffer=20), expected, rtol=1e-6
    )
    assert not np.any(advantages.overlong_penalty(lengths, max_length=100, buffer=0))


def test_leave_one_out_by_hand():
    """Each reward minus the mean of the two others: 3 - 0.5, 1 - 1.5, 0 - 2."""
    found = advantages.leave_one_out(jnp.array([[3.0, 1.0, 0.0]]))
    np.testing.assert_allclose(found, [[2.5, -0.5, -2.0]], rtol=1e-6)
