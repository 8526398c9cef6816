"""Cached decoding against the full forward pass, at prompt lengths around every bucket's edge."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from papo_jax import models
from papo_jax.models import kv_cache
from papo_jax.models.model_config import ModelConfig, RopeScaling
from papo_jax.models.policy import make_abstract_model
from papo_jax.rollout import prompts
from tests.support.seeds import make_rng

PLAIN = ModelConfig(
    "qwen3",
    vocabulary_size=31,
    width=16,
    layers=4,
    heads=4,
    kv_heads=2,
    head_dim=6,
    mlp_width=24,
    tied=True,
    qk_norm=True,
)
CONFIGS = {
    "plain": PLAIN,
    "window": dataclasses.replace(PLAIN, window=5),
    "window of some, others do not rotate": dataclasses.replace(
        PLAIN, window=5, windowed=(True, False, False, True), rotated=(True, True, False, True)
    ),
    "yarn, biases": dataclasses.replace(
        PLAIN,
        rope_scaling=RopeScaling("yarn", 4.0, 8, magnitude=1.2),
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
    ),
}
MULTIPLE, LONGEST, NEW = 8, 20, 5  # prompts go into 8, 16 or 20 slots
LENGTHS = (1, 7, 8, 9, 15, 16, 17, 19, 20)


# One in the default set has all that differs between layers.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            config, id=name, marks=() if name.startswith("window of some") else pytest.mark.slow
        )
        for name, config in CONFIGS.items()
    ],
)
def policy(request):
    """(graph, params) with weights large enough for every part to tell in the logits."""
    return make_model(request.param)


def make_model(config):
    """(graph, params): norms near 1, everything else normal with deviation 0.15."""
    graph, shapes = make_abstract_model(config)
    rng = make_rng(1)

    def draw(path, leaf):
        return (path[-1].key == "scale") + 0.15 * rng.normal(size=leaf.shape).astype(np.float32)

    return graph, jax.tree_util.tree_map_with_path(draw, shapes)


def cached_logits(graph, params, made, new):
    """[B, P + NEW, V]: the prompt at once, then a token at a time."""
    model = nnx.merge(graph, params)

    def head(hidden):
        return jnp.einsum("btd,vd->btv", hidden, model.unembedding_matrix())

    hidden, cache = model.append_to_cache(
        made.tokens, made.valid, kv_cache.init_cache(model.config, *made.tokens.shape)
    )

    def step(cache, token):
        hidden, cache = model.append_to_cache(
            token[:, None], jnp.ones((len(token), 1), bool), cache
        )
        return cache, head(hidden)[:, 0]

    _, decoded = jax.lax.scan(step, kv_cache.add_slots(cache, NEW), new.T)
    return jnp.concatenate([head(hidden), decoded.swapaxes(0, 1)], axis=1)


cached_logits = jax.jit(cached_logits, static_argnums=0)
full_logits = jax.jit(models.logits, static_argnums=0)


def test_every_position_on_both_sides_of_every_edge(policy):
    graph, params = policy
    rng = make_rng(2)
    widths, spreads = set(), []
    for length in LENGTHS:
        encoded = [
            rng.integers(0, 31, n) for n in (length, max(1, length - 3))
        ]  # the second row has padding
        width = prompts.count_slots(encoded, multiple=MULTIPLE, max_slots=LONGEST)
        made, new = prompts.pad_prompts(encoded, [0, 1], width), rng.integers(0, 31, (2, NEW))
        got = np.asarray(cached_logits(graph, params, made, new))
        for row, ids in enumerate(encoded):
            whole = np.zeros((1, LONGEST + NEW), np.int64)
            whole[0, : len(ids) + NEW] = [*ids, *new[row]]
            expected = np.asarray(full_logits(graph, params, whole))[0, : len(ids) + NEW]
            np.testing.assert_allclose(got[row, width - len(ids) :], expected, atol=1e-4)
            spreads.append(expected.std())
        widths.add(width)
    assert widths == {8, 16, 20} and min(spreads) > 0.3


def test_a_window_hides_what_lies_further_back():
    """With one layer and a window of 5, a token does not depend on what is 5 or more before it."""
    config = dataclasses.replace(PLAIN, layers=1, window=5)
    graph, params = make_model(config)
    tokens = np.arange(12)[None] % 31
    changed = tokens.copy()
    changed[0, 3] = 30
    differ = (
        np.abs(full_logits(graph, params, tokens) - full_logits(graph, params, changed))[0].max(
            axis=-1
        )
        > 1e-6
    )
    assert differ.tolist() == [3 <= position < 8 for position in range(12)]
