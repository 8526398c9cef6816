"""Runs that train adapters: the base stays and is the reference, and an export is the sum."""

import contextlib
import json

import jax
import numpy as np
import pytest

import run
from papo_jax import models
from papo_jax.learner.batches import Rollout
from papo_jax.models import lora
from papo_jax.training.training_run import prepare_run
from tests.support.rows import make_grades
from tests.support.seeds import make_key

LORA = {
    "model.lora_rank": 2,
    "model.lora_alpha": 8.0,
    "method.kl_coefficient": 0.1,
    "training.learning_rate": 1e-2,
}
LORA_TARGETS = {"model.lora_targets": "q_proj+v_proj+down_proj"}

# Every step teaches, whatever the policy draws.
pytestmark = pytest.mark.usefixtures("mixed_verdicts")


@pytest.fixture(scope="module")
def trained(small, train, mixed_verdicts, tmp_path_factory):
    place = tmp_path_factory.mktemp("lora")
    return *train(small({**LORA, **LORA_TARGETS}), place), place


def test_state_and_checkpoints_hold_adapters_alone(trained):
    rows, state, _ = trained
    names = {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(state.params)}
    assert names == {
        f"{name}_lora_{end}" for name in ("query", "value", "down") for end in ("in", "out")
    }
    assert any(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(state.params["blocks"]["mlp"]))
    assert rows[-1]["entropy"] != rows[0]["entropy"]


def test_reference_is_the_base(small, trained):
    """After training the policy has moved away from its reference, which still is the base."""
    _, _, place = trained
    with contextlib.closing(prepare_run(small({**LORA, **LORA_TARGETS}), place)) as prepared:
        assert prepared.policy.config.lora == exported_adapters()
        reference, programs = prepared.reference, prepared.programs
        assert jax.tree.structure(reference) == jax.tree.structure(
            prepared.initial.params
        )  # no weights of its own
        _, trajectories = programs.sample(reference, prepared.pad_prompts(range(4)), make_key(0))
        of_reference = programs.score(reference, trajectories)
        of_policy = programs.score(prepared.initial.params, trajectories)
        rollout = Rollout(
            trajectories=trajectories,
            stats=of_policy,
            entropy=np.float32(1),
            reference_logprob=of_reference.logprob,
        )
        _, output = programs.learn(prepared.initial, rollout, make_grades(np.eye(4)))
    base = models.load(prepared.settings.model.path)
    tokens = np.concatenate([trajectories.prompt_tokens, trajectories.tokens], axis=1)
    valid = np.concatenate([trajectories.prompt_valid, trajectories.valid], axis=1)
    logprob = jax.nn.log_softmax(
        models.logits(base.graph, base.params, tokens, valid)[
            :, trajectories.prompt_tokens.shape[1] - 1 : -1
        ]
    )
    expected = np.take_along_axis(
        np.asarray(logprob), np.asarray(trajectories.tokens)[..., None], axis=-1
    )[..., 0]
    mask = np.asarray(trajectories.action)
    np.testing.assert_allclose(np.asarray(of_reference.logprob)[mask], expected[mask], atol=1e-5)
    assert np.abs(np.asarray(of_policy.logprob) - of_reference.logprob)[mask].max() > 1e-4
    # It is what updates read.
    np.testing.assert_array_equal(
        np.asarray(output.batch.reference_logprob)[mask], np.asarray(of_reference.logprob)[mask]
    )


def test_a_fresh_policy_is_its_reference_and_shares_the_weights(small, tmp_path):
    settings = small({**LORA, "model.param_dtype": "bfloat16"})
    with contextlib.closing(prepare_run(settings, tmp_path)) as first:
        reference = first.reference
        jax.tree.map(np.testing.assert_array_equal, first.initial.params, reference)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(reference)} == {"float32"}
    other = small({**LORA, "model.param_dtype": "bfloat16", "seed": settings.seed + 1})
    with contextlib.closing(prepare_run(other, tmp_path / "other")) as second:
        drawn, again = (made.reference["blocks"]["mlp"]["up_lora_in"] for made in (first, second))
        assert np.abs(drawn - again).max() > 0.1
    base = models.load(settings.model.path, param_dtype="bfloat16")
    adapted = lora.attach_adapters(base, exported_adapters(), make_key(0))
    _, frozen = lora.split_params(adapted.params, adapted.config.lora)
    for one, held in zip(jax.tree.leaves(frozen), jax.tree.leaves(base.params), strict=True):
        assert (
            one.dtype == "bfloat16" and one.unsafe_buffer_pointer() == held.unsafe_buffer_pointer()
        )


@pytest.mark.slow
def test_everything_at_once_runs(small, train, tmp_path):
    everything = {
        **LORA,
        "model.param_dtype": "bfloat16",
        "model.dtype": "bfloat16",
        "model.remat": "dots",
        "rollout.at_once": 2,
        "diagnostics.every": 1,
        "evaluation.every": 2,
        "training.steps": 2,
    }
    rows, state = train(small(everything), tmp_path)
    assert all(
        np.isfinite(row["entropy_change/directional"]) and not row["update/skipped"] for row in rows
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state.params)} == {"float32"}
    with contextlib.closing(prepare_run(small(everything), tmp_path)) as prepared:
        config = prepared.policy.config
    assert (config.dtype, config.remat) == ("bfloat16", "dots")


def test_resumed_run_is_the_uninterrupted_one(small, train, trained, tmp_path):
    train(small({**LORA, **LORA_TARGETS, "training.steps": 2}), tmp_path)
    rows, state = train(small({**LORA, **LORA_TARGETS}), tmp_path)
    assert rows == trained[0]
    jax.tree.map(np.testing.assert_array_equal, state, trained[1])


def test_export_merges(small, trained, capsys):
    _, state, place = trained
    assert (
        run.main(["run.py", "--mode=export", f"--workdir={place}", f"--output={place / 'merged'}"])
        == 0
    )
    assert "step 4 exported to" in capsys.readouterr().out
    exported, base = models.load(str(place / "merged")), models.load(small().model.path)
    beside = lora.attach_adapters(base, exported_adapters(), make_key(0))
    beside = (
        lora.join_params(state.params, lora.split_params(beside.params, exported_adapters())[1]),
        beside.graph,
    )
    tokens = np.arange(12).reshape(2, 6) % base.config.vocabulary_size
    expected = models.logits(beside[1], beside[0], tokens)
    np.testing.assert_allclose(
        models.logits(exported.graph, exported.params, tokens), expected, atol=2e-5
    )
    assert np.abs(models.logits(base.graph, base.params, tokens) - expected).max() > 1e-2


def exported_adapters():
    return models.model_config.LoraConfig(2, 8.0, ("query", "value", "down"))


def test_export_beside_other_weights_is_refused(trained, capsys, tmp_path):
    _, _, place = trained
    recorded = json.loads((place / "provenance.json").read_text())
    changed = {**recorded, "model": {**recorded["model"], "fingerprint": "0"}}
    (place / "provenance.json").write_text(json.dumps(changed))
    try:
        assert (
            run.main(
                ["run.py", "--mode=export", f"--workdir={place}", f"--output={tmp_path / 'x'}"]
            )
            == 2
        )
    finally:
        (place / "provenance.json").write_text(json.dumps(recorded))
    assert "not those that" in capsys.readouterr().err and not (tmp_path / "x").exists()
