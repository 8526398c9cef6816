"""Objectives by hand, their gradients, and what must not matter: padding, micro-batches. Shapes: B
sequences, T time."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.methods import objectives, phase, presets, reweighting, signals
from tests.support.seeds import make_rng

OBJECTIVES = {"grpo": objectives.grpo, "dapo": objectives.dapo}

# Two answers, of two and three tokens. Out of range: 1.5 is above and 0.5 below for every clip
# here.
RATIO = np.array([[1.5, 0.5, 1.0], [1.5, 0.5, 1.1]], np.float32)
ADVANTAGES = np.array([[1.0, 1.0, 0.0], [-1.0, -2.0, 0.0]], np.float32)
MASK = np.array([[True, True, False], [True, True, True]])
OLD = np.log(np.array([[0.2, 0.6, 0.5], [0.3, 0.9, 0.4]], np.float32))


@functools.partial(jax.jit, static_argnums=0, static_argnames="kl_coefficient")
def value_and_gradient(name, logprob, old, advantages, mask, **arguments):
    """(`Objective`, gradient of its total in logprob)."""

    def total(logprob):
        out = OBJECTIVES[name](logprob, old, advantages, mask, **arguments)
        return out.total, out

    gradient, out = jax.grad(total, has_aux=True)(logprob)
    return out, gradient


def by_hand(name, **arguments):
    return value_and_gradient(name, OLD + np.log(RATIO), OLD, ADVANTAGES, MASK, **arguments)


class TestByHand:
    def test_grpo(self):
        # row 0: min(1.5, 1.2) = 1.2 (clipped, gradient 0) and min(0.5, 0.8) = 0.5 (gradient r A):
        # mean 0.85 # row 1: min(-1.5, -1.2) = -1.5 and min(-2 x 0.5, -2 x 0.8) = -1.6 (clipped) and
        # 0: mean -3.1 / 3
        out, gradient = by_hand("grpo")
        np.testing.assert_allclose(out.total, -0.85 + 3.1 / 3, rtol=1e-6)
        assert out.count == 2
        np.testing.assert_allclose(gradient, [[0, -0.5 / 2, 0], [1.5 / 3, 0, 0]], atol=1e-6)

    def test_dapo(self):
        # the same tokens, one sum, clipped above at 1.28: -(1.28 + 0.5 - 1.5 - 1.6)
        out, gradient = by_hand("dapo")
        np.testing.assert_allclose(out.total, 1.32, rtol=1e-6)
        assert out.count == 5
        np.testing.assert_allclose(gradient, [[0, -0.5, 0], [1.5, 0, 0]], atol=1e-6)

    @pytest.mark.parametrize("name", OBJECTIVES)
    def test_metrics(self, name):
        metrics = by_hand(name)[0].metrics
        assert {
            key: (float(total), float(count))
            for key, (total, count) in metrics.items()
            if "clip" in key
        } == {
            "clip/fraction": (2.0, 4.0),  # of the four with A != 0: raising at 1.5, lowering at 0.5
            "clip/ratio_outside": (4.0, 5.0),
        }
        # k3 of the mask's ratios: 2 (1.5 - 1 - log 1.5) + 2 (0.5 - 1 - log 0.5) + (1.1 - 1 - log
        # 1.1)
        total, count = metrics["kl/old_new"]
        np.testing.assert_allclose(total, 2 * 0.0945349 + 2 * 0.1931472 + 0.0046898, rtol=1e-5)
        assert count == 5

    def test_clip_range_is_the_callers(self):
        # clip 0.6 / 0.1: row 0 gives 1.1 + 0.5, row 1 gives -1.5 - 1.0 + 0
        out, gradient = by_hand("dapo", clip_low=0.6, clip_high=0.1)
        np.testing.assert_allclose(out.total, 0.9, rtol=1e-6)
        np.testing.assert_allclose(gradient, [[0, -0.5, 0], [1.5, 1.0, 0]], atol=1e-6)

    @pytest.mark.parametrize(
        "name, coefficients",
        [("grpo", [[0.5, 0.5, 0], [1 / 3] * 3]), ("dapo", [[1, 1, 0], [1] * 3])],
    )
    def test_kl_to_the_reference(self, name, coefficients):
        # reference twice as likely: k3 = 2 - 1 - log 2 = 0.306853, slope in logprob 1 - 2 = -1,
        # times 0.04
        base, slope = by_hand(name)
        reference = OLD + np.log(RATIO) + np.log(np.float32(2))
        out, gradient = by_hand(name, kl_coefficient=0.04, reference_logprob=reference)
        np.testing.assert_allclose(
            out.total - base.total, 0.04 * 0.306853 * np.sum(coefficients), rtol=1e-4
        )
        np.testing.assert_allclose(gradient - slope, -0.04 * np.array(coefficients), atol=1e-6)

    @pytest.mark.parametrize("name", OBJECTIVES)
    def test_on_policy_the_gradient_is_minus_the_advantage(self, name):
        # r = 1 is in range, where both arguments of the minimum tie: still the whole gradient
        coefficients = {"grpo": objectives.per_answer, "dapo": objectives.per_token}[name](
            MASK
        ).coefficients
        _, gradient = value_and_gradient(name, OLD, OLD, ADVANTAGES, MASK)
        np.testing.assert_array_equal(gradient, -coefficients * ADVANTAGES)


def test_k3_by_hand():
    # e - 1 - 1; 0; 1/e - 1 + 1; and x^2 / 2 for a tiny x, where r - 1 - log r would cancel
    np.testing.assert_allclose(
        objectives.k3(jnp.array([1.0, 0.0, -1.0])), [0.718282, 0, 0.367879], rtol=1e-5
    )
    assert (objectives.k3(jnp.linspace(-1e-3, 1e-3, 101)) >= 0).all()


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 1e4])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_masked_entries_do_not_leak(name, garbage):
    clean = OLD + np.log(RATIO), OLD, ADVANTAGES, OLD
    results = []
    for fill in (0.0, garbage):
        logprob, old, advantages, reference = (
            np.where(MASK, array, np.float32(fill)) for array in clean
        )
        results.append(
            value_and_gradient(
                name,
                logprob,
                old,
                advantages,
                MASK,
                kl_coefficient=0.04,
                reference_logprob=reference,
            )
        )
    jax.tree.map(np.testing.assert_array_equal, *results)
    assert results[1][1][0, 2] == 0


def test_garbage_in_one_argument_at_a_time_does_not_leak():
    clean = [OLD + np.log(RATIO), OLD, ADVANTAGES, OLD]

    def call(arrays):
        return value_and_gradient(
            "grpo", *arrays[:3], MASK, kl_coefficient=0.04, reference_logprob=arrays[3]
        )

    for spoilt in range(4):
        arrays = list(clean)
        arrays[spoilt] = np.where(MASK, arrays[spoilt], np.float32(np.nan))
        jax.tree.map(np.testing.assert_array_equal, call(clean), call(arrays))


def random_batch(rows, seed=0):
    draw = make_rng(seed)
    old = -draw.exponential(size=(rows, 6)).astype(np.float32)
    logprob = old + 0.3 * draw.normal(size=(rows, 6)).astype(np.float32)
    advantages = draw.normal(size=(rows, 1)).astype(np.float32) * np.ones((1, 6), np.float32)
    return [logprob, old, advantages, np.arange(6) < draw.integers(0, 7, size=(rows, 1))]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_add_up(name):
    batch = random_batch(8)
    batch[3][5] = False  # an answer without a token counts nowhere
    whole, gradient = value_and_gradient(name, *batch)
    parts = [
        value_and_gradient(name, *(array[rows : rows + 2] for array in batch))
        for rows in range(0, 8, 2)
    ]
    summed = functools.reduce(lambda a, b: jax.tree.map(np.add, a, b), [out for out, _ in parts])
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6), summed, whole
    )
    np.testing.assert_allclose(np.concatenate([each for _, each in parts]), gradient, rtol=1e-6)
    assert whole.count == (batch[3].any(axis=1).sum() if name == "grpo" else batch[3].sum())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_padding_and_empty_answers_change_nothing(name):
    batch = random_batch(8)
    padded = [
        np.pad(array, ((0, 2), (0, 3)), constant_values=False if array.dtype == bool else 7.0)
        for array in batch
    ]
    (out, gradient), (wider, slope) = (
        value_and_gradient(name, *batch),
        value_and_gradient(name, *padded),
    )
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6), wider, out
    )
    np.testing.assert_allclose(slope, np.pad(gradient, ((0, 2), (0, 3))), rtol=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_without_tokens_is_zero(name):
    out, gradient = value_and_gradient(name, *random_batch(8)[:3], np.zeros((8, 6), bool))
    assert out.total == 0 and out.count == 0 and not np.any(gradient)


class TestPresets:
    """Every name and argument of a preset is taken by the function that consumes it."""

    @pytest.mark.parametrize("name", presets.PRESETS)
    def test_every_argument_is_taken_by_a_function_of_the_method(self, name):
        arguments = presets.get(name)
        functions = [arguments[slot] for slot in ("advantage", "shape", "drop", "bonus_rule")] + [
            arguments["objective"].loss
        ]
        taken = {"advantage", "shape", "drop", "bonus_rule", "objective", "pack"}
        taken |= {"overlong", "overlong_mask", "refills", "signal", "direction", "dead_band"}
        for function in [phase.update, reweighting.papo, *filter(None, functions)]:
            taken |= set(inspect.signature(function).parameters)
        assert set(arguments) <= taken
        assert (
            arguments["phase"] in phase.PHASES and arguments["weighting"] in reweighting.WEIGHTINGS
        )
        assert arguments["signal"] in signals.SIGNALS
        strongest = min(1 - arguments["w_min"], arguments["w_max"] - 1)
        assert 0 <= arguments["lam"] <= strongest and 0 <= arguments["overlong"] <= 1

    @pytest.mark.parametrize("name", presets.PRESETS)
    def test_every_array_that_an_objective_asks_for_exists(self, name):
        arguments = presets.get(name)
        loss, whole = arguments["objective"].loss, arguments["objective"].whole
        given = {"entropy", "unit_polarity", "reference_logprob", "accuracy", "draws", "limit"}
        given |= {"bonus", "rollout_entropy", "past_entropy"} | (
            set() if whole else {"coefficients"}
        )
        needed = {
            n
            for n, p in inspect.signature(loss).parameters.items()
            if p.kind is p.KEYWORD_ONLY and p.default is p.empty
        }
        assert needed <= given | set(arguments)
        assert whole == ("coefficients" not in inspect.signature(loss).parameters)

    def test_published_settings(self):
        assert {
            key: presets.get("grpo")[key]
            for key in ("clip_low", "clip_high", "kl_coefficient", "lam")
        } == dict(clip_low=0.2, clip_high=0.2, kl_coefficient=0.04, lam=0.0)
        assert {
            key: presets.get("dapo")[key]
            for key in ("clip_low", "clip_high", "kl_coefficient", "lam")
        } == dict(clip_low=0.2, clip_high=0.28, kl_coefficient=0.0, lam=0.0)
        assert presets.get("papo") == {**presets.get("dapo"), "lam": 0.2, "refills": 0}
        assert (presets.get("dapo")["refills"], presets.get("grpo")["refills"]) == (10, 0)

    @pytest.mark.parametrize("name", ["grpo", "dapo", "papo"])
    def test_defaults_of_papos_functions_are_those_of_the_presets(self, name):
        arguments = presets.get(name)
        if arguments["lam"]:
            assert inspect.signature(reweighting.papo).parameters["lam"].default == arguments["lam"]
        for function, skipped in ((phase.update, {"target_steps"}), (reweighting.papo, {"lam"})):
            parameters = inspect.signature(function).parameters
            for key in set(parameters) & set(arguments) - skipped:
                assert parameters[key].default == arguments[key], key

    @pytest.mark.parametrize(
        "name", sorted(set(presets.PRESETS) - {"stare_c2", "bapo_code"})
    )  # variants of another preset
    def test_defaults_of_a_methods_own_functions_are_its_presets(self, name):
        arguments, home = presets.get(name), presets.PRESETS[name].__module__
        functions = [arguments[slot] for slot in ("advantage", "shape", "drop", "bonus_rule")] + [
            arguments["objective"].loss
        ]
        for function in (f for f in functions if f and f.__module__ == home):
            for key, parameter in inspect.signature(function).parameters.items():
                if key in arguments and parameter.default is not parameter.empty:
                    assert parameter.default == arguments[key], key

    def test_a_preset_is_fresh_every_time(self):
        presets.get("papo")["lam"] = 0.9
        assert presets.get("papo")["lam"] == 0.2

    def test_unknown_names_are_refused(self):
        with pytest.raises(ValueError, match="'ppo'.*grpo, dapo, papo"):
            presets.get("ppo")
