"""Entropy polarity: closed forms, invariances, and finite differences of the entropy itself.

Shapes: B sequences, T time, V vocabulary; a number in front is a stack of random states. All in
float64.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import token_stats
from papo_jax import polarity as theory
from tests.support.seeds import make_rng

V = 12


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def states(count=200, seed=0):
    """Draws states, from nearly uniform to peaked.

    Returns:
      (logits [count, V], tokens [count], advantages [count], p [count, V], H [count]).
    """
    draw = make_rng(seed)
    logits = draw.normal(size=(count, V)) * np.linspace(0.1, 4.0, count)[:, None]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (
        logits,
        draw.integers(V, size=count),
        draw.normal(size=count),
        p,
        -(p * np.log(p)).sum(axis=1),
    )


unit_polarity = jax.jit(theory.unit_polarity)
decompose = jax.jit(theory.decompose)
entropy = jax.jit(lambda logits: token_stats(logits, jnp.zeros(logits.shape[:-1], int)).entropy)


def of_every_token(logits):
    """T of each token in turn, [count, V]."""
    return np.stack([unit_polarity(logits, np.full(len(logits), v)) for v in range(V)], axis=1)


def take_step(params, step, *, by):
    """Returns the parameters moved along a step, by so many times its length."""
    return jax.tree.map(lambda leaf, change: leaf + by * change, params, step)


class TestUnitPolarity:
    def test_its_mean_under_the_policy_is_zero(self):
        logits, _, _, p, _ = states()
        np.testing.assert_allclose((p * of_every_token(logits)).sum(axis=1), 0.0, atol=1e-14)

    def test_first_order_change_of_entropy(self):
        # dz = eta A (e_y - p), T the slope at 0. One-sided differences err by O(eta), central ones
        # by O(eta^2).
        logits, tokens, advantages, p, start = states()
        predicted = advantages * unit_polarity(logits, tokens)
        move = advantages[:, None] * (np.eye(V)[tokens] - p)
        errors = []
        for eta in (1e-2, 1e-3, 1e-4):
            np.testing.assert_allclose(
                (entropy(logits + eta * move) - start) / eta, predicted, atol=10 * eta
            )
            central = (entropy(logits + eta * move) - entropy(logits - eta * move)) / (2 * eta)
            errors.append(np.abs(central - predicted).max())
        assert errors[2] < 1e-7
        np.testing.assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 100, rtol=0.05)

    def test_at_a_temperature_it_is_the_slope_in_tempered_logits(self):
        logits, tokens, *_ = states()
        tempered = jax.jit(functools.partial(theory.unit_polarity, temperature=0.7))(
            0.7 * logits, tokens
        )
        np.testing.assert_allclose(tempered, unit_polarity(logits, tokens), atol=1e-13)

    def test_adding_a_constant_changes_nothing(self):
        logits, tokens, *_ = states()
        np.testing.assert_allclose(
            unit_polarity(logits + 50.0, tokens), unit_polarity(logits, tokens), atol=1e-12
        )

    def test_columns_outside_the_support_change_nothing(self):
        logits, tokens, *_ = states()
        wider = np.concatenate([logits, np.full((len(logits), 3), -np.inf)], axis=1)
        np.testing.assert_allclose(
            unit_polarity(wider, tokens), unit_polarity(logits, tokens), atol=1e-15
        )

    @pytest.mark.parametrize(
        "row",
        [np.full(V, 2.0), np.where(np.arange(V) == 3, 0.0, -np.inf)],
        ids=["uniform", "one_hot"],
    )
    def test_nothing_to_move_on_uniform_and_one_hot_states(self, row):
        np.testing.assert_allclose(of_every_token(row[None]), 0.0, atol=1e-15)

    def test_expected_drift_is_a_covariance(self):
        # sampling y from p moves z by p (A - E A) on average; that changes H by eta Cov(A, T)
        logits, _, _, p, _ = states()
        advantages, unit = (make_rng(5).normal(size=logits.shape), of_every_token(logits))
        mean = (p * advantages).sum(axis=1, keepdims=True)
        covariance = (p * (advantages - mean) * unit).sum(axis=1)
        move = 1e-4 * p * (advantages - mean)
        np.testing.assert_allclose(
            (entropy(logits + move) - entropy(logits - move)) / 2e-4, covariance, atol=1e-7
        )


class TestDecompose:
    def test_parts_are_those_of_the_definition(self):
        logits, tokens, advantages, p, start = states()
        contribution = p * (start[:, None] + np.log(p))  # S
        sampled, distributional = decompose(logits, tokens, advantages)
        picked = contribution[np.arange(len(tokens)), tokens]
        np.testing.assert_allclose(sampled, -advantages * picked, atol=1e-14)
        np.testing.assert_allclose(
            distributional, advantages * (p * contribution).sum(axis=1), atol=1e-14
        )
        whole = theory.entropy_polarity(unit_polarity(logits, tokens), advantages)
        np.testing.assert_allclose(sampled + distributional, whole, atol=1e-15)

    def test_sign_rule(self):
        # S_v = p_v (H + log p_v) is positive exactly where p_v > exp(-H); with A = -1 the sampled
        # part is S
        logits, tokens, _, p, start = states()
        sampled, distributional = decompose(logits, tokens, -np.ones(len(tokens)))
        margin = p[np.arange(len(tokens)), tokens] - np.exp(-start)
        np.testing.assert_array_equal(np.sign(sampled), np.sign(margin))
        assert (np.asarray(distributional) <= 0).all()  # C >= 0
        assert 20 < (margin > 0).sum() < 180  # both signs are there

    def test_a_token_outside_the_support_contributes_nothing(self):
        logits = np.array([[np.log(0.9), np.log(0.1), -np.inf]])
        sampled, distributional = decompose(logits, np.array([2]), np.array([1.0]))
        # H = 0.325083; C = 0.81 (H - 0.105361) + 0.01 (H - 2.302585) = 0.158201
        np.testing.assert_allclose([sampled[0], distributional[0]], [0.0, 0.158201], atol=1e-6)


def test_branches_and_dead_band():
    polarity = jnp.array([[2e-6, 1e-6, -2e-6, -1e-6], [0.0, jnp.nan, 0.5, -0.5]])
    mask = jnp.array([[True, True, True, True], [True, False, True, False]])
    positive, negative = theory.branches(polarity, mask)
    np.testing.assert_array_equal(
        positive, [[True, False, False, False], [False, False, True, False]]
    )
    np.testing.assert_array_equal(
        negative, [[False, False, True, False], [False, False, False, False]]
    )
    assert theory.apply_dead_band(jnp.array([2e-6, 1e-6, -1e-6, -2e-6])).tolist() == [
        2e-6,
        0.0,
        0.0,
        -2e-6,
    ]


def test_predicted_entropy_change_by_hand():
    polarity, mask = jnp.array([[0.2, -0.1, jnp.nan]]), jnp.array([[True, True, False]])
    # 0.1 (0.2 - 0.1) / 2 = 0.005, and 0 over no token
    np.testing.assert_allclose(theory.predicted_entropy_change(polarity, mask, 0.1), 0.005)
    assert theory.predicted_entropy_change(polarity, jnp.zeros_like(mask), 0.1) == 0.0


def test_directional_entropy_change_of_a_network():
    draw = make_rng(0)
    inputs = draw.normal(size=(3, 4, 2))
    params = {"in": draw.normal(size=(2, 6)), "out": draw.normal(size=(6, V))}
    update = jax.tree.map(lambda leaf: draw.normal(size=leaf.shape), params)

    def entropies(params):
        return entropy(jnp.tanh(inputs @ params["in"]) @ params["out"])

    along = jax.jit(functools.partial(theory.directional_entropy_change, entropies))(params, update)
    up, down = (take_step(params, update, by=by) for by in (1e-5, -1e-5))
    assert along.shape == (3, 4)
    np.testing.assert_allclose(along, (entropies(up) - entropies(down)) / 2e-5, atol=1e-8)


class TestParameterPolarity:
    @pytest.mark.parametrize("preconditioned", [False, True])
    def test_it_predicts_any_reweighted_step_through_shared_parameters(self, preconditioned):
        # loss -1/N sum w A log p, step theta - eta M grad: dHbar -> eta / N sum w P, slope 1 over
        # random weightings
        draw = make_rng(1)
        features, tokens, advantages = (
            draw.normal(size=(3, 2, 4)),
            draw.integers(5, size=(3, 2)),
            draw.normal(size=(3, 2)),
        )
        mask = np.array([[True, True], [True, False], [True, True]])
        params = {"head": draw.normal(size=(4, 5)), "bias": draw.normal(size=5)}
        scale = jax.tree.map(
            lambda leaf: (
                draw.uniform(0.1, 2.0, leaf.shape) if preconditioned else np.ones_like(leaf)
            ),
            params,
        )

        def stats(params):
            return token_stats(
                features @ params["head"] + params["bias"][None, None], tokens, temperature=0.7
            )

        def mean_entropy(params):
            return stats(params).entropy[mask].sum() / 5

        @jax.jit
        def realized(weights, eta=1e-6):
            def loss(params):
                return -(weights * advantages * stats(params).logprob)[mask].sum() / 5

            step = jax.tree.map(
                lambda m, gradient: -eta * m * gradient, scale, jax.grad(loss)(params)
            )
            after, before = (take_step(params, step, by=by) for by in (1, -1))
            return (mean_entropy(after) - mean_entropy(before)) / (2 * eta)

        of_tokens = jax.jit(
            lambda params: theory.parameter_polarity(
                lambda at: stats(at).logprob,
                lambda at: stats(at).entropy,
                params,
                advantages,
                mask,
                preconditioner=scale if preconditioned else None,
            )
        )(params)
        assert of_tokens.shape == (3, 2) and of_tokens[1, 1] == 0
        weightings = draw.uniform(0.5, 1.5, size=(20, 3, 2))
        predicted = (weightings * np.asarray(of_tokens)).sum(axis=(1, 2)) / 5
        actual = np.array([realized(weights) for weights in weightings])
        np.testing.assert_allclose(
            (actual * predicted).sum() / (predicted**2).sum(), 1.0, atol=1e-6
        )
        np.testing.assert_allclose(actual, predicted, atol=1e-8)

    def test_with_a_parameter_per_logit_it_is_polarity_times_the_states_share(self):
        # Parameters = logits of two states; three tokens pass through state 0 and one through state
        # 1 (N = 4). # grad log p(y) = e_y - p and grad Hbar = n_k / N (-S) at state k, so P_theta =
        # A n_k / N (C - S_y) = n_k / N P. # The step moves state k by eta / N sum_{its tokens} A
        # (e_y - p): its own change is eta / N sum P, aggregated.
        table = make_rng(3).normal(size=(2, V))
        visited, tokens = np.array([[0, 0], [0, 1]]), np.array([[4, 7], [0, 2]])
        advantages = np.array([[1.0, -0.5], [2.0, 1.5]])

        def stats(table):
            return token_stats(table[visited], tokens)

        of_tokens = jax.jit(
            lambda table: theory.parameter_polarity(
                lambda at: stats(at).logprob,
                lambda at: stats(at).entropy,
                table,
                advantages,
                jnp.ones((2, 2), bool),
            )
        )(table)
        local = advantages * np.asarray(unit_polarity(table[visited], tokens))
        np.testing.assert_allclose(
            of_tokens, local * np.array([[0.75, 0.75], [0.75, 0.25]]), atol=1e-14
        )

        p = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
        move = np.zeros_like(table)
        for state, token, advantage in zip(visited.flat, tokens.flat, advantages.flat, strict=True):
            move[state] += advantage * (np.eye(V)[token] - p[state]) / 4
        change = (
            np.asarray(entropy(table + 1e-5 * move)) - np.asarray(entropy(table - 1e-5 * move))
        ) / 2e-5
        aggregated = np.array([local[visited == state].sum() for state in (0, 1)]) / 4
        np.testing.assert_allclose(change, aggregated, atol=1e-9)
