"""One optimizer step: the same gradient however the batch is cut or padded, and known answers."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from papo_jax.learner.batches import UpdateBatch
from papo_jax.learner.gradients import LossFunction, compute_gradients
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import init_state, make_optimizer
from papo_jax.learner.update import update_minibatch
from papo_jax.methods import phase, presets
from papo_jax.methods.token_batch import TokenBatch
from papo_jax.models import initialize
from papo_jax.training.training_run import prepare_run
from tests.support.seeds import make_key, make_rng

OBJECTIVES = ("grpo", "dapo")
KEY = make_key(4)
TEMPERATURE = 1.0
# Between two orders of the same sums, as a share: each entry of a gradient is summed from rows of
# both signs that are rounded by some eps = 6e-8 of their size. Seen: 4e-7.
ROUNDING = 1e-5
MAX_NEW_TOKENS = 8
OPTIMIZER = dict(
    learning_rate=1e-3,
    warmup_steps=2,
    weight_decay=0.1,
    gradient_clip=1.0,
    b1=0.9,
    b2=0.999,
    epsilon=1e-8,
)


@pytest.fixture(scope="module")
def prepared(small, tmp_path_factory):
    settings = small({"rollout.temperature": TEMPERATURE})
    with contextlib.closing(prepare_run(settings, tmp_path_factory.mktemp("run"))) as made:
        yield made


@pytest.fixture(scope="module")
def scorer(prepared) -> PolicyScorer:
    return PolicyScorer(prepared.policy.graph, temperature=TEMPERATURE)


@pytest.fixture(scope="module")
def params(prepared):
    """Fresh parameters.

    Under a sharp policy the ratio alone magnifies float32's rounding to the tolerances below.
    """
    return jax.device_get(initialize(prepared.policy.config, make_key(0))[1])


@pytest.fixture(scope="module")
def batch(prepared, params, stored_rollout) -> UpdateBatch:
    """A rollout of many lengths whose ratios are well inside or well outside the clip range."""
    stats = prepared.programs.score(params, stored_rollout)
    rng = make_rng(0)
    shape = stats.logprob.shape
    log_ratio = rng.choice([0.0, 0.05, -0.05, 0.6, -0.6], shape).astype(np.float32)
    advantages = rng.choice([-1.5, -0.5, 0.0, 1.0], shape).astype(np.float32)
    reference = stats.logprob + rng.normal(0, 0.3, shape).astype(np.float32)
    return jax.device_get(
        UpdateBatch(
            trajectories=stored_rollout,
            old_logprob=stats.logprob - log_ratio,
            reference_logprob=reference,
            weighted_advantages=advantages,
            loss_mask=stored_rollout.action,
            polarity=advantages * stats.unit_polarity,
            sequences=np.arange(shape[0], dtype=np.int32),
            accuracy=rng.random(shape[0]).astype(np.float32),
        )
    )


def gradient_of(params, batch, scorer, method):
    """The gradient of a method's objective and its sums."""
    loss = LossFunction(method, MAX_NEW_TOKENS, phase.init())
    return compute_gradients(params, batch, KEY, scorer, loss=loss)


@pytest.fixture(scope="module")
def gradient(scorer, params):
    """(batch, objective, microbatches) -> (gradient as one vector, sums), jitted."""
    compiled = jax.jit(gradient_of, static_argnames="method")

    def compute(batch, objective="dapo", microbatches=1, function=compiled):
        cut = dataclasses.replace(scorer, microbatch=len(batch.sequences) // microbatches)
        gradients, sums = function(params, batch, cut, method=presets.get(objective))
        return flatten_leaves(gradients), sums

    return compute


def flatten_leaves(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def apart(first, second) -> float:
    return np.linalg.norm(first - second) / np.linalg.norm(second)


# Every cut and every padding under one objective here, the rest in the slow set: each compiles a
# program of its own.
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "microbatches, objective",
    [
        (2, "grpo"),
        pytest.param(4, "dapo", marks=SLOW),
        pytest.param(4, "grpo", marks=SLOW),
        pytest.param(2, "dapo", marks=SLOW),
    ],
)
def test_gradient_does_not_depend_on_micro_batches(gradient, batch, objective, microbatches):
    whole, sums = gradient(batch, objective)
    cut, same = gradient(batch, objective, microbatches)
    assert np.linalg.norm(whole) > 1e-3
    assert apart(cut, whole) < ROUNDING
    for name in sums:
        np.testing.assert_allclose(same[name], sums[name], rtol=1e-5, atol=1e-7, err_msg=name)


def padded(batch: UpdateBatch, where: str) -> UpdateBatch:
    """The same sequences with slots of no meaning, which hold tokens and figures of no meaning."""
    trajectories = batch.trajectories
    rows, slots = trajectories.prompt_valid.shape
    if where == "left":
        junk = np.full((rows, 5), 7, np.int32)
        return batch._replace(
            trajectories=trajectories._replace(
                prompt_tokens=np.concatenate([junk, trajectories.prompt_tokens], 1),
                prompt_valid=np.concatenate([junk < 0, trajectories.prompt_valid], 1),
            )
        )
    if where == "inside":  # one slot after the first of each prompt
        order = np.r_[0, slots, 1:slots]

        def widened(array):
            return np.concatenate([array, np.zeros((rows, 1), array.dtype)], 1)[:, order]

        return batch._replace(
            trajectories=trajectories._replace(
                prompt_tokens=widened(trajectories.prompt_tokens),
                prompt_valid=widened(trajectories.prompt_valid),
            )
        )

    def widened(array, fill):
        return np.concatenate([array, np.full((rows, 3), fill, array.dtype)], 1)

    return batch._replace(
        trajectories=trajectories._replace(
            tokens=widened(trajectories.tokens, 9),
            valid=widened(trajectories.valid, False),
            action=widened(trajectories.action, False),
        ),
        old_logprob=widened(batch.old_logprob, -3.0),
        reference_logprob=widened(batch.reference_logprob, 5.0),
        weighted_advantages=widened(batch.weighted_advantages, 2.0),
        loss_mask=widened(batch.loss_mask, False),
        polarity=widened(batch.polarity, 1.0),
    )


@pytest.mark.parametrize("objective", ["grpo", pytest.param("dapo", marks=SLOW)])
@pytest.mark.parametrize("where", ["left", "inside", pytest.param("right", marks=SLOW)])
def test_gradient_does_not_depend_on_padding(gradient, batch, objective, where):
    whole, sums = gradient(batch, objective)
    other, same = gradient(padded(batch, where), objective)
    assert apart(other, whole) < ROUNDING
    for name in sums:
        np.testing.assert_allclose(same[name], sums[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_jit_changes_nothing(gradient, batch):
    whole, sums = gradient(batch)
    eager, same = gradient(batch, function=gradient_of)
    assert apart(eager, whole) < ROUNDING
    np.testing.assert_allclose(same["loss"], sums["loss"], rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_predicted_entropy_change_by_hand(scorer, params, gradient, batch, objective):
    numbers, mask = presets.get(objective).hyperparameters(), batch.trajectories.action
    stats = scorer.token_stats(params, batch.trajectories)
    ratio, advantage = np.exp(stats.logprob - batch.old_logprob), batch.weighted_advantages
    # min(r A, clip(r) A) loses its gradient above the range where A > 0 and below it where A < 0.
    zeroed = ((advantage > 0) & (ratio > 1 + numbers["clip_high"])) | (
        (advantage < 0) & (ratio < 1 - numbers["clip_low"])
    )
    pull = np.where(zeroed, 0.0, ratio * advantage)
    pull += numbers["kl_coefficient"] * np.expm1(
        batch.reference_logprob - stats.logprob
    )  # -d k3 / d logprob
    lengths = mask.sum(1, keepdims=True)
    share = 1 / (lengths * len(mask)) if objective == "grpo" else 1 / mask.sum()
    terms = np.where(mask, pull * share * stats.unit_polarity, 0.0)
    _, sums = gradient(batch, objective, 2)
    # They nearly cancel, so float32 is held to their size rather than to their sum's.
    np.testing.assert_allclose(
        sums["entropy_change/sum"], terms.sum(), rtol=1e-4, atol=1e-5 * np.abs(terms).sum()
    )
    np.testing.assert_allclose(
        sums["clip/fraction"], zeroed[mask].sum() / (advantage[mask] != 0).sum(), rtol=1e-6
    )


def make_step(prepared, scorer, optimizer):
    """(state, batch) -> (state, metrics), jitted."""
    update = functools.partial(
        update_minibatch,
        method=prepared.settings.method,
        optimizer=optimizer,
        max_new_tokens=MAX_NEW_TOKENS,
    )
    return jax.jit(lambda state, batch: update(state, batch, KEY, scorer))


@pytest.mark.parametrize("poison", ["weighted_advantages", "old_logprob"])
def test_update_that_is_not_finite_changes_nothing_but_the_count(prepared, scorer, batch, poison):
    spoilt = np.array(getattr(batch, poison))
    spoilt[0, 0] = np.nan
    optimizer = make_optimizer(**OPTIMIZER)
    before = jax.device_get(init_state(prepared.initial.params, optimizer, 0))
    step = make_step(prepared, scorer, optimizer)

    def half(batch):
        return jax.tree.map(lambda leaf: leaf[:8], batch)

    after, metrics = step(before, half(batch._replace(**{poison: spoilt})))
    assert int(metrics["update/skipped"]) == 1
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(after), before._replace(skipped=np.int32(1))
    )
    again, metrics = step(after, half(batch))
    assert int(metrics["update/skipped"]) == 0 and int(again.skipped) == 0
    moved = jax.tree.map(
        lambda new, old: float(np.abs(new - old).max()), jax.device_get(again.params), before.params
    )
    assert min(jax.tree.leaves(moved)) > 0


def test_first_step_of_adam_is_the_learning_rate(scorer, params, batch, gradient):
    # m / sqrt(v) = g / |g| after bias correction, so every parameter moves by the rate against its
    # gradient.
    changes = {"warmup_steps": 1, "weight_decay": 0.0, "gradient_clip": 1e9}
    optimizer = make_optimizer(**{**OPTIMIZER, **changes})
    after, _ = jax.jit(
        lambda state: update_minibatch(
            state,
            batch,
            KEY,
            scorer,
            method=presets.get("dapo"),
            optimizer=optimizer,
            max_new_tokens=MAX_NEW_TOKENS,
        )
    )(init_state(params, optimizer, 0))

    step, whole = flatten_leaves(after.params) - flatten_leaves(params), gradient(batch)[0]
    # epsilon takes at most 1e-8 / 1e-5 of such a step, and float32 rounds parameters of size 1.
    large = np.abs(whole) > 1e-5
    assert large.mean() > 0.5
    np.testing.assert_allclose(step[large], -1e-3 * np.sign(whole[large]), rtol=2e-3, atol=2e-7)


def test_optimizer_by_hand():
    # Warm-up over 2 updates to a rate of 0.1: 0.05, 0.1, 0.1. Clipped gradient 3 -> 1; decay 0.5 w
    # joins the step.
    optimizer = make_optimizer(
        learning_rate=0.1,
        warmup_steps=2,
        weight_decay=0.5,
        gradient_clip=1.0,
        b1=0.9,
        b2=0.999,
        epsilon=1e-8,
    )
    weight = jnp.array([2.0])
    state, seen = optimizer.init(weight), []
    for _ in range(3):
        updates, state = optimizer.update(jnp.array([3.0]), state, weight)
        weight = optax.apply_updates(weight, updates)
        seen.append(float(weight[0]))
    # 2 - 0.05 (1 + 1) = 1.9;  1.9 - 0.1 (1 + 0.95) = 1.705;  1.705 - 0.1 (1 + 0.8525) = 1.51975
    np.testing.assert_allclose(seen, [1.9, 1.705, 1.51975], rtol=1e-5)


@pytest.mark.parametrize("objective", ["dapo", "steer"])
def test_gradient_is_that_of_the_mean_loss(scorer, params, gradient, batch, objective):
    """In both ways, chunk by chunk and by cotangents: autodiff through the statistics alone."""
    method = presets.get(objective)

    def mean_loss(params):
        stats = scorer.token_stats(params, batch.trajectories, implementation="reference")
        found = {}

        def total(logprob):
            tokens = TokenBatch(
                logprob,
                batch.old_logprob,
                batch.weighted_advantages,
                batch.loss_mask,
                entropy=stats.entropy,
            )
            found["out"] = method.objective(tokens)
            return found["out"].total

        slopes = jax.grad(total)(stats.logprob)
        change = -jnp.where(batch.loss_mask, slopes * stats.unit_polarity, 0.0)
        return total(stats.logprob) / found["out"].count, change / found["out"].count

    (loss, change), expected = jax.jit(jax.value_and_grad(mean_loss, has_aux=True))(params)
    found, sums = gradient(batch, objective)
    assert apart(found, flatten_leaves(expected)) < 1e-4
    np.testing.assert_allclose(sums["loss"], loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        sums["entropy_change/sum"], change.sum(), rtol=1e-4, atol=1e-5 * np.abs(change).sum()
    )


def test_an_update_without_a_token_in_the_loss_moves_nothing(prepared, scorer, batch):
    """Momentum and weight decay alone would move the parameters; the count of skips is reset."""
    optimizer = make_optimizer(**{**OPTIMIZER, "warmup_steps": 1})
    state = init_state(prepared.initial.params, optimizer, 0)
    step = make_step(prepared, scorer, optimizer)
    moving, _ = step(state, batch)  # with momentum from here on
    empty = batch._replace(loss_mask=np.zeros_like(batch.loss_mask))
    after, metrics = step(moving, empty)
    assert (int(metrics["update/made"]), int(metrics["update/skipped"])) == (0, 0)
    jax.tree.map(np.testing.assert_array_equal, after, moving)
