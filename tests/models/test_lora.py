"""Adapters: nothing at the start, what hand arithmetic says later, and the same after merging."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax import models
from papo_jax.errors import InputError
from papo_jax.models import lora
from papo_jax.models.model_config import LORA_TARGETS, LoraConfig, ModelConfig
from papo_jax.models.policy import make_abstract_model
from tests.support.seeds import make_key, make_rng

CONFIG = ModelConfig(
    "qwen2",
    vocabulary_size=23,
    width=16,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=6,
    mlp_width=24,
    tied=True,
    qkv_bias=True,
)
TOKENS = make_rng(0).integers(0, 23, (3, 9)).astype(np.int32)
logits = jax.jit(models.logits, static_argnums=0)


def make_policy(config, graph, params):
    return models.Policy(
        config=config, graph=graph, params=params, tokenizer=None, stop_tokens=(0,)
    )


@pytest.fixture(scope="module")
def base():
    graph, shapes = make_abstract_model(CONFIG)
    rng = make_rng(2)  # large enough for every matrix to tell in the logits

    def draw(path, leaf):
        return jnp.array(
            (path[-1].key == "scale") + 0.16 * rng.normal(size=leaf.shape), jnp.float32
        )

    return make_policy(CONFIG, graph, jax.tree_util.tree_map_with_path(draw, shapes))


def perturb_adapters(policy):
    """The policy after some training: every adapter has values of its own."""
    trained, frozen = lora.split_params(policy.params, policy.config.lora)
    rng = make_rng(1)
    trained = jax.tree.map(
        lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32) * 0.2, trained
    )
    return dataclasses.replace(policy, params=lora.join_params(trained, frozen))


def test_fresh_adapters_change_nothing(base):
    adapted = lora.attach_adapters(base, LoraConfig(3, 6.0), make_key(1))
    np.testing.assert_array_equal(
        logits(adapted.graph, adapted.params, TOKENS), logits(base.graph, base.params, TOKENS)
    )
    trained, frozen = lora.split_params(adapted.params, adapted.config.lora)
    jax.tree.map(np.testing.assert_array_equal, frozen, base.params)
    assert len(jax.tree.leaves(trained)) == 2 * len(LORA_TARGETS)


@pytest.mark.parametrize(
    "targets",
    [LORA_TARGETS, *((name,) for name in LORA_TARGETS)],
    ids=lambda targets: "+".join(targets)[:12],
)
def test_merged_weights_compute_what_adapters_do(base, targets):
    adapted = perturb_adapters(lora.attach_adapters(base, LoraConfig(3, 6.0, targets), make_key(1)))
    merged = lora.merge_adapters(adapted)
    beside, inside, without = (logits(p.graph, p.params, TOKENS) for p in (adapted, merged, base))
    assert np.abs(beside - without).max() > 1e-2
    np.testing.assert_allclose(inside, beside, atol=2e-5)
    assert merged.config == base.config and jax.tree.structure(merged.params) == jax.tree.structure(
        base.params
    )


def test_what_training_adds_to_bfloat16_weights_is_not_rounded_away():
    """1 + 4 x 2^-12 is 1 in bfloat16, whose next number is 1 + 2^-7."""
    params = {
        "blocks": {
            "mlp": {
                "up": jnp.ones((1, 1, 1), jnp.bfloat16),
                "up_lora_in": jnp.full((1, 1, 1), 2.0**-6),
                "up_lora_out": jnp.full((1, 1, 1), 2.0**-6),
            }
        }
    }
    config = dataclasses.replace(CONFIG, lora=LoraConfig(1, 4.0, ("up",)))
    merged = lora.merge_adapters(make_policy(config, None, params)).params["blocks"]["mlp"]["up"]
    assert merged.dtype == jnp.float32 and float(merged[0, 0, 0]) == 1 + 4 * 2.0**-12


def test_merging_by_hand():
    # W + (alpha / rank) A B = 1 + (8 / 2) (1 x 3 + 2 x 5) = 53, in our [in, out] layout.
    params = {
        "blocks": {
            "mlp": {
                "up": jnp.ones((1, 1, 1)),
                "up_lora_in": jnp.array([[[1.0, 2.0]]]),
                "up_lora_out": jnp.array([[[3.0], [5.0]]]),
                "down": jnp.ones((1, 1, 1)),
            }
        }
    }
    config = dataclasses.replace(CONFIG, lora=LoraConfig(2, 8.0, ("up",)))
    merged = lora.merge_adapters(make_policy(config, None, params)).params["blocks"]["mlp"]
    assert {name: weight.tolist() for name, weight in merged.items()} == {
        "up": [[[53.0]]],
        "down": [[[1.0]]],
    }


def test_the_draw_depends_on_the_key_alone(base):
    config = LoraConfig(3, 6.0, ("gate", "up"))
    first, again, other = (
        lora.attach_adapters(base, config, make_key(number)).params["blocks"]["mlp"]
        for number in (1, 1, 2)
    )
    np.testing.assert_array_equal(first["up_lora_in"], again["up_lora_in"])
    assert np.abs(first["up_lora_in"] - other["up_lora_in"]).max() > 0.1
    assert np.abs(first["up_lora_in"] - first["gate_lora_in"]).max() > 0.1
    assert np.std(first["up_lora_in"]) == pytest.approx(16**-0.5, rel=0.3)  # variance 1 / width


def test_gradients_reach_the_adapters_alone(base):
    adapted = perturb_adapters(
        lora.attach_adapters(base, LoraConfig(3, 6.0, ("query", "down")), make_key(1))
    )
    trained, frozen = lora.split_params(adapted.params, adapted.config.lora)

    @jax.jit
    def loss(trained):
        return (logits(adapted.graph, lora.join_params(trained, frozen), TOKENS) ** 2).mean()

    gradient = jax.grad(loss)(trained)
    names = {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(gradient)}
    assert names == {"query_lora_in", "query_lora_out", "down_lora_in", "down_lora_out"}
    step = jax.tree.map(lambda leaf: 1e-2 * leaf, gradient)
    ahead = loss(jax.tree.map(lambda leaf, by: leaf + by, trained, step))
    behind = loss(jax.tree.map(lambda leaf, by: leaf - by, trained, step))
    slope = sum(
        float((g * s).sum())
        for g, s in zip(jax.tree.leaves(gradient), jax.tree.leaves(step), strict=True)
    )
    assert float(ahead - behind) / 2 == pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize(
    "rank, targets, said",
    [
        (0, LORA_TARGETS, "at least 1"),
        (2, ("q_prj",), "not q_prj"),
        (2, (), "not none"),
        (2, ("up", "up"), "each once"),
    ],
)
def test_what_cannot_be(rank, targets, said):
    with pytest.raises(InputError, match=said):
        LoraConfig(rank, 1.0, targets)


def test_names_of_hugging_face():
    assert lora.parse_lora_targets("all") == LORA_TARGETS
    assert lora.parse_lora_targets("q_proj+o_proj+gate_proj+down") == (
        "query",
        "output",
        "gate",
        "down",
    )
