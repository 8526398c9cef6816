"""The phase signal by hand, rollout by rollout."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papo_jax.methods import phase

ARGUMENTS = (
    "phase",
    "target",
    "target_start",
    "target_end",
    "target_steps",
    "initial_rollouts",
    "hysteresis",
)
update = jax.jit(phase.update, static_argnames=ARGUMENTS)


def run(entropies, **arguments):
    """(states after each rollout, signals)."""
    state, states, signals = phase.init(), [], []
    for entropy in entropies:
        state, s = update(state, np.float32(entropy), **arguments)
        states.append(state)
        signals.append(float(s))
    return states, signals


class TestLevel:
    def test_holding_the_initial_entropy(self):
        # H_0 = 0.6: (0.6 - 0.6), then (0.6 - 0.3) / (0.3 x 0.6) = 1.6667, then (0.6 - 0.69) / 0.18
        # = -0.5
        states, signals = run([0.6, 0.3, 0.69])
        np.testing.assert_allclose(signals, [0.0, math.tanh(5 / 3), math.tanh(-0.5)], rtol=1e-5)
        assert float(states[-1].initial) == np.float32(0.6)

    def test_a_target_in_nats_counts_from_the_first_rollout(self):
        # H_0 = 0.6 still sets the width: (0.5 - 0.6) / 0.18, (0.5 - 0.32) / 0.18
        _, signals = run([0.6, 0.32], target=0.5)
        np.testing.assert_allclose(signals, [math.tanh(-0.1 / 0.18), math.tanh(1.0)], rtol=1e-5)

    def test_a_falling_share_of_the_initial_entropy(self):
        # from 1 to 0.5 in 4 rollouts, then level; (share - 1) H_0 / (0.3 H_0)
        _, signals = run([0.8] * 6, target_start=1.0, target_end=0.5, target_steps=4)
        expected = [math.tanh((share - 1) / 0.3) for share in (1.0, 0.875, 0.75, 0.625, 0.5, 0.5)]
        np.testing.assert_allclose(signals, expected, rtol=1e-5, atol=1e-6)

    def test_initial_entropy_is_the_mean_of_the_first_rollouts(self):
        # (0.9 + 0.6 + 0.3) / 3 = 0.6, known with the third: (0.6 - 0.3) / 0.18; the fourth does not
        # count
        states, signals = run([0.9, 0.6, 0.3, 0.6], initial_rollouts=3)
        np.testing.assert_allclose(
            [float(state.initial) for state in states[2:]], [0.6, 0.6], rtol=1e-6
        )
        np.testing.assert_allclose(signals, [0, 0, math.tanh(0.3 / 0.18), 0], atol=1e-5)
        assert signals[:2] == [0.0, 0.0]

    def test_tau_widens(self):
        np.testing.assert_allclose(run([1.0, 0.5], tau=1.0)[1][1], math.tanh(0.5), rtol=1e-5)


class TestTrend:
    def test_compares_with_the_average_before(self):
        # EMA 0.5, then 0.9 x 0.5 + 0.1 x 0.45 = 0.495, then 0.9 x 0.495 + 0.1 x 0.6 = 0.5055
        states, signals = run([0.5, 0.45, 0.6], phase="trend")
        np.testing.assert_allclose(
            [float(state.ema) for state in states], [0.5, 0.495, 0.5055], rtol=1e-6
        )
        expected = [0.0, math.tanh(10 * 0.05 / 0.5), -math.tanh(10 * 0.105 / 0.495)]
        np.testing.assert_allclose(signals, expected, rtol=1e-5)

    def test_kappa_and_decay(self):
        states, signals = run([1.0, 0.8], phase="trend", kappa=2.0, decay=0.5)
        np.testing.assert_allclose(
            [signals[1], float(states[1].ema)], [math.tanh(0.4), 0.9], rtol=1e-6
        )


def test_fixed_is_constant_once_the_initial_entropy_is_known():
    assert run([0.5, 0.1, 2.0], phase="fixed", fixed=-0.25)[1] == [-0.25] * 3
    assert run([0.5, 0.1, 2.0], phase="fixed", initial_rollouts=2)[1] == [0.0, 1.0, 1.0]


def test_switch_by_hand():
    # H_ref = H_0 = 1, h = 0.1: +1 from below 0.9, -1 from above 1.1, in between as before, 0 at the
    # start
    states, _ = run([1.0, 0.95, 0.89, 1.05, 0.95, 1.11, 0.92, 1.09, 0.5])
    assert [int(state.switch) for state in states] == [0, 0, 1, 1, 1, -1, -1, -1, 1]


def test_switch_waits_for_the_initial_entropy():
    # running means 1, 0.75: the second rollout, 0.5 < 0.9 x 0.75, would turn it were H_0 known
    states, _ = run([1.0, 0.5, 0.75, 0.5], initial_rollouts=3)
    assert [int(state.switch) for state in states] == [0, 0, 0, 1]


def test_switch_has_the_width_and_the_target_asked_for():
    states, _ = run([1.0, 0.5, 0.39, 0.61, 0.41], target=0.5, hysteresis=0.2)
    assert [int(state.switch) for state in states] == [-1, -1, 1, -1, -1]


@pytest.mark.parametrize("name", phase.PHASES)
def test_scan_equals_a_loop(name):
    entropies = np.array([1.0, 0.9, 0.5, 0.7, 1.3], np.float32)
    step = functools.partial(
        phase.update, phase=name, initial_rollouts=2, target_end=0.5, target_steps=3
    )
    final, signals = jax.lax.scan(step, phase.init(), entropies)
    states, expected = run(
        entropies, phase=name, initial_rollouts=2, target_end=0.5, target_steps=3
    )
    np.testing.assert_allclose(signals, expected, rtol=1e-6)
    jax.tree.map(np.testing.assert_allclose, final, states[-1])
    assert int(final.count) == 5 and final.count.dtype == jnp.int32


@settings(max_examples=25)
@given(st.lists(st.floats(0, 12, width=32), min_size=1, max_size=5), st.sampled_from(phase.PHASES))
def test_the_signal_is_finite_and_bounded(entropies, name):
    # an entropy of exactly 0, at first or later, is a policy that has collapsed: still no division
    # by zero
    states, signals = run(entropies, phase=name)
    assert all(-1 <= s <= 1 for s in signals) and all(np.isfinite(leaf) for leaf in states[-1])


@pytest.mark.parametrize("entropy", [np.nan, np.inf])
@pytest.mark.parametrize("name", phase.PHASES)
def test_an_entropy_that_is_not_finite_changes_nothing_and_gives_no_signal(name, entropy):
    states, _ = run([1.0, 0.5], phase=name)
    after, s = phase.update(states[-1], jnp.float32(entropy), phase=name)
    assert s == 0
    jax.tree.map(np.testing.assert_array_equal, after, states[-1])


def test_unknown_phases_are_refused():
    with pytest.raises(ValueError, match="'slope'.*level"):
        phase.update(phase.init(), jnp.array(1.0), phase="slope")
