"""Tokens of an environment in the middle of an answer: attention sees them, nothing counts them.

An answer that begins with two tokens, goes on with three of the environment and then with the rest
is what two answers are, of which the second has all that comes before in its prompt: the same
tokens under the same attention, and both with the answer's reward. So statistics, weights, loss and
gradient must be the same. Shapes: B sequences, T completion slots.
"""

import jax
import numpy as np
import pytest

from papo_jax.learner.batches import Trajectories
from papo_jax.learner.parameter_polarity import compute_unit_parameter_polarity
from tests.support.learning import (
    PAPO,
    REWARDS,
    assert_near,
    assert_same_change,
    compiled,
    learn_once,
    make_learner,
)
from tests.support.rows import make_grades
from tests.support.seeds import make_rng

FIRST, GIVEN = 2, 3


@pytest.fixture(scope="module")
def environment(stored_rollout) -> np.ndarray:
    """What the environment writes, [B, 3]: tokens of other answers."""
    return make_rng(0).permutation(stored_rollout.tokens)[:, :GIVEN]


@pytest.fixture(scope="module")
def whole(stored_rollout, environment) -> Trajectories:
    """Answers with the environment's tokens in the middle, where there is a rest."""
    tokens, action = stored_rollout.tokens, stored_rollout.action
    start, rest = action[:, :FIRST], action[:, FIRST:]
    given = np.repeat(rest[:, :1], GIVEN, axis=1)
    return stored_rollout._replace(
        tokens=np.concatenate([tokens[:, :FIRST], environment, tokens[:, FIRST:]], axis=1),
        valid=np.concatenate([start, given, rest], axis=1),
        action=np.concatenate([start, np.zeros_like(given), rest], axis=1),
    )


@pytest.fixture(scope="module")
def split(stored_rollout, environment) -> Trajectories:
    """Two answers for each: the start, and the rest with everything before in its prompt."""
    stored, slots = stored_rollout, stored_rollout.tokens.shape[1] - FIRST
    before = FIRST + GIVEN

    def widen(array, width, *, left):
        padding = (width - array.shape[1], 0) if left else (0, width - array.shape[1])
        return np.pad(array, ((0, 0), padding))

    prompt_width = stored.prompt_tokens.shape[1] + before
    start = Trajectories(
        prompt_tokens=widen(stored.prompt_tokens, prompt_width, left=True),
        prompt_valid=widen(stored.prompt_valid, prompt_width, left=True),
        tokens=widen(stored.tokens[:, :FIRST], slots, left=False),
        valid=widen(stored.valid[:, :FIRST], slots, left=False),
        action=widen(stored.action[:, :FIRST], slots, left=False),
    )
    rest = Trajectories(
        prompt_tokens=np.concatenate(
            [stored.prompt_tokens, stored.tokens[:, :FIRST], environment], axis=1
        ),
        prompt_valid=np.pad(stored.prompt_valid, ((0, 0), (0, before)), constant_values=True),
        tokens=stored.tokens[:, FIRST:],
        valid=stored.valid[:, FIRST:],
        action=stored.action[:, FIRST:],
    )
    return jax.tree.map(
        lambda a, b: np.stack([a, b], axis=1).reshape(-1, a.shape[1]), *(start, rest)
    )


def lay_out_alike(of_whole, of_split) -> tuple[np.ndarray, np.ndarray]:
    """[B, T] of the whole answers, and of the split ones the same tokens laid out alike."""
    pairs = np.asarray(of_split).reshape(-1, 2, of_split.shape[1])
    start, rest = pairs[:, 0, :FIRST], pairs[:, 1]
    given = np.zeros((len(pairs), GIVEN), start.dtype)
    return np.asarray(of_whole), np.concatenate([start, given, rest], axis=1)


def test_attention_sees_them_and_statistics_do_not_count_them(score_rollout, whole, split):
    one, two = score_rollout(whole), score_rollout(split)
    assert (whole.valid & ~whole.action).any(axis=1).sum() > 4
    for name in ("logprob", "entropy", "unit_polarity"):
        values, others = lay_out_alike(getattr(one.stats, name), getattr(two.stats, name))
        np.testing.assert_allclose(values, others, rtol=0, atol=1e-4, err_msg=name)
        assert not values[~whole.action].any()
    np.testing.assert_allclose(one.entropy, two.entropy, rtol=1e-5)
    # Unseen, they leave another policy of the rest.
    unseen = score_rollout(whole._replace(valid=whole.action)).stats.logprob
    gap = np.abs(np.asarray(one.stats.logprob) - unseen)
    assert gap[:, :FIRST].max() < 1e-4 and gap[:, FIRST:].max() > 1e-2


def test_loss_weights_and_entropy_do_not_count_them(state, score_rollout, scorer, whole, split):
    learner = make_learner(PAPO, minibatches=1)
    one, found = learn_once(
        state, score_rollout(whole), make_grades(REWARDS), scorer, learner=learner
    )
    grades = make_grades(np.repeat(REWARDS, 2, axis=1))
    two, expected = learn_once(state, score_rollout(split), grades, scorer, learner=learner)
    assert not found.weighted.loss_mask[~whole.action].any()
    for name in ("advantages", "weights", "polarity", "loss_weights"):
        assert_near(*lay_out_alike(getattr(found.weighted, name), getattr(expected.weighted, name)))
    assert len(np.unique(found.weighted.weights[whole.action])) > 1
    assert_near(found.metrics, expected.metrics)
    assert_near(found.updates, expected.updates)
    assert float(found.updates["grad_norm"][0]) > 0
    assert_same_change(one, two, state)


@pytest.mark.slow
def test_parameter_polarity_does_not_count_them(state, scorer, whole, split):
    compute = compiled(compute_unit_parameter_polarity)
    found, expected = (compute(state.params, None, rows, scorer) for rows in (whole, split))
    values, others = lay_out_alike(found, expected)
    assert_near(values, others)
    assert not values[~whole.action].any() and values[whole.action].any()
