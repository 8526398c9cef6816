"""Runs that must be the same run: by seed, lam = 0, evaluation and a learning rate of zero."""

import contextlib
import json
import shutil

import jax
import numpy as np
import pytest

from papo_jax import models
from papo_jax.training.training_run import prepare_run
from tests.support.seeds import SEED, make_key

# Every step teaches, whatever the policy draws.
pytestmark = pytest.mark.usefixtures("mixed_verdicts")

UPDATES = {"training.minibatches": 4, "method.refills": 0}  # PAPO draws once, so its base does


@pytest.fixture(scope="module")
def base(small, train, mixed_verdicts, tmp_path_factory):
    """Four steps of four updates under DAPO."""
    return train(small({"method.name": "dapo", **UPDATES}), tmp_path_factory.mktemp("base"))


def assert_same(first, second):
    """Bit for bit, rows and states."""
    for one, other in zip(first[0], second[0], strict=True):
        assert one == other
    jax.tree.map(np.testing.assert_array_equal, first[1], second[1])


def test_base_learns_something(base):
    rows, state = base
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert int(state.step) == 4 and int(state.cursor) == 16
    assert all(row["grad_norm"] > 0 and row["kl/old_new"] > 0 for row in rows)


@pytest.mark.parametrize(
    "weighting, phase",
    [("sign", "fixed"), pytest.param("balanced", "level", marks=pytest.mark.slow)],
)
def test_papo_without_strength_is_its_base(small, train, base, tmp_path, weighting, phase):
    method = {
        "method.name": "papo",
        "method.lam": 0.0,
        "method.weighting": weighting,
        "method.phase": phase,
    }
    rows, state = train(small({**UPDATES, **method}), tmp_path)
    for row in rows:
        assert (row["weight/min"], row["weight/mean"], row["weight/max"]) == (1.0, 1.0, 1.0)

    def strip(rows):
        return [{k: v for k, v in row.items() if k != "phase"} for row in rows]

    assert_same((strip(rows), state), (strip(base[0]), base[1]))


def test_papo_with_strength_is_not_its_base(small, train, base, tmp_path):
    method = {"method.name": "papo", "method.lam": 0.4, "method.phase": "fixed"}
    rows, _ = train(small({**UPDATES, **method}), tmp_path)
    # The first step draws alike and weights otherwise, the second is another policy's.
    assert rows[0]["weight/max"] > rows[0]["weight/min"]
    assert rows[0]["entropy"] == base[0][0]["entropy"]
    assert rows[1]["entropy"] != base[0][1]["entropy"]


def test_evaluation_and_diagnostics_change_no_training_number(small, train, base, tmp_path):
    watched = {"method.name": "dapo", **UPDATES, "evaluation.every": 2, "diagnostics.every": 1}
    rows, state = train(small(watched), tmp_path)
    assert "entropy_change/directional" in rows[0] and (tmp_path / "evaluation.json").exists()
    assert_same(([{k: row[k] for k in base[0][0]} for row in rows], state), base)


def test_same_seed_is_the_same_run_and_another_is_not(small, train, base, tmp_path):
    assert_same(train(small({"method.name": "dapo", **UPDATES}), tmp_path / "same"), base)
    rows, _ = train(
        small({"method.name": "dapo", **UPDATES, "seed": SEED + 1, "training.steps": 1}),
        tmp_path / "other",
    )
    assert rows[0]["entropy"] != base[0][0]["entropy"]


def test_learning_rate_zero_changes_nothing_in_twenty_steps(small, train, tmp_path):
    still = {
        "training.learning_rate": 0.0,
        "training.steps": 20,
        "checkpoint.every": 20,
        "diagnostics.every": 10,
    }
    rows, state = train(small(still), tmp_path)
    start = prepare_run(small(still), tmp_path / "start").initial
    jax.tree.map(np.testing.assert_array_equal, state.params, jax.device_get(start.params))
    assert len(rows) == 20
    # With the sampler's statistics the trainer's are made where a step is diagnosed.
    diagnosed = [row for row in rows if "logprob_gap/max" in row]
    assert [row["step"] for row in diagnosed] == [0, 10]
    assert max(row["logprob_gap/max"] for row in diagnosed) < 1e-4
    assert max(row["kl/sampler_trainer"] for row in diagnosed) < 1e-8
    # The ratio stays 1, so nothing is clipped.
    assert max(row["kl/old_new"] for row in rows) < 1e-10
    assert max(row["clip/fraction"] for row in rows) == 0.0
    assert [rows[10][f"entropy_change/{kind}"] for kind in ("directional", "realized")] == [
        0.0,
        0.0,
    ]
    entropies = [row["entropy"] for row in rows]
    # One policy, other problems: 100 tokens bound the mean, and the spread is that of the prompts.
    assert all(0 < entropy < np.log(100) for entropy in entropies) and np.std(entropies) < 0.5


def test_every_stop_token_of_the_generation_config_ends_an_answer(
    small, policy_directory, tmp_path
):
    copy = shutil.copytree(policy_directory, tmp_path / "policy")
    tokenizer = models.load(str(copy)).tokenizer
    stop, end = tokenizer.convert_tokens_to_ids("1"), tokenizer.eos_token_id
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [end, stop]}))
    with contextlib.closing(
        prepare_run(small({"model.path": str(copy)}), tmp_path / "run")
    ) as made:
        prompts = made.pad_prompts(range(4))
        completions, _ = made.programs.sample(made.initial.params, prompts, make_key(0))
        texts = made.detokenize(completions)
    tokens, mask = np.asarray(completions.tokens), np.asarray(completions.action)
    lasts = [row[kept][-1] for row, kept in zip(tokens, mask, strict=True)]
    assert stop in lasts and not any("1" in text for text in texts)
    for row, kept, last in zip(tokens, mask, lasts, strict=True):
        assert ((row[kept] == stop) | (row[kept] == end)).sum() == (
            last in (stop, end)
        )  # nothing comes after one


def test_prompts_sampled_a_few_at_a_time_get_the_same_samples(small, tmp_path):
    drawn = {}
    for at_once in (None, 2):
        settings = small({"rollout.at_once": at_once, "rollout.temperature": 1.5})
        with contextlib.closing(prepare_run(settings, tmp_path / str(at_once))) as made:
            prompts = made.pad_prompts(range(4))
            drawn[at_once] = made.programs.sample(made.initial.params, prompts, make_key(0))
    (whole, laid), (parts, laid_too) = drawn.values()
    assert len({tuple(row) for row in np.asarray(whole.tokens).tolist()}) > 4
    # Other shapes round otherwise, and one draw in a million is within a rounding of turning out
    # otherwise. So one of the 16 rows may; the others agree in everything.
    same = (np.asarray(whole.tokens) == np.asarray(parts.tokens)).all(axis=1)
    assert same.sum() >= 15
    arrays = jax.tree.leaves((whole, laid)), jax.tree.leaves((parts, laid_too))
    for one, other in zip(*arrays, strict=True):
        if np.asarray(one).dtype == np.float32:
            np.testing.assert_allclose(one[same], other[same], atol=1e-5)
        else:
            np.testing.assert_array_equal(one[same], other[same])


@pytest.mark.parametrize("temperature", [0.7, 1.3])
@pytest.mark.slow
def test_sampler_and_trainer_agree_at_other_temperatures(small, tmp_path, temperature):
    made = prepare_run(small({"rollout.temperature": temperature}), tmp_path)
    completions, trajectories = made.programs.sample(
        made.initial.params, made.pad_prompts(range(4)), make_key(0)
    )
    stats = made.programs.score(made.initial.params, trajectories)
    mask = np.asarray(trajectories.action)
    assert mask.sum() >= 16  # a token an answer, at least
    np.testing.assert_allclose(stats.logprob[mask], completions.stats.logprob[mask], atol=1e-4)
