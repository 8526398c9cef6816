"""PAPO and its ablations from rewards to weights, by hand: signals, directions, permutations.

Three tokens in two answers. A = +1 for the first two, -1 for the third. H_0 = 1 and the rollout's
entropy is 0.7, so that s = tanh((1 - 0.7) / 0.3) = tanh(1). Every sum of c abs(A) is 3, so that
weights 1 + x signs are rescaled by 3 / (3 + x sum(signs)).
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import TokenStats
from papo_jax.learner import gradients
from papo_jax.learner.batches import Trajectories, UpdateBatch
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import phase, presets
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import LossSum, Objective, TokenReduction, limit_mean
from papo_jax.methods.token_batch import TokenBatch
from tests.support.rows import make_grades, make_rollout
from tests.support.seeds import make_key

MASK = np.array([[True, True], [True, False]])
# T = (0.2, -0.1, -0.3): P = A T = (+, -, +).  log p + H = -0.5: S < 0, so -A S = (+, +, -).
# -sign(A) = (-, -, +).
T = np.array([[0.2, -0.1], [-0.3, 9.0]], np.float32)
EQUAL, APART = (
    np.array([[-1.0, -1.0], [-1.0, 9.0]], np.float32),
    np.array([[-1.0, -0.6], [-1.0, 9.0]], np.float32),
)  # log p
POLARITY, SAMPLED, ADVANTAGE_SIGN, PARAMETER = (1, -1, 1), (1, 1, -1), (-1, -1, 1), (-1, 1, -1)
LEVEL = math.tanh(1.0)


def weigh(method: Method, logprob=EQUAL, key: int = 0):
    """(the weights of the three tokens, what is logged)."""
    stats = TokenStats(
        logprob=logprob, logsumexp=0 * T, entropy=np.full_like(T, 0.5), unit_polarity=T
    )
    state = phase.init()._replace(
        initial=jnp.float32(1.0), ema=jnp.float32(1.0), count=jnp.int32(1)
    )
    weighted, metrics = compute_weighted_advantages(
        make_rollout(stats, MASK, entropy=0.7),
        make_grades([[1.0, 0.0]]),
        state,
        key=make_key(key),
        method=method,
        max_new_tokens=2,
        unit_parameter_polarity=np.float32([[-0.4, 0.2], [0.1, 9.0]]),
    )
    assert np.asarray(weighted.weights)[1, 1] == 0
    return np.asarray(weighted.weights)[MASK], metrics


def scaled(signs, strength: float) -> np.ndarray:
    weights = 1 + strength * np.array(signs)
    return weights * 3 / weights.sum()


@pytest.mark.parametrize(
    "name, changes, signs, s",
    [
        ("papo", {}, POLARITY, LEVEL),
        ("papo_up", {}, POLARITY, 1.0),
        ("papo_down", {}, POLARITY, -1.0),
        ("papo_reversed", {}, POLARITY, -LEVEL),
        ("papo_sampled", {}, SAMPLED, LEVEL),
        ("papo_parameter", {}, PARAMETER, LEVEL),
        ("sign_advantage", {}, ADVANTAGE_SIGN, LEVEL),
        # 0.7 is below 0.9 H_0: the switch is thrown, whatever the level says
        ("papo", {"weighting": "switch"}, POLARITY, 1.0),
        ("papo_reversed", {"weighting": "switch"}, POLARITY, -1.0),
        # -tanh(10 (0.7 - 1) / 1)
        ("papo", {"phase": "trend"}, POLARITY, math.tanh(3.0)),
    ],
)
def test_weights_by_hand(name, changes, signs, s):
    weights, metrics = weigh(presets.get(name, **changes))
    np.testing.assert_allclose(weights, scaled(signs, 0.2 * s), rtol=1e-6)
    assert float(metrics["phase"]) == pytest.approx(s, rel=1e-6)  # what is logged is what acts


def places(name: str, logprob=EQUAL) -> set[int]:
    """Where the one contracting token's weight goes, over twenty keys."""
    found = [weigh(presets.get(name), logprob, key)[0] for key in range(20)]
    expected = np.sort(scaled(POLARITY, 0.2 * LEVEL))
    for weights in found:
        np.testing.assert_allclose(np.sort(weights), expected, rtol=1e-6)
    return {int(np.argmin(weights)) for weights in found}


def test_controls_move_weights_as_far_as_they_say():
    assert places("papo") == places("papo", APART) == {1}
    assert places("papo_random") == {0, 1, 2}
    assert places("papo_random_in_sign") == places("papo_random_in_sign", APART) == {0, 1}
    for name in ("papo_random_in_probability", "papo_random_in_mass"):
        assert places(name) == {0, 1}  # tokens with A > 0 of one probability
        assert places(name, APART) == {1}  # every token is alone in its stratum


def test_objectives_are_given_what_they_ask_for():
    # A loss that logs what it is given: entropies of this and earlier rollouts, the moving
    # coefficient, the reduction, and the accuracy of the prompt.

    def loss(tokens: TokenBatch, reduction: TokenReduction) -> LossSum:
        logged = {
            "rollout_entropy": (tokens.rollout_entropy, 1),
            "past_entropy": (tokens.past_entropy, 1),
            "adaptive_coefficient": (tokens.adaptive_coefficient, 1),
            "weight": (reduction.token_weights[0, 0], 1),
            "accuracy": (jnp.where(tokens.mask, tokens.accuracy, 0.0).sum(), tokens.mask.sum()),
        }
        total = jnp.where(tokens.mask, tokens.logprob, 0.0).sum()
        return LossSum(total, tokens.mask.sum(), logged)

    # At the current policy T is (-0.2, -0.1, -0.3): of three tokens that had a branch the first has
    # changed it.
    now = TokenStats(
        logprob=EQUAL,
        logsumexp=0 * T,
        entropy=np.full_like(T, 0.5),
        unit_polarity=np.float32([[-0.2, -0.1], [-0.3, 9.0]]),
    )

    class Scorer:
        """Stands for a policy: its statistics are known, and no gradient is asked for."""

        def count_bins(self, trajectories):
            return 2

        # Each row has a bin of its own, in which its tokens come after one of the prompt.
        def packed_stats(self, params, rows):
            return now

        def token_loss(self, loss, params, rows, context):
            return jnp.float32(0.0), now

    advantages = np.float32([[1.0, 1.0], [-1.0, 5.0]])
    batch = UpdateBatch(
        trajectories=Trajectories(
            prompt_tokens=np.zeros((2, 1), int),
            prompt_valid=np.ones((2, 1), bool),
            tokens=np.zeros((2, 2), int),
            valid=MASK,
            action=MASK,
        ),
        old_logprob=EQUAL,
        reference_logprob=EQUAL,
        weighted_advantages=advantages,
        loss_mask=MASK,
        polarity=advantages * T,
        sequences=np.arange(2),
        accuracy=np.float32([0.25, 0.75]),
    )
    trajectory = phase.init()._replace(
        entropy=jnp.float32(0.7), ema=jnp.float32(0.9), adaptive_coefficient=jnp.float32(3e-3)
    )
    method = Method(Objective(loss, limit_mean, needs_full_minibatch=True))
    _, found = gradients.compute_gradients(
        {}, batch, make_key(0), Scorer(), loss=gradients.LossFunction(method, 12, trajectory)
    )
    expected = {
        "rollout_entropy": 0.7,
        "past_entropy": 0.9,
        "adaptive_coefficient": 3e-3,
        "weight": 1 / 12,
        "accuracy": (0.25 + 0.25 + 0.75) / 3,
    }
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected)
    assert float(found["polarity/flipped"]) == pytest.approx(1 / 3)
