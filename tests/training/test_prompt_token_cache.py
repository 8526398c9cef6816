"""Prompts that are kept between runs: the same ones, or they are made again."""

import dataclasses
import datetime

import numpy as np
import pytest

from papo_jax import models
from papo_jax.rollout.chat import ChatOptions
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.problem import Problem
from papo_jax.training.problems import prompt_token_cache

PROBLEMS = [Problem(n, f"{n}+{n}=", str(2 * n)) for n in range(50)]
MONDAY, TUESDAY = datetime.datetime(2026, 11, 30), datetime.datetime(2026, 12, 1)
DATED = "{{ strftime_now('%d') }}{{ messages[-1].content }}"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "papo_jax/prompts"


@pytest.fixture(scope="module")
def policy(policy_directory):
    return models.describe(str(policy_directory))


@pytest.fixture
def key(policy):
    return prompt_token_cache.make_key(policy, ChatOptions(), "f")


@pytest.fixture(scope="module")
def store(policy):
    return PromptStore.from_problems(policy.tokenizer, PROBLEMS)


def test_prompt_token_cache_are_the_same(cache, key, store):
    assert prompt_token_cache.read_prompts(key) is None
    prompt_token_cache.keep_prompts(key, store)
    found = prompt_token_cache.read_prompts(key)
    assert found is not None and found.fingerprint == store.fingerprint
    for row in (0, 7, 49):
        np.testing.assert_array_equal(found[row], store[row])
    assert prompt_token_cache.read_prompts(key.replace('"f"', '"g"')) is None


@pytest.mark.parametrize("place", [0, 100, -30])
def test_damaged_prompts_are_none(cache, key, store, place):
    prompt_token_cache.keep_prompts(key, store)
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    found = prompt_token_cache.read_prompts(key)
    assert found is None or found.fingerprint == store.fingerprint
    path.write_bytes(content[: len(content) // 2])
    assert prompt_token_cache.read_prompts(key) is None


def test_prompts_of_another_key_are_none(cache, key, store):
    """Even where a file of that name holds others."""
    prompt_token_cache.keep_prompts(key.replace('"f"', '"g"'), store)
    (path,) = cache.iterdir()
    path.rename(prompt_token_cache._locate(key))
    assert prompt_token_cache.read_prompts(key) is None


def test_the_key_has_all_that_decides_the_tokens(policy, key):
    other = dataclasses.replace(policy, tokenizer_hashes={"tokenizer.json": "x"})
    found = {
        key,
        prompt_token_cache.make_key(policy, ChatOptions(), "g"),
        prompt_token_cache.make_key(other, ChatOptions(), "f"),
    }
    assert len(found) == 3


def test_the_day_counts_where_the_template_writes_it(policy, monkeypatch):
    def keys(template):
        monkeypatch.setattr(policy.tokenizer, "chat_template", template)
        options = [ChatOptions(moment=moment) for moment in (MONDAY, TUESDAY)]
        return {prompt_token_cache.make_key(policy, one, "f") for one in options}

    assert len(keys(DATED)) == 2
    plain = keys("{{ messages[-1].content }}")
    assert len(plain) == 1 and plain != keys(None)


def test_without_a_place_to_write_nothing_is_kept(cache, key, store):
    cache.parent.write_text("a file where the directory belongs")
    prompt_token_cache.keep_prompts(key, store)
    assert prompt_token_cache.read_prompts(key) is None
