"""The decoder: by hand, against a plain NumPy decoder in float64, and its invariances."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from papo_jax import models
from papo_jax.models import kv_cache, rope
from papo_jax.models.layers import AttentionContext, RMSNorm
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import make_abstract_model
from papo_jax.models.transformer import place_tokens
from tests.support.seeds import make_rng

SHAPE = dict(
    vocabulary_size=23,
    width=16,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=6,
    mlp_width=24,
    norm_epsilon=1e-5,
)
CONFIGS = {
    "llama": ModelConfig("llama", **SHAPE, rope_theta=100.0, tied=True),
    "qwen2": ModelConfig("qwen2", **SHAPE, qkv_bias=True),
    "qwen3": ModelConfig(
        "qwen3", **SHAPE, tied=True, qk_norm=True, qkv_bias=True, output_bias=True
    ),
}
LLAMA = CONFIGS["llama"]
ROWS, TIME = 3, 9
TOKENS = make_rng(0).integers(0, 23, (ROWS, TIME)).astype(np.int32)

logits = jax.jit(models.logits, static_argnums=0)


@functools.cache
def make_model(config):
    """Returns graph and parameters, norms and biases random too.

    Weights are large enough for attention to be far from uniform.
    """
    graph, shapes = make_abstract_model(config)
    rng = make_rng(1)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape), jnp.float32), shapes
    )
    return graph, params


@functools.cache
def compile_append(graph):
    return jax.jit(lambda params, *arguments: nnx.merge(graph, params).append_to_cache(*arguments))


# Known answers.


def test_norm_by_hand():
    # Mean square of (3, 4) is 12.5. Epsilon 12.5 makes the divisor 5, so (0.6, 0.8), times the
    # scale (2, 0.5).
    norm = RMSNorm((), 2, 12.5)
    norm.scale[...] = jnp.array([2.0, 0.5])
    np.testing.assert_allclose(norm(jnp.array([[[3.0, 4.0]]])), [[[1.2, 0.4]]], rtol=1e-6)


def test_norm_of_bfloat16_is_computed_in_float32():
    # A bfloat16 sum of 4096 squares would stop growing.
    x = jnp.full((1, 1, 4096), 1.0 + 2**-7, jnp.bfloat16)
    out = RMSNorm((), 4096, 0.0)(x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(out), 1.0, rtol=2**-8)


def test_rotation_by_hand():
    # Base 100 and head_dim 4: the pairs (x0, x2) and (x1, x3) turn by p and p / 10. At p = 2:
    # (cos 2, 2 cos 0.2, sin 2, 2 sin 0.2).
    angles = 2.0 * rope.rotary_frequencies(4, 100.0).reshape(1, 1, 2)
    out = rope.rotate_heads(
        jnp.array([1.0, 2.0, 0.0, 0.0]).reshape(1, 1, 1, 4), jnp.cos(angles), jnp.sin(angles)
    )
    np.testing.assert_allclose(out.reshape(4), [-0.41615, 1.96013, 0.90930, 0.39734], atol=1e-5)


def test_scores_depend_on_the_distance_alone():
    query, key = make_rng(2).normal(size=(2, 1, 1, 1, 6)).astype(np.float32)

    def score(query_position, key_position):
        def at(x, position):
            angles = position * rope.rotary_frequencies(6, 100.0).reshape(1, 1, 3)
            return rope.rotate_heads(x, jnp.cos(angles), jnp.sin(angles))

        return float((at(query, query_position) * at(key, key_position)).sum())

    assert score(7, 3) == pytest.approx(score(104, 100), abs=1e-4)
    assert abs(score(7, 3) - score(8, 3)) > 1e-2


def test_positions_count_real_tokens():
    valid = jnp.array([[False, False, True, True], [True, False, True, False], [False] * 4])
    assert place_tokens(valid).positions.tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_a_plain_decoder(name):
    graph, params = make_model(CONFIGS[name])
    expected = [
        run_plain_decoder(CONFIGS[name], jax.tree.map(np.float64, params), row) for row in TOKENS
    ]
    np.testing.assert_allclose(logits(graph, params, TOKENS), expected, rtol=1e-4, atol=1e-4)


def run_plain_decoder(config, params, tokens):
    """One sequence, one head at a time, in NumPy: [T] -> [T, V]."""
    size = config.head_dim

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_epsilon) * scale

    def turn(x):
        turned = np.empty_like(x)
        for p, i in np.ndindex(len(x), size // 2):
            angle = p * config.rope_theta ** (-2 * i / size)
            a, b = x[p, i], x[p, i + size // 2]
            turned[p, i] = a * np.cos(angle) - b * np.sin(angle)
            turned[p, i + size // 2] = a * np.sin(angle) + b * np.cos(angle)
        return turned

    def head_of(x, attention, name, head):
        projected = (
            x @ attention[name][:, head] + attention.get(f"{name}_bias", np.zeros((9, size)))[head]
        )
        if name != "value" and config.qk_norm:
            projected = norm(projected, attention[f"{name}_norm"]["scale"])
        return projected if name == "value" else turn(projected)

    x = params["embedding"][tokens]
    for layer in range(config.layers):
        block = jax.tree.map(lambda leaf: leaf[layer], params["blocks"])  # noqa: B023
        attention, normed = block["attention"], norm(x, block["attention_norm"]["scale"])
        for head in range(config.heads):
            shared = head // (config.heads // config.kv_heads)
            query = head_of(normed, attention, "query", head)
            key, value = (head_of(normed, attention, part, shared) for part in ("key", "value"))
            scores = np.where(np.tri(len(x), dtype=bool), query @ key.T / np.sqrt(size), -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            x = x + weights / weights.sum(-1, keepdims=True) @ value @ attention["output"][head]
        x = x + attention.get("output_bias", 0.0)
        normed, mlp = norm(x, block["mlp_norm"]["scale"]), block["mlp"]
        gate = normed @ mlp["gate"]
        x = x + gate / (1 + np.exp(-gate)) * (normed @ mlp["up"]) @ mlp["down"]
    return norm(x, params["final_norm"]["scale"]) @ params.get("unembedding", params["embedding"]).T


# Invariances.


def test_a_later_token_changes_nothing_earlier():
    graph, params = make_model(LLAMA)
    before = np.asarray(logits(graph, params, TOKENS))
    for changed in range(TIME):
        tokens = TOKENS.copy()
        tokens[:, changed] = (tokens[:, changed] + 1) % 23
        after = np.asarray(logits(graph, params, tokens))
        np.testing.assert_array_equal(after[:, :changed], before[:, :changed])
        assert (np.abs(after[:, changed:] - before[:, changed:]).max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.parametrize(
    "places",
    [range(4, 13), range(9), (0, 1, 4, 5, 6, 8, 9, 11, 12)],
    ids=["left", "right", "middle"],
)
@pytest.mark.parametrize("garbage", [0, 22])
def test_padding_changes_nothing(places, garbage):
    graph, params = make_model(CONFIGS["qwen3"])
    padded = np.full((ROWS, 13), garbage, np.int32)
    valid = np.zeros((ROWS, 13), bool)
    padded[:, places], valid[:, places] = TOKENS, True
    out = logits(graph, params, padded, valid)
    np.testing.assert_allclose(out[:, np.array(places)], logits(graph, params, TOKENS), atol=1e-5)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_cached_decoding_is_the_full_forward(name):
    """A prompt of 4 slots padded on the left, then one token at a time."""
    config = CONFIGS[name]
    graph, params = make_model(config)
    valid = np.ones((ROWS, TIME), bool)
    valid[1, :2], valid[2, :3] = False, False
    expected = np.asarray(
        jax.jit(lambda p: nnx.merge(graph, p).compute_hidden_states(TOKENS, place_tokens(valid)))(
            params
        )
    )
    cache = kv_cache.add_slots(kv_cache.init_cache(config, ROWS, 4), TIME - 4)
    step = compile_append(graph)
    for start, stop in ((0, 4), *((t, t + 1) for t in range(4, TIME))):
        hidden, cache = step(params, TOKENS[:, start:stop], valid[:, start:stop], cache)
        real = valid[:, start:stop]
        np.testing.assert_allclose(
            np.asarray(hidden)[real], expected[:, start:stop][real], atol=1e-4
        )
    assert cache.length == TIME
    np.testing.assert_array_equal(cache.valid, valid)


def test_repeated_cache_continues_every_copy():
    graph, params = make_model(LLAMA)
    step = compile_append(graph)

    def ones(rows, time):
        return np.ones((rows, time), bool)

    _, cache = step(params, TOKENS[:, :4], ones(ROWS, 4), kv_cache.init_cache(LLAMA, ROWS, TIME))
    copies, _ = step(
        params,
        np.repeat(TOKENS[:, 4:5], 2, axis=0),
        ones(2 * ROWS, 1),
        kv_cache.repeat_rows(cache, 2),
    )
    single, _ = step(params, TOKENS[:, 4:5], ones(ROWS, 1), cache)
    np.testing.assert_allclose(copies, np.repeat(single, 2, axis=0), atol=1e-6)


def test_grouped_heads_are_repeated_heads():
    graph, params = make_model(LLAMA)
    layer = jax.tree.map(lambda leaf: leaf[0], params["blocks"])
    layer = nnx.merge(graph, {**params, "blocks": layer}).blocks.attention
    rng = make_rng(3)
    query, keys, values = (
        jnp.asarray(rng.normal(size=(2, *shape, 6)), jnp.float32)
        for shape in ((5, 4), (2, 5), (2, 5))
    )
    places = place_tokens(jnp.ones((2, 5), bool))
    context = AttentionContext(
        cosine=jnp.ones(()), sine=jnp.zeros(()), queries=places, keys=places, window=None
    )
    repeated = (jnp.repeat(array, 2, axis=1) for array in (keys, values))
    attend = jax.jit(layer.attend)
    np.testing.assert_allclose(
        attend(query, keys, values, context), attend(query, *repeated, context), atol=1e-5
    )


# How it is computed.


def test_the_program_does_not_grow_with_depth():
    def length(layers):
        graph, shapes = make_abstract_model(dataclasses.replace(LLAMA, layers=layers))
        jaxpr = jax.make_jaxpr(functools.partial(models.logits, graph))(shapes, TOKENS)
        return str(jaxpr).count("\n")

    assert length(2) == length(8)


def test_recomputing_blocks_changes_no_gradient_and_padding_makes_none_infinite():
    """One row is padding alone: its softmax has nothing to attend to."""
    valid = np.ones((ROWS, TIME), bool)
    valid[1] = False

    def gradient(remat):
        graph, _ = make_abstract_model(dataclasses.replace(LLAMA, layers=1, remat=remat))

        def loss(p):
            return (models.logits(graph, p, TOKENS, valid) * valid[..., None]).mean()

        return jax.jit(jax.grad(loss))(make_model(dataclasses.replace(LLAMA, layers=1))[1])

    stored = gradient("none")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stored))
    for recomputed in (gradient("full"), gradient("dots")):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), recomputed, stored
        )


def test_each_name_of_remat_stores_less_than_the_one_before():
    """Residuals of a backward pass: all, the products with weights, each block's input alone."""

    def stored(remat):
        graph, shapes = make_abstract_model(dataclasses.replace(LLAMA, remat=remat))
        residuals = jax.eval_shape(
            lambda p: jax.vjp(lambda p: models.logits(graph, p, TOKENS), p)[1], shapes
        )
        return sum(leaf.size for leaf in jax.tree.leaves(residuals))

    none, dots, full = map(stored, ("none", "dots", "full"))
    assert none > dots > full


def test_bfloat16_is_close_to_float32():
    graph, params = make_model(LLAMA)
    half, _ = make_abstract_model(dataclasses.replace(LLAMA, dtype="bfloat16"))
    exact, rounded = logits(graph, params, TOKENS), logits(half, params, TOKENS)
    assert rounded.dtype == exact.dtype == jnp.float32
    # 8 bits of precision over two layers: a few parts in 2^8 of the spread of the logits.
    assert 0 < np.abs(exact - rounded).max() < 0.05 * np.std(exact) * 4


def test_fresh_parameters():
    # This generator compiles far faster than the default one.
    _, params = models.initialize(
        dataclasses.replace(LLAMA, layers=1), jax.random.key(0, impl="rbg")
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
    np.testing.assert_array_equal(params["final_norm"]["scale"], 1.0)
    for weight in (params["embedding"], *params["blocks"]["mlp"].values()):
        np.testing.assert_allclose(np.std(weight), 0.02, rtol=0.2)
