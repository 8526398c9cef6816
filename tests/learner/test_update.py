"""One optimizer step: the same gradient however the batch is cut or padded, and known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from papo_jax.learner import state as states
from papo_jax.learner.gradients import accumulate
from papo_jax.learner.trajectories import Batch, statistics
from papo_jax.learner.update import update
from papo_jax.methods import phase, presets
from papo_jax.models import initialize
from papo_jax.training.session import prepare
from tests.support.seeds import make_key, make_rng

OBJECTIVES = ("grpo", "dapo")
PHASE, KEY = phase.init(), make_key(4)
TEMPERATURE = 1.0


@pytest.fixture(scope="module")
def session(small, tmp_path_factory):
    return prepare(small({"rollout.temperature": TEMPERATURE}), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def params(session):
    """Fresh parameters: under a sharp policy the ratio alone magnifies float32's rounding to the
    tolerances below."""
    return jax.device_get(initialize(session.policy.config, make_key(0))[1])


@pytest.fixture(scope="module")
def batch(session, params, stored_rollout) -> Batch:
    """A rollout of many lengths whose ratios are well inside or well outside the clip range."""
    stats = session.programs.assess(params, stored_rollout)
    rng = make_rng(0)
    shape = stats.logprob.shape
    log_ratio = rng.choice([0.0, 0.05, -0.05, 0.6, -0.6], shape).astype(np.float32)
    advantages = rng.choice([-1.5, -0.5, 0.0, 1.0], shape).astype(np.float32)
    reference = stats.logprob + rng.normal(0, 0.3, shape).astype(np.float32)
    return jax.device_get(
        Batch(
            stored_rollout,
            stats.logprob - log_ratio,
            reference,
            advantages,
            stored_rollout.mask,
            advantages * stats.unit_polarity,
            np.arange(shape[0], dtype=np.int32),
            rng.random(shape[0]).astype(np.float32),
        )
    )


@pytest.fixture(scope="module")
def gradient(session, params):
    """(batch, objective, microbatches) -> (gradient as one vector, sums), jitted."""
    compiled = jax.jit(
        accumulate, static_argnames=("graph", "method", "limit", "temperature", "microbatches")
    )

    def of(batch, objective="dapo", microbatches=1, function=compiled):
        gradients, sums = function(
            params,
            batch,
            KEY,
            PHASE,
            graph=session.policy.graph,
            method=Arguments(presets.get(objective)),
            limit=8,
            temperature=TEMPERATURE,
            microbatches=microbatches,
        )
        return np.concatenate(
            [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(gradients)]
        ), sums

    return of


class Arguments(dict):
    """A dict that can be static under jit."""

    def __hash__(self):
        return hash(tuple(sorted(self.items())))


def apart(first, second) -> float:
    return np.linalg.norm(first - second) / np.linalg.norm(second)


# Every cut and every padding under one objective here, the rest in the slow set: each compiles a
# program of its own.
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "microbatches, objective",
    [
        (2, "grpo"),
        (4, "dapo"),
        pytest.param(4, "grpo", marks=SLOW),
        pytest.param(2, "dapo", marks=SLOW),
    ],
)
def test_gradient_does_not_depend_on_micro_batches(gradient, batch, objective, microbatches):
    whole, sums = gradient(batch, objective)
    cut, same = gradient(batch, objective, microbatches)
    assert np.linalg.norm(whole) > 1e-3
    assert apart(cut, whole) < 1e-6
    for name in sums:
        np.testing.assert_allclose(same[name], sums[name], rtol=1e-5, atol=1e-7, err_msg=name)


def padded(batch: Batch, where: str) -> Batch:
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

    return Batch(
        trajectories._replace(
            tokens=widened(trajectories.tokens, 9), mask=widened(trajectories.mask, False)
        ),
        *(
            widened(array, fill)
            for array, fill in zip(batch[1:6], (-3.0, 5.0, 2.0, False, 1.0), strict=True)
        ),
        *batch[6:],
    )


@pytest.mark.parametrize("objective", ["grpo", pytest.param("dapo", marks=SLOW)])
@pytest.mark.parametrize("where", ["left", "inside", "right"])
def test_gradient_does_not_depend_on_padding(gradient, batch, objective, where):
    whole, sums = gradient(batch, objective)
    other, same = gradient(padded(batch, where), objective)
    assert apart(other, whole) < 1e-5
    for name in sums:
        np.testing.assert_allclose(same[name], sums[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_jit_changes_nothing(gradient, batch):
    whole, sums = gradient(batch)
    eager, same = gradient(batch, function=accumulate)
    assert apart(eager, whole) < 1e-6
    np.testing.assert_allclose(same["loss"], sums["loss"], rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_predicted_entropy_change_by_hand(session, params, gradient, batch, objective):
    arguments, mask = presets.get(objective), batch.trajectories.mask
    stats = statistics(session.policy.graph, params, batch.trajectories, temperature=TEMPERATURE)
    ratio, advantage = np.exp(stats.logprob - batch.old_logprob), batch.advantages
    # min(r A, clip(r) A) loses its gradient above the range where A > 0 and below it where A < 0.
    zeroed = ((advantage > 0) & (ratio > 1 + arguments["clip_high"])) | (
        (advantage < 0) & (ratio < 1 - arguments["clip_low"])
    )
    pull = np.where(zeroed, 0.0, ratio * advantage)
    pull += arguments["kl_coefficient"] * np.expm1(
        batch.reference_logprob - stats.logprob
    )  # -d k3 / d logprob
    lengths = mask.sum(1, keepdims=True)
    share = 1 / (lengths * len(mask)) if objective == "grpo" else 1 / mask.sum()
    terms = np.where(mask, pull * share * stats.unit_polarity, 0.0)
    _, sums = gradient(batch, objective, 2)
    # They nearly cancel, so float32 is held to their size rather than to their sum's.
    np.testing.assert_allclose(
        sums["entropy_change/sum"], terms.sum(), rtol=1e-4, atol=1e-6 * np.abs(terms).sum()
    )
    np.testing.assert_allclose(
        sums["clip/fraction"], zeroed[mask].sum() / (advantage[mask] != 0).sum(), rtol=1e-6
    )


@pytest.mark.parametrize("poison", ["advantages", "old_logprob"])
def test_update_that_is_not_finite_changes_nothing_but_the_count(session, batch, poison):
    spoilt = np.array(getattr(batch, poison))
    spoilt[0, 0] = np.nan
    before = jax.device_get(session.initial)

    def step(state, batch):
        return session.programs.update(jax.tree.map(jnp.asarray, state), batch, KEY)

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


def test_first_step_of_adam_is_the_learning_rate(session, params, batch, gradient):
    # m / sqrt(v) = g / |g| after bias correction, so every parameter moves by the rate against its
    # gradient.
    options = dict(
        warmup_steps=1, weight_decay=0.0, gradient_clip=1e9, b1=0.9, b2=0.999, epsilon=1e-8
    )
    optimizer = states.make_optimizer(learning_rate=1e-3, **options)
    before = states.init(params, optimizer, 0)
    after, _ = jax.jit(
        lambda state: update(
            state,
            batch,
            KEY,
            graph=session.policy.graph,
            optimizer=optimizer,
            method=presets.get("dapo"),
            limit=8,
            temperature=TEMPERATURE,
            microbatches=1,
        )
    )(before)

    def flat(tree):
        return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])

    step, whole = flat(after.params) - flat(params), gradient(batch)[0]
    large = np.abs(whole) > 1e-5
    assert large.mean() > 0.5
    np.testing.assert_allclose(step[large], -1e-3 * np.sign(whole[large]), rtol=2e-3, atol=2e-7)


def test_optimizer_by_hand():
    # Warm-up over 2 updates to a rate of 0.1: 0.05, 0.1, 0.1. Clipped gradient 3 -> 1; decay 0.5 w
    # joins the step.
    optimizer = states.make_optimizer(
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
