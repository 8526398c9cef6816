"""Invariance of every method: to micro-batches, padding, order of rows, way of the gradient.

A stored batch of a tiny policy, whose ratios are well inside or well outside every clip range.
Shapes: B sequences, T time.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import TokenStats
from papo_jax.learner import weighted_advantages
from papo_jax.learner.batches import Grades, Rollout, Trajectories, UpdateBatch
from papo_jax.learner.gradients import LossFunction, compute_gradients
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import phase, presets, token_random
from papo_jax.methods.method import Method
from papo_jax.methods.token_batch import TokenBatch
from papo_jax.models import initialize
from papo_jax.models.model_config import ModelConfig
from tests.support.seeds import make_rng

PROMPTS, SAMPLES, SLOTS = 4, 4, 12
ROWS, LIMIT, KEY = PROMPTS * SAMPLES, 12, jax.random.key(4)
# Entropy is low and there is a bonus, so that what waits for that acts.
LOW = phase.init()._replace(
    initial=jnp.float32(2.5),
    ema=jnp.float32(1.2),
    entropy=jnp.float32(0.1),
    adaptive_coefficient=jnp.float32(3e-3),
)
# The published shares choose a single token of so few; these choose several, and leave several that
# could have been.
COARSE = {
    "covariance_share": 0.05,
    "covariance_low": 0.2,
    "penalized_share": 0.1,
    "batch_mu": 1.0,
    "vocabulary_mu": 1.0,
    "vocabulary_share": 0.02,
    "positive_ratio": 2 / 3,
}
# A ratio of answers and a keyed draw (sums over tokens: tests/learner/test_update.py); the others
# are slow, since each compiles # programs of its own.
QUICK = ("gspo", "clip_cov")
# Without the backend's optimizations a program is compiled in less than half the time.
FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}


def each(names, quick=QUICK):
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=() if n in quick else pytest.mark.slow) for n in names]
    )


def coarse(name: str) -> Method:
    own = presets.hyperparameters(name)
    return presets.get(name, **{key: value for key, value in COARSE.items() if key in own})


def score(policy, trajectories: Trajectories) -> TokenStats:
    graph, params = policy
    return jax.device_get(PolicyScorer(graph, temperature=0.7).score(params, trajectories))


# The batch is one and the same under every seed: how many of its tokens are chosen and where its
# search for bounds ends is known. What is drawn beside it, an order, goes by the seed.
@pytest.fixture(scope="module")
def policy():
    """(graph, parameters) of one layer.

    Peaked enough for log-probabilities and entropies to differ from token to token.
    """
    config = ModelConfig(
        architecture="qwen3",
        vocabulary_size=20,
        width=16,
        layers=1,
        heads=2,
        kv_heads=1,
        head_dim=8,
        mlp_width=32,
        tied=True,
        qk_norm=True,
        max_positions=64,
    )
    graph, params = initialize(config, jax.random.key(0))
    return graph, jax.device_get(
        jax.tree.map(lambda leaf: jnp.where(leaf == 1, leaf, 8 * leaf), params)
    )


@pytest.fixture(scope="module")
def stored(policy) -> UpdateBatch:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 20, (ROWS, SLOTS)).astype(np.int32)
    lengths = rng.permutation(np.resize(np.arange(1, SLOTS + 1), ROWS))[:, None]
    valid = np.repeat(np.arange(5) >= np.array([[0], [1], [3], [4]]), SAMPLES, axis=0)
    prompts = np.repeat(rng.integers(0, 20, (PROMPTS, 5)), SAMPLES, axis=0).astype(np.int32)
    action = np.arange(SLOTS) < lengths
    trajectories = Trajectories(prompts, valid, tokens, valid=action, action=action)
    stats = score(policy, trajectories)
    log_ratio = rng.choice(
        [1e-4, 0.05, -0.05, 0.6, -0.3, -0.6, 1.2, 2.5],
        (ROWS, SLOTS),
        p=[0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05],
    )
    log_ratio = np.where(np.arange(ROWS)[:, None] % 4 == 0, 1e-4, log_ratio).astype(
        np.float32
    )  # inside GSPO's range, off KL-Cov's kink
    advantages = np.repeat(rng.choice([-2.1, 0.2, 0.4], (ROWS, 1)), SLOTS, axis=1).astype(
        np.float32
    )
    reference = stats.logprob + rng.normal(0, 0.3, (ROWS, SLOTS)).astype(np.float32)
    accuracy = np.repeat(np.float32([0.25, 0.5, 0.0, 0.75]), SAMPLES)
    return UpdateBatch(
        trajectories=trajectories,
        old_logprob=stats.logprob - log_ratio,
        reference_logprob=reference,
        weighted_advantages=advantages,
        loss_mask=action,
        polarity=advantages * stats.unit_polarity,
        sequences=np.arange(ROWS, dtype=np.int32),
        accuracy=accuracy,
    )


def widened(array, fill, slots=3):
    """[B, T] with slots of no meaning on the right."""
    return np.concatenate([array, np.full((len(array), slots), fill, array.dtype)], axis=1)


def padded(batch: UpdateBatch) -> UpdateBatch:
    """The same sequences with empty slots left of the prompts and right of the completions."""
    rows = batch.trajectories
    junk = np.full((ROWS, 4), 7, np.int32)
    return batch._replace(
        trajectories=Trajectories(
            prompt_tokens=np.concatenate([junk, rows.prompt_tokens], axis=1),
            prompt_valid=np.concatenate([junk < 0, rows.prompt_valid], axis=1),
            tokens=widened(rows.tokens, 9),
            valid=widened(rows.valid, False),
            action=widened(rows.action, False),
        ),
        old_logprob=widened(batch.old_logprob, -3.0),
        reference_logprob=widened(batch.reference_logprob, 5.0),
        weighted_advantages=widened(batch.weighted_advantages, 2.0),
        loss_mask=widened(batch.loss_mask, False),
        polarity=widened(batch.polarity, 1.0),
    )


def shuffled(batch: UpdateBatch) -> UpdateBatch:
    order = make_rng(1).permutation(ROWS)
    return jax.tree.map(lambda leaf: leaf[order], batch)


@pytest.fixture(scope="module")
def gradient(policy, stored):
    """(preset, layout of the batch, micro-batches, whole) -> (gradient as one vector, sums).

    Compiled once for each objective.
    """
    graph, params = policy
    layouts = {"stored": stored, "padded": padded(stored), "shuffled": shuffled(stored)}

    @functools.cache
    def program(method, microbatches):
        scorer = PolicyScorer(graph, temperature=0.7, microbatch=ROWS // microbatches)
        loss = LossFunction(method, LIMIT, LOW)
        return jax.jit(
            lambda params, batch: compute_gradients(params, batch, KEY, scorer, loss=loss),
            compiler_options=FAST_TO_COMPILE,
        )

    @functools.cache
    def run(method, layout, microbatches):
        gradients, sums = jax.device_get(program(method, microbatches)(params, layouts[layout]))
        return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradients)]), sums

    def of(name, layout="stored", microbatches=1, whole=None):
        objective = coarse(name).objective
        if whole is not None:
            objective = objective._replace(needs_full_minibatch=whole)
        return run(Method(objective), layout, microbatches)  # once for all presets of one objective

    return of


def assert_same_numbers(found: dict, expected: dict):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def assert_same(other, first, tolerance):
    (vector, sums), (expected, same) = other, first
    assert np.linalg.norm(expected) > 1e-2
    assert np.linalg.norm(vector - expected) / np.linalg.norm(expected) < tolerance
    assert_same_numbers(sums, same)


@each(presets.PRESETS)
def test_micro_batches(gradient, name):
    assert_same(gradient(name, microbatches=2), gradient(name), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, "entropy_bonus"])
def test_more_micro_batches(gradient, name):
    assert_same(gradient(name, microbatches=4), gradient(name), 1e-6)


@each(presets.PRESETS, quick=("clip_cov",))
def test_padding(gradient, name):
    assert_same(gradient(name, "padded"), gradient(name), 1e-5)


@each(presets.PRESETS)
def test_order_of_the_rows(gradient, name):
    assert_same(gradient(name, "shuffled"), gradient(name), 1e-5)


WHOLE = [name for name in presets.PRESETS if presets.get(name).objective.needs_full_minibatch]
SEPARABLE = [name for name in presets.PRESETS if name not in WHOLE]


@each(SEPARABLE, quick=())
def test_both_ways_of_the_gradient(gradient, name):
    # A sum over tokens may as well be computed on the whole minibatch; its token weights are then
    # the reduction's own.
    assert_same(gradient(name, whole=True), gradient(name), 1e-5)


def token_slopes(name: str, batch: UpdateBatch, stats: TokenStats, sequences=None):
    """(d total / d log p(y_t) [B, T], metrics) of given statistics.

    `sequences` replaces the batch's own.
    """
    batch = batch if sequences is None else batch._replace(sequences=sequences)
    objective = coarse(name).objective

    def total(logprob, batch, stats):
        uniforms = token_random.token_uniforms(KEY, batch.sequences, SLOTS + 3)
        tokens = TokenBatch(
            logprob=logprob,
            old_logprob=batch.old_logprob,
            weighted_advantages=batch.weighted_advantages,
            mask=batch.loss_mask,
            entropy=stats.entropy,
            token_uniforms=uniforms[:, : logprob.shape[1]],
            adaptive_coefficient=LOW.adaptive_coefficient,
            rollout_entropy=LOW.entropy,
            past_entropy=LOW.ema,
        )
        out = objective(tokens, max_new_tokens=LIMIT)
        return out.total, out.metrics

    gradient = jax.jit(jax.grad(total, has_aux=True), compiler_options=FAST_TO_COMPILE)
    slopes, metrics = jax.device_get(gradient(stats.logprob, batch, stats))
    return slopes, {key: value / number for key, (value, number) in metrics.items()}


@pytest.fixture(scope="module")
def current(policy, stored):
    return score(policy, stored.trajectories)


@pytest.mark.parametrize("name", WHOLE)
def test_every_token_keeps_its_slope(stored, current, name):
    # The same tokens are drawn, chosen, clipped: their slopes stay with them wherever they stand.
    slopes, metrics = token_slopes(name, stored, current)
    moved, same = token_slopes(name, shuffled(stored), shuffled(current))
    np.testing.assert_array_equal(moved == 0, shuffled(slopes) == 0)
    np.testing.assert_allclose(moved, shuffled(slopes), rtol=1e-5, atol=1e-7)
    assert_same_numbers(same, metrics)
    wider, same = token_slopes(
        name, padded(stored), jax.tree.map(lambda leaf: widened(leaf, 9.0), current)
    )
    np.testing.assert_array_equal(wider == 0, widened(slopes, 0.0) == 0)
    np.testing.assert_allclose(wider, widened(slopes, 0.0), rtol=1e-5, atol=1e-7)
    assert_same_numbers(same, metrics)


@pytest.mark.parametrize("name", ["clip_cov", "kl_cov", "stare", "stare_c2", "high_entropy_tokens"])
def test_some_tokens_of_many_are_chosen(stored, current, name):
    chosen = token_slopes(name, stored, current)[1]["selected/tokens"]
    assert 2 <= chosen <= stored.loss_mask.sum() / 4


@pytest.mark.parametrize("name, low", [("bapo", 0.6), ("bapo_code", 0.9)])
def test_the_search_for_bounds_ends_inside(stored, current, name, low):
    bounds = token_slopes(name, stored, current)[1]
    assert 1.2 < bounds["bounds/high"] < 3.0 and bounds["bounds/low"] == pytest.approx(low)


def test_the_draw_goes_by_identity_and_not_by_place(stored, current):
    slopes, _ = token_slopes("clip_cov", stored, current)
    other, _ = token_slopes(
        "clip_cov", shuffled(stored), shuffled(current), sequences=stored.sequences
    )
    assert ((other == 0) != (shuffled(slopes) == 0)).any()


@pytest.fixture(scope="module")
def rollout(stored, current):
    """A rollout, its grades and u.

    Groups with right and wrong answers, one that is all right, and an answer that is left out.
    """
    rewards = np.float32([[1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1]])
    kept = np.ones(rewards.shape, bool)
    kept[3, 2] = False
    return {
        "rollout": Rollout(stored.trajectories, current, entropy=np.float32(0.9)),
        "grades": Grades(rewards=rewards, right=rewards == 1, kept=kept),
        "unit_parameter_polarity": make_rng(2)
        .normal(size=stored.loss_mask.shape)
        .astype(np.float32),
        "sequences": stored.sequences,
    }


def weigh(name: str, arguments: dict):
    """Weighted advantages under the sequences' own identities."""
    sequences, given = arguments["sequences"], dict(arguments)
    del given["sequences"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighted_advantages, "sequence_identities", lambda mask: sequences)
        return jax.device_get(
            compute_weighted_advantages(
                **given,
                entropy_trajectory=LOW._replace(count=jnp.int32(3)),
                key=KEY,
                method=coarse(name),
                max_new_tokens=LIMIT,
            )
        )


def assert_same_weights(first, other, layout):
    """Each token keeps its own of everything, and the batch its metrics."""
    (expected, metrics), (found, same) = first, other
    np.testing.assert_array_equal(found.loss_mask, layout(expected.loss_mask))
    for name in ("advantages", "weights", "polarity", "loss_weights"):
        np.testing.assert_allclose(
            getattr(found, name),
            layout(getattr(expected, name)),
            rtol=1e-5,
            atol=1e-7,
            err_msg=name,
        )
    jax.tree.map(
        np.testing.assert_array_equal, found.entropy_trajectory, expected.entropy_trajectory
    )
    assert_same_numbers(same, metrics)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_weights_do_not_depend_on_order_or_padding(rollout, name):
    first = weigh(name, rollout)
    assert np.abs(first[0].weights * first[0].advantages).max() > 0
    rng = make_rng(3)
    groups = rng.permutation(PROMPTS)
    samples = np.stack([rng.permutation(SAMPLES) for _ in groups])
    order = (groups[:, None] * SAMPLES + samples).ravel()
    moved = jax.tree.map(
        lambda leaf: (
            leaf.reshape(ROWS, *leaf.shape[2:])[order].reshape(leaf.shape)
            if leaf.shape == (PROMPTS, SAMPLES)
            else leaf[order]
            if leaf.ndim
            else leaf
        ),
        rollout,
    )
    assert_same_weights(first, weigh(name, moved), lambda leaf: leaf[order])

    def junk(leaf):
        return widened(leaf, False if leaf.dtype == bool else 9.0)

    wide = jax.tree.map(lambda leaf: junk(leaf) if leaf.shape == (ROWS, SLOTS) else leaf, rollout)
    assert_same_weights(first, weigh(name, wide), lambda leaf: widened(leaf, 0))
