"""A token whose probability has moved far since it was sampled does not spoil its minibatch.

Shapes: B sequences, T time.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.methods import presets
from papo_jax.methods.objectives import LOG_RATIO_BOUND, bounded_ratio, k3
from papo_jax.methods.token_batch import TokenBatch
from tests.support.seeds import make_rng

SHAPE = (2, 8)
STALE = (0, 2)
MASK = np.ones(SHAPE, bool)
MASK[1, 6:] = False
ADVANTAGES = np.where(np.arange(2)[:, None] == 0, 1.0, -0.5) * np.ones(SHAPE, np.float32)
# e^89 is no float32; e^60 squared, as a gradient's norm is, is none either.
FAR = [sign * size for size in (21.0, 30.0, 60.0, 88.0, 89.0, 120.0, 1e4) for sign in (1, -1)]


def distinct_presets() -> list[str]:
    """A preset for every loss with its hyperparameters."""
    found = {}
    for name in presets.PRESETS:
        method = presets.get(name)
        key = repr((method.objective.reduction, method.objective.loss, method.dual_clip))
        found.setdefault(key, name)
    return list(found.values())


@functools.cache
def slopes_of(name: str, **changes):
    """(log r of the stale token, its A, its log reference / p) -> (slopes [B, T], all values)."""
    method, rng = presets.get(name, **changes), make_rng(3)
    logprob = np.log(rng.uniform(0.1, 0.9, SHAPE)).astype(np.float32)
    ratio = rng.uniform(-0.05, 0.05, SHAPE).astype(np.float32)
    given = dict(
        entropy=rng.uniform(0.1, 2.0, SHAPE).astype(np.float32),
        unit_polarity=rng.normal(size=SHAPE).astype(np.float32),
        polarity=rng.normal(size=SHAPE).astype(np.float32),
        token_uniforms=rng.uniform(size=SHAPE).astype(np.float32),
        accuracy=np.full(SHAPE, 0.5, np.float32),
        adaptive_coefficient=0.01,
        rollout_entropy=0.2,
        past_entropy=0.5,
        dual_clip=method.dual_clip,
    )

    @jax.jit
    def find(log_ratio, advantage, reference):
        # The policy has risen to the present log p, or fallen from near 0 to a small one.
        now = jnp.asarray(logprob).at[STALE].add(jnp.minimum(log_ratio, 0.0))
        old = jnp.asarray(logprob - ratio).at[STALE].set(now[STALE] - log_ratio)
        advantages = jnp.asarray(ADVANTAGES).at[STALE].set(advantage)

        def total(logprob, entropy):
            tokens = TokenBatch(
                logprob,
                old,
                advantages,
                MASK,
                reference_logprob=now.at[STALE].add(reference),
                **{**given, "entropy": entropy},
            )
            out = method.objective(tokens, max_new_tokens=8)
            return out.total, out

        slopes, out = jax.grad(total, argnums=(0, 1), has_aux=True)(now, given["entropy"])
        return slopes[0], (slopes, out.total, out.metrics)

    return find


def assert_finite(values, message):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)), message


@pytest.mark.parametrize("name", distinct_presets())
@pytest.mark.parametrize("advantage", [1.0, 0.0, -1.0])
def test_a_token_beyond_the_bound_does_not_own_the_gradient(name, advantage):
    find = slopes_of(name)
    plain, _ = find(0.0, 1.0, 0.0)
    fresh, _ = find(0.0, advantage, 0.0)
    # CISPO's weights go up to 5, KL-Cov's penalty has slope 1, GSPO's ratio is the answer's:
    # 20 nats on one of its 8 tokens.
    most = 1.1 * np.exp(LOG_RATIO_BOUND / 8) if name == "gspo" else 7
    for log_ratio in FAR:
        slopes, values = find(log_ratio, advantage, 0.0)
        assert_finite(values, log_ratio)
        assert np.abs(slopes[STALE]) <= most * np.abs(plain).max(), log_ratio
        if advantage == 0 and not presets.get(name).objective.needs_full_minibatch:
            np.testing.assert_array_equal(slopes, fresh, err_msg=str(log_ratio))


@pytest.mark.parametrize("name", ["grpo", "epo"])
def test_a_reference_that_is_far_away_does_not_own_the_gradient(name):
    find = slopes_of(name, kl_coefficient=0.5)
    plain, _ = find(0.0, 1.0, 0.0)
    for distance in FAR:
        slopes, values = find(0.0, 1.0, distance)
        assert_finite(values, distance)
        np.testing.assert_allclose(slopes, plain, rtol=1e-5, atol=1e-6, err_msg=str(distance))


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_has_the_dual_clip(name):
    assert presets.get(name, dual_clip=3.0).dual_clip == 3.0
    assert presets.get(name).dual_clip == (10.0 if name == "ce_gppo" else None)


@pytest.mark.parametrize("name", distinct_presets())
def test_the_dual_clip_bounds_a_stale_wrong_token(name):
    """At log r = 15, within the other bound, where A = -1: at most 3 times an ordinary pull."""
    find = slopes_of(name, dual_clip=3.0)
    plain, _ = find(0.0, 1.0, 0.0)
    slopes, values = find(15.0, -1.0, 0.0)
    assert_finite(values, name)
    assert np.abs(slopes[STALE]) <= 3.5 * np.abs(plain).max()
    # Where A > 0 it changes nothing.
    right, _ = find(1.5, 1.0, 0.0)
    np.testing.assert_array_equal(right, slopes_of(name)(1.5, 1.0, 0.0)[0])


def make_tokens(log_ratio, advantages, dual_clip=None) -> TokenBatch:
    log_ratio, advantages = np.float32([log_ratio]), np.float32([advantages])
    return TokenBatch(
        log_ratio, 0 * log_ratio, advantages, np.ones_like(log_ratio, bool), dual_clip=dual_clip
    )


def test_the_dual_clip_by_hand():
    """Ratios 5 and 2 where A = -1 cost 3 and 2, 5 where A = 1 is PPO's own clip."""
    log_ratio, advantages = np.log([5.0, 2.0, 5.0, 1.0]), [-1.0, -1.0, 1.0, -1.0]
    objective = presets.get("dapo", clip_high=0.2).objective

    def total(logprob):
        tokens = make_tokens(log_ratio, advantages, 3.0)._replace(logprob=logprob)
        out = objective(tokens)
        return out.total, out

    slopes, out = jax.grad(total, has_aux=True)(np.float32([log_ratio]))
    np.testing.assert_allclose(out.total, 3 + 2 - 1.2 + 1, rtol=1e-6)
    np.testing.assert_allclose(slopes, [[0, 2, 0, 1]], rtol=1e-6)
    assert [float(value) for value in out.metrics["clip/fraction"]] == [2.0, 4.0]


def test_within_the_bound_a_ratio_is_the_exponential():
    log_ratio = np.linspace(-19.9, 19.9, 9, dtype=np.float32)
    ratio, held = bounded_ratio(log_ratio[None], make_tokens(log_ratio, 0 * log_ratio))
    np.testing.assert_array_equal(ratio[0], jnp.exp(log_ratio))
    assert not held.any()


def test_k3_is_constant_beyond_the_bound():
    found, slopes = jax.vmap(jax.value_and_grad(k3))(np.float32([20.5, 100, 1e5, -20.5, -1e5]))
    np.testing.assert_allclose(found, [*[np.expm1(20) - 20] * 3, 19, 19], rtol=1e-6)
    assert not slopes.any()


def test_tokens_that_a_bound_holds_count_as_zeroed():
    tokens = make_tokens([30.0, -30.0, 0.0], [-1.0, 1.0, 1.0])
    out = presets.get("dapo").objective(tokens)
    assert [float(value) for value in out.metrics["clip/fraction"]] == [2.0, 3.0]
