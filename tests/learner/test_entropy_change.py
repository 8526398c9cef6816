"""Three figures for one question: predicted, first-order and realized change of entropy."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax import polarity
from papo_jax.learner import entropy_change
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.training.training_run import prepare_run
from tests.support.float64 import widen
from tests.support.seeds import make_rng


@pytest.fixture(scope="module")
def prepared(small, tmp_path_factory):
    with contextlib.closing(prepare_run(small(), tmp_path_factory.mktemp("run"))) as made:
        yield made


def move(params, size):
    """Parameters after a random step of a given size, in their own dtype."""
    rng = make_rng(3)
    return jax.tree.map(
        lambda leaf: leaf + (size * rng.normal(size=leaf.shape)).astype(leaf.dtype), params
    )


@pytest.fixture(scope="module")
def change(prepared, stored_rollout):
    """A function from parameters before and after to both changes at every token of the rollout."""

    def measure(before, after):
        found = prepared.programs.measure_entropy_change(before, after, stored_rollout)
        return tuple(np.asarray(values)[stored_rollout.action] for values in found)

    return measure


@pytest.fixture(scope="module")
def exact_change(prepared, stored_rollout):
    """The same in float64."""
    program = jax.jit(
        entropy_change.measure_entropy_change,
        compiler_options={"xla_backend_optimization_level": 0},
    )

    def measure(before, after):
        with jax.enable_x64(True):
            graph, before = widen(prepared.policy, before)
            _, after = widen(prepared.policy, after)
            found = program(before, after, stored_rollout, PolicyScorer(graph))
            return tuple(np.asarray(values)[stored_rollout.action] for values in found)

    return measure


@pytest.fixture(scope="module")
def params(prepared):
    return jax.device_get(prepared.initial.params)


def test_realized_change_tends_to_the_directional_derivative(exact_change, params):
    start, gaps = jax.tree.map(np.float64, params), []
    for size in (2e-5, 1e-5):
        directional, realized = exact_change(start, move(start, size))
        gaps.append(np.linalg.norm(realized - directional) / np.linalg.norm(directional))
    # The next order is quadratic, so that half a step leaves half the gap, as a share; the one
    # after it adds some 2 x gap. Were the derivative wrong, the share would stay.
    assert gaps[0] < 0.01
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=10 * gaps[0])


def test_float32_is_enough_for_a_step_of_training(change, exact_change, params):
    after = move(params, 1e-3)
    directional, realized = change(params, after)
    exact_directional, exact_realized = exact_change(params, after)
    # A derivative is a product of rounded factors, and a difference of two entropies has the
    # roundings of both: of logits up to 20, some eps 20 = 1e-6 nats. Seen: 4e-6 of the largest, and
    # 3e-6 nats.
    np.testing.assert_allclose(
        directional, exact_directional, rtol=0, atol=1e-4 * np.abs(exact_directional).max()
    )
    np.testing.assert_allclose(realized, exact_realized, rtol=0, atol=5e-5)
    assert np.abs(exact_realized).max() > 1e-2


def test_directional_change_is_the_theorys(prepared, change, params, stored_rollout):
    after, scorer = move(params, 1e-3), PolicyScorer(prepared.policy.graph)

    def entropy(params):
        return scorer.token_stats(params, stored_rollout, implementation="reference").entropy

    @jax.jit
    def reference(params, after):
        step = jax.tree.map(jnp.subtract, after, params)
        return polarity.directional_entropy_change(entropy, params, step)

    expected = np.asarray(reference(params, after))[stored_rollout.action]
    directional, _ = change(params, after)
    np.testing.assert_allclose(directional, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_directional_change_is_linear_in_the_step(change, params):
    once, twice = (change(params, move(params, size))[0] for size in (1e-3, 2e-3))
    np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=1e-4 * np.abs(twice).max())


def test_groups_by_hand():
    # One token a group and one without polarity; the four groups hold all but the last.
    values = jnp.array([[1.0, 2.0, 3.0, 4.0, 5.0, 99.0]])
    signs = jnp.array([[0.1, -0.2, 0.3, -0.4, 0.0, 0.5]])
    advantages = jnp.array([[1.0, 1.0, -1.0, -1.0, 1.0, 1.0]])
    mask = jnp.array([[True, True, True, True, True, False]])
    found = entropy_change.summarize_entropy_change(
        change=entropy_change.EntropyChange(directional=values, realized=2 * values),
        predicted=3 * values,
        polarity=signs,
        advantages=advantages,
        mask=mask,
    )
    for number, group in enumerate(entropy_change.TOKEN_GROUPS):
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


@pytest.mark.usefixtures("mixed_verdicts")
@pytest.mark.parametrize(
    "method, minibatches",
    [
        pytest.param("grpo", 1, marks=pytest.mark.slow),
        pytest.param("papo", 1, marks=pytest.mark.slow),
        ("papo", 2),
    ],
)
def test_groups_add_up_to_the_prediction(small, train, tmp_path, method, minibatches):
    # On policy the ratio is 1, so the update's own g T is loss weight x polarity, token by token.
    # That holds for two updates too where each has half of the tokens and the first is tiny.
    once = {
        "method.name": method,
        "rollout.max_new_tokens": 1,
        "training.learning_rate": 1e-9,
        "training.minibatches": minibatches,
        "training.steps": 2,
        "diagnostics.every": 1,
    }
    once |= {"method.lam": 0.4, "method.phase": "fixed"} if method == "papo" else {}
    if method == "grpo":
        once["method.kl_coefficient"] = (
            0.0  # its gradient has no advantage, so it belongs to no group
        )
    rows, _ = train(small(once), tmp_path)
    for row in rows:
        # Terms of one group have one sign, so that `size` is what they sum to without signs.
        groups = [row[f"entropy_change/polarity/{group}"] for group in entropy_change.TOKEN_GROUPS]
        size = np.abs(groups).sum()
        assert size > 0
        np.testing.assert_allclose(
            sum(groups), row["entropy_change/polarity"], rtol=0, atol=1e-4 * size
        )


def test_only_steps_that_are_due_are_diagnosed(small, train, tmp_path):
    rows, _ = train(small({"training.steps": 3, "diagnostics.every": 2}), tmp_path)
    assert ["entropy_change/realized" in row for row in rows] == [True, False, True]
    assert all("entropy_change/polarity" in row for row in rows)
