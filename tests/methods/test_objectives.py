"""Objectives by hand, their gradients, and what must not matter: padding, micro-batches.

Shapes: B sequences, T time.
"""

import dataclasses
import functools
import inspect
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.errors import InputError
from papo_jax.methods import method_files, objectives, phase, presets, reweighting, signals
from papo_jax.methods.method import Method
from papo_jax.methods.token_batch import TokenBatch
from tests.support.seeds import make_rng

OBJECTIVES = {"grpo": objectives.GRPO, "dapo": objectives.DAPO}

# Two answers, of two and three tokens. Out of range: 1.5 is above and 0.5 below for every clip
# here.
RATIO = np.array([[1.5, 0.5, 1.0], [1.5, 0.5, 1.1]], np.float32)
ADVANTAGES = np.array([[1.0, 1.0, 0.0], [-1.0, -2.0, 0.0]], np.float32)
MASK = np.array([[True, True, False], [True, True, True]])
OLD = np.log(np.array([[0.2, 0.6, 0.5], [0.3, 0.9, 0.4]], np.float32))


@functools.partial(jax.jit, static_argnums=0, static_argnames="kl_coefficient")
def value_and_gradient(name, logprob, old, advantages, mask, reference_logprob=None, **numbers):
    """(`LossSum`, gradient of its total in logprob)."""

    def total(logprob):
        tokens = TokenBatch(logprob, old, advantages, mask, reference_logprob=reference_logprob)
        out = OBJECTIVES[name](tokens, **numbers)
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
        coefficients = OBJECTIVES[name].reduction(MASK).token_weights
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
    """Every number of a preset is declared by the rule that reads it, and has one home."""

    @pytest.mark.parametrize("name", presets.PRESETS)
    def test_every_number_is_a_keyword_of_a_rule_or_a_field_of_the_method(self, name):
        method = presets.get(name)
        rules = [method.advantage_rule, method.token_advantage_rule, method.dropped_token_rule]
        rules += [method.coefficient_rule, method.phase_rule, method.weight_rule]
        declared = {field.name for field in dataclasses.fields(Method)}
        for rule in [*filter(None, rules), method.objective.loss]:
            declared |= set(inspect.signature(rule).parameters)
        numbers = method.hyperparameters()
        assert set(numbers) <= declared
        assert numbers["phase"] in phase.PHASES and numbers["weighting"] in reweighting.WEIGHTINGS
        assert numbers["signal"] in signals.SIGNALS
        strongest = min(1 - numbers["w_min"], numbers["w_max"] - 1)
        assert 0 <= numbers["lam"] <= strongest and 0 <= numbers["overlong"] <= 1

    @pytest.mark.parametrize("name", presets.PRESETS)
    def test_every_array_that_an_objective_asks_for_exists(self, name):
        # It has what `TokenBatch` has, which the trainer fills in; beyond that, numbers with
        # defaults.
        loss = presets.get(name).objective.loss
        first, second, *others = inspect.signature(loss).parameters.values()
        assert (first.name, second.name) == ("tokens", "reduction")
        assert all(each.kind is each.KEYWORD_ONLY for each in others)
        assert all(each.default is not each.empty for each in others)

    def test_published_settings(self):
        keys = ("clip_low", "clip_high", "kl_coefficient", "lam", "refills")
        settings = {
            name: [presets.get(name).hyperparameter(key) for key in keys]
            for name in ("grpo", "dapo", "papo")
        }
        assert settings == {
            "grpo": [0.2, 0.2, 0.04, 0.0, 0],
            "dapo": [0.2, 0.28, 0.0, 0.0, 10],
            "papo": [0.2, 0.28, 0.0, 0.2, 0],
        }
        assert presets.hyperparameters("papo") == presets.hyperparameters("dapo") | {
            "lam": 0.2,
            "refills": 0,
        }

    def test_a_number_that_a_preset_does_not_bind_is_its_rules_default(self):
        defaults = inspect.signature(phase.update).parameters
        numbers = presets.hyperparameters("clip_cov")
        for key in set(defaults) - {"state", "entropy"}:
            assert numbers[key] == defaults[key].default, key
        assert numbers["covariance_share"] == 2e-4  # as `clip_cov_loss` declares it

    def test_equal_methods_are_equal_and_others_are_not(self):
        assert presets.get("grpo") == presets.get("grpo")  # two partials of one function are not
        assert hash(presets.get("grpo")) == hash(presets.get("grpo"))
        assert presets.get("grpo") != presets.get("grpo", clip_low=0.1)
        assert presets.get("reinforce") != presets.get("rloo")

    def test_a_method_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            presets.get("papo").refills = 3
        assert presets.get("papo").with_hyperparameters(lam=0.3).hyperparameter("lam") == 0.3
        assert presets.get("papo").hyperparameter("lam") == 0.2

    def test_a_number_goes_to_every_rule_that_declares_it(self):
        method = presets.get("adaptive_entropy", entropy_target=0.5)
        assert method.objective.loss.keywords["entropy_target"] == 0.5
        assert method.coefficient_rule.keywords["entropy_target"] == 0.5

    def test_unknown_names_are_refused(self):
        with pytest.raises(ValueError, match="'ppo'.*grpo, dapo, papo"):
            presets.get("ppo")
        with pytest.raises(ValueError, match="method.covariance_share means nothing to 'grpo'"):
            presets.get("grpo", covariance_share=0.1)


RULE = """
import functools
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import DAPO, LossSum

def loss(tokens, reduction, *, own_share: float = 0.1, own_flag: bool = False) -> LossSum: ...

def faulty() -> Method:
    return Method(DAPO._replace(loss=functools.partial(loss, {})))

PRESETS = (faulty,)
"""


@pytest.mark.parametrize(
    "binding, complaint",
    [
        (
            "own_shar=0.2",
            r"loss\(\) declares no hyperparameter 'own_shar'; the nearest is 'own_share'",
        ),
        ("own_share='0.2'", r"loss\(\) is bound to own_share = '0.2'; it must be of type float"),
        ("own_share=True", r"loss\(\) is bound to own_share = True; it must be of type float"),
        ("own_flag=1", r"loss\(\) is bound to own_flag = 1; it must be of type bool"),
    ],
)
def test_a_faulty_method_file_is_refused_when_it_is_loaded(
    binding, complaint, tmp_path, monkeypatch
):
    (tmp_path / "faulty_rule.py").write_text(RULE.format(binding))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faulty_rule", raising=False)
    with pytest.raises(
        InputError, match="the method file faulty_rule cannot be used: " + complaint
    ):
        method_files._load_presets("faulty_rule")


def test_a_faulty_method_file_ends_the_command_with_one_line_and_code_2(tmp_path):
    (tmp_path / "faulty_rule.py").write_text(RULE.format("own_shar=0.2"))
    command = f"""
import sys
from papo_jax import errors
import papo_jax.methods.policy_gradients as family
family.__path__.append({str(tmp_path)!r})
import run
sys.exit(run.main(["run.py", "--workdir=unused"]))
"""
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", command], cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "faulty_rule cannot be used" in line and "own_share" in line


@pytest.mark.parametrize(
    "reduction, weights, count",
    [
        (objectives.answer_mean, [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]], 2),
        (objectives.token_mean, [[1, 1, 0], [0, 0, 0], [0, 0, 1]], 3),
        (objectives.limit_mean, [[0.1, 0.1, 0], [0, 0, 0], [0, 0, 0.1]], 2),
        (objectives.answer_sum, [[1, 1, 0], [0, 0, 0], [0, 0, 1]], 2),
    ],
)
def test_reductions_by_hand(reduction, weights, count):
    """Answers of two, no and one tokens, at most ten long: one without tokens counts nowhere."""
    mask = np.array([[True, True, False], [False] * 3, [False, False, True]])
    found = reduction(mask, 10)
    np.testing.assert_allclose(found.token_weights, weights, rtol=1e-6)
    assert found.count == count
