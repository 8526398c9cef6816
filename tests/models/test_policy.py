"""Policies as values: their representation fits on a line."""

import dataclasses

import jax.numpy as jnp
import pytest

from papo_jax import models
from papo_jax.models import lora
from papo_jax.models.formats import safetensors_read
from papo_jax.models.formats.gguf import gguf_file
from papo_jax.models.formats.policy_location import locate_policy
from papo_jax.models.model_config import LoraConfig
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.problem import Problem
from tests.support.seeds import make_key


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny")


def test_representation_of_a_policy(tiny):
    assert repr(tiny) == str(tiny)
    assert repr(tiny) == (
        "Policy(qwen3, 4 layers x 128, 100 tokens of vocabulary, 997,248 parameters float32)"
    )
    assert repr(models.describe("tiny")) == repr(tiny)


def test_representation_of_adapters_and_dtypes(tiny):
    half = models.load("tiny", param_dtype="bfloat16")
    config = LoraConfig(2, 4.0, ("up",))
    adapted = lora.attach_adapters(half, config, make_key(1))
    # 4 layers of A [128, 2] and B [2, 512].
    added = 4 * 2 * (128 + adapted.params["blocks"]["mlp"]["up"].shape[-1])
    assert repr(adapted).endswith(
        f"997,248 parameters bfloat16, {added:,} parameters float32, LoRA of rank 2)"
    )
    part = dataclasses.replace(adapted, params={"up": jnp.ones((1, 2))})
    assert "2 parameters float32" in repr(part)


def test_representations_of_what_holds_much(tiny):
    problems = [Problem(index, "1+1=", "2") for index in range(9)]
    store = PromptStore.from_problems(tiny.tokenizer, problems)
    assert repr(store) == "PromptStore(9 prompts, 36 tokens)"
    directory = locate_policy("tiny")
    assert repr(tiny.source) == f"PolicySource(directory={directory!r})"
    source = safetensors_read.open_directory(directory)
    assert repr(source) == f"TensorSource({directory}, {len(source.shapes)} tensors)"
    file = gguf_file.GGUFFile(directory, {"tokens": ["a"] * 1000}, {}, None)
    assert repr(file) == f"GGUFFile({directory}, 1 fields, 0 tensors)"
