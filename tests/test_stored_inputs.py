"""The stored policy and rollout: what other tests rely on, and that the script still makes such."""

import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file

from papo_jax import models
from papo_jax.tasks.sources import arithmetic
from tests.support import make_policy

STORED = pathlib.Path(make_policy.__file__).parent


def test_the_rollout_is_of_the_problems_that_the_policy_was_trained_on(stored_rollout):
    tokenizer = models.load(str(STORED / "policy")).tokenizer
    prompts = [
        tokenizer.decode(tokens[valid])
        for tokens, valid in zip(
            stored_rollout.prompt_tokens, stored_rollout.prompt_valid, strict=True
        )
    ]
    problems = [arithmetic.generate_problem(0, "train", index, difficulty=1) for index in range(4)]
    assert prompts == [problem.prompt for problem in problems for _ in range(4)]


def test_the_rollout_has_answers_of_many_lengths_that_differ(stored_rollout):
    action, tokens = (
        stored_rollout.action,
        np.where(stored_rollout.action, stored_rollout.tokens, 0),
    )
    lengths = action.sum(axis=1)
    np.testing.assert_array_equal(action, np.arange(8) < lengths[:, None])
    assert len(set(lengths.tolist())) >= 3
    for group in np.split(tokens, 4):
        assert len({row.tobytes() for row in group}) > 1


@pytest.mark.slow
def test_the_script_makes_such_a_policy_and_such_a_rollout(tmp_path):
    make_policy.main(tmp_path)
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        made, stored = ((place / "policy" / name).read_text() for place in (tmp_path, STORED))
        assert made == stored, name
    weights = [load_file(place / "policy/model.safetensors") for place in (tmp_path, STORED)]
    rollouts = [dict(np.load(place / "rollout.npz")) for place in (tmp_path, STORED)]
    for made, stored in (weights, rollouts):
        assert {name: (array.shape, array.dtype) for name, array in made.items()} == {
            name: (array.shape, array.dtype) for name, array in stored.items()
        }
