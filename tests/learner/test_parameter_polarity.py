"""Parameter polarity: against its definition, against the steps that it predicts, and in a run.

Policy and rollout are stored, so every machine tests with the same numbers, and what float32 rounds
is held against float64. Shapes: B sequences, T completion slots.
"""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from papo_jax import polarity
from papo_jax.learner.batches import Rollout
from papo_jax.learner.parameter_polarity import adam_preconditioner, compute_unit_parameter_polarity
from papo_jax.learner.state import make_optimizer
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.training.learner_parts import make_learner
from papo_jax.training.step import train_step
from papo_jax.training.training_run import prepare_run
from tests.support.float64 import widen
from tests.support.rows import make_grades
from tests.support.seeds import make_key, make_rng

FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}
compiled = functools.partial(jax.jit, compiler_options=FAST_TO_COMPILE)
# How well float32 knows u, as a share of the largest one. It is an inner product of two gradients,
# each rounded by some eps = 6e-8 of its size; beside float64 the error was 2e-6 of the largest u.
SHARE = 1e-4
# Weights without bounds and scale, so that they are 1 +- lam.
PARAMETER = {
    "method.name": "papo_parameter",
    "method.phase": "fixed",
    "method.lam": 0.4,
    "method.renormalize": False,
    "rollout.temperature": 0.8,
}


@pytest.fixture(scope="module")
def prepared(small, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    with contextlib.closing(prepare_run(small(PARAMETER), workdir)) as made:
        yield made


@pytest.fixture(scope="module")
def params(prepared):
    return jax.device_get(prepared.initial.params)


@pytest.fixture(scope="module")
def scorer(prepared):
    return prepared.scorer


@pytest.fixture(scope="module")
def trajectories(stored_rollout):
    return stored_rollout


@pytest.fixture(scope="module")
def stats_at(scorer, trajectories):
    """The plain, forward-mode statistics of the rollout as a function of the parameters."""
    return lambda params: scorer.token_stats(params, trajectories, implementation="forward")


@pytest.fixture(scope="module")
def unit(prepared, params, scorer, trajectories):
    """u as the run itself computes it, [B, T]: in two parts, and without an update M = 1."""
    assert prepared.settings.sequences == 2 * prepared.settings.microbatch
    learner = make_learner(prepared.settings, optax.identity())
    preconditioner = learner.preconditioner(prepared.initial.opt_state)
    return np.asarray(
        compiled(compute_unit_parameter_polarity)(params, preconditioner, trajectories, scorer)
    )


def close(got, want):
    """To a share of the largest entry."""
    np.testing.assert_allclose(got, want, rtol=0, atol=SHARE * np.abs(want).max())


def test_is_parameter_polarity_in_however_many_parts(scorer, unit, params, trajectories, stats_at):
    rng, mask = make_rng(0), np.asarray(trajectories.action)
    advantages = rng.normal(size=mask.shape).astype(np.float32)
    preconditioner = jax.tree.map(
        lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32), params
    )

    @compiled
    def reference(preconditioner):
        return polarity.parameter_polarity(
            lambda p: stats_at(p).logprob,
            lambda p: stats_at(p).entropy,
            params,
            advantages=advantages,
            mask=mask,
            preconditioner=preconditioner,
        )

    in_four = dataclasses.replace(scorer, microbatch=len(mask) // 4)
    scaled = compiled(compute_unit_parameter_polarity)(
        params, preconditioner, trajectories, in_four
    )
    close(np.where(mask, advantages * unit, 0), reference(jax.tree.map(np.ones_like, params)))
    close(np.where(mask, advantages * scaled, 0), reference(preconditioner))
    assert np.abs(scaled - unit).max() > 0.1 * np.abs(unit).max()  # M matters
    assert (unit[mask] != 0).mean() > 0.9 and not unit[~mask].any()


def test_predicts_what_a_step_does_to_entropy(prepared, scorer, unit, params, trajectories):
    # One step of SGD on -1/N sum w A log p moves Hbar by eta / N sum w A u, but for a remainder of
    # second order.
    rng, mask = make_rng(3), np.asarray(trajectories.action)
    weights = rng.uniform(0.5, 1.5, mask.shape)
    advantages = rng.choice([-1.0, 1.0, 2.0], mask.shape)
    pull = np.where(mask, weights * advantages, 0.0)
    predicted = (pull * unit).sum() / mask.sum()

    with jax.enable_x64(True):
        graph, start = widen(prepared.policy, params)
        exact = dataclasses.replace(scorer, graph=graph)

        def stats(params):
            return exact.token_stats(params, trajectories, implementation="forward")

        def objective(params):
            return polarity.masked_mean(pull * stats(params).logprob, mask)

        slope = compiled(jax.grad(objective))(start)

        @compiled
        def entropy(eta):
            moved = jax.tree.map(lambda leaf, s: leaf + eta * s, start, slope)
            return polarity.masked_mean(stats(moved).entropy, mask)

        # The derivative by central differences, extrapolated, so that they err by O(h^4) < 1e-9
        # and, as float64 rounds, by 1e-16 / h = 1e-10.
        once, twice = (float(entropy(h) - entropy(-h)) / (2 * h) for h in (1e-6, 2e-6))
        # What is left is the rounding of u in float32.
        rounding = SHARE * np.abs(unit).max() * np.abs(pull).sum() / mask.sum()
        assert abs((4 * once - twice) / 3 - predicted) < rounding < 0.01 * np.abs(unit).max()

        # Taylor's theorem: the remainder of a step is at most eta^2 / 2 times the largest curvature
        # on the way, which is measured at five points.
        eta, h = 1.6e-4, 1e-5
        curvature = [
            float(entropy(at + h) - 2 * entropy(at) + entropy(at - h)) / h**2
            for at in np.linspace(0.0, eta, 5)
        ]
        gap = float(entropy(eta) - entropy(0.0)) - eta * predicted
        assert abs(gap) < 1.1 * eta**2 / 2 * np.abs(curvature).max() + eta * rounding


class TestAdam:
    optimizer = make_optimizer(
        learning_rate=0.1,
        warmup_steps=0,
        weight_decay=0.5,
        gradient_clip=1e9,
        b1=0.9,
        b2=0.5,
        epsilon=1.0,
    )

    def after(self, *gradients):
        opt_state = self.optimizer.init({"w": jnp.zeros(3)})
        for gradient in gradients:
            _, opt_state = self.optimizer.update(
                {"w": jnp.array(gradient)}, opt_state, {"w": jnp.ones(3)}
            )
        return adam_preconditioner(opt_state, b2=0.5, epsilon=1.0)["w"]

    def test_by_hand(self):
        # v = g^2 / 2 after one update, over 1 - 1/2: g^2; then v = (g1^2 + 2 g2^2) / 4 over 1 -
        # 1/4: (g1^2 + 2 g2^2) / 3. # For (1, 11), (5, 1) and 0 that is 81, 9 and 0, so M = 1 / (9 +
        # 1), 1 / (3 + 1) and 1 / (0 + 1).
        np.testing.assert_allclose(self.after(), [1, 1, 1])
        np.testing.assert_allclose(self.after([1.0, 5.0, 0.0]), [1 / 2, 1 / 6, 1], rtol=1e-6)
        np.testing.assert_allclose(
            self.after([1.0, 5.0, 0.0], [11.0, 1.0, 0.0]), [1 / 10, 1 / 4, 1], rtol=1e-6
        )

    def test_is_the_optimizers_own(self):
        # without momentum the step is -M g itself
        adam, gradients = (
            optax.adam(1.0, b1=0.0, b2=0.5, eps=1.0),
            ([1.0, -5.0, 0.3], [11.0, 1.0, -0.2]),
        )
        opt_state = adam.init(jnp.zeros(3))
        for gradient in gradients:
            moved, opt_state = adam.update(jnp.array(gradient), opt_state)
        found = adam_preconditioner(opt_state, b2=0.5, epsilon=1.0)
        np.testing.assert_allclose(-moved, found * np.array(gradients[-1]), rtol=1e-6)


class TestRun:
    def test_weights(self, prepared, params, unit, trajectories):
        mask = np.asarray(trajectories.action)
        rewards = np.resize([1.0, 0.0, 0.0], (4, 4)).astype(np.float32)
        rollout = Rollout(
            trajectories=trajectories,
            stats=prepared.programs.score(params, trajectories),
            entropy=np.float32(1),
        )
        weighted, _ = compute_weighted_advantages(
            rollout,
            make_grades(rewards),
            prepared.initial.entropy_trajectory,
            key=make_key(0),
            method=prepared.settings.method,
            max_new_tokens=prepared.settings.rollout.max_new_tokens,
            unit_parameter_polarity=unit,
        )
        signal = np.asarray(weighted.advantages * unit)
        clear = mask & (np.abs(signal) > 1e-5 * np.abs(signal).max())  # beyond the dead band
        assert clear.sum() > 0.5 * mask.sum()
        np.testing.assert_allclose(
            np.asarray(weighted.weights)[clear], 1 + 0.4 * np.sign(signal[clear]), rtol=1e-6
        )

    @pytest.mark.slow  # ten seconds to compile; `test_weights` is the default test of the signal
    @pytest.mark.usefixtures("mixed_verdicts")
    def test_steps(self, prepared):
        # The first under M = 1, the second under Adam's own. Among tokens of right and of wrong
        # answers are some of both signs.
        current = jax.tree.map(jnp.copy, prepared.initial)
        for number in range(2):
            before = jax.device_get(current.params)
            current, record = train_step(prepared, current, number)
            lowest, highest = (round(record.row[f"weight/{end}"], 6) for end in ("min", "max"))
            assert (lowest, highest) == (0.6, 1.4)
            assert record.row["update/skipped"] == 0 and record.row["grad_norm"] > 0
            assert not jax.tree.all(
                jax.tree.map(np.array_equal, before, jax.device_get(current.params))
            )
