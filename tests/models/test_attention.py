"""Attention in blocks of queries is attention with the whole matrix of scores.

Shapes: B sequences, T queries, S keys, H query heads, K key-value heads.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from papo_jax.learner.batches import Trajectories, UpdateBatch
from papo_jax.learner.gradients import LossFunction, compute_gradients
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.methods import phase, presets
from papo_jax.models import attention
from papo_jax.models.attention import BLOCK, TokenPlaces
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import make_abstract_model
from tests.support.learning import compiled
from tests.support.seeds import make_rng

HEADS, KV_HEADS, HEAD_DIM = 4, 2, 6


def draw(time, *, keys=None, dtype=jnp.float32, batch=2):
    """Query, key and value of one sequence a row."""
    rng = make_rng(time)
    shapes = ((time, HEADS), (KV_HEADS, keys or time), (KV_HEADS, keys or time))
    return [jnp.asarray(rng.normal(size=(batch, *shape, HEAD_DIM)), dtype) for shape in shapes]


def place(valid):
    valid = np.asarray(valid)
    positions = np.maximum(np.cumsum(valid, axis=1) - 1, 0)
    return TokenPlaces(jnp.asarray(valid, jnp.int32), jnp.asarray(positions, jnp.int32))


def attend_in_float64(query, key, value, visible):
    """The definition, from the whole matrix, in NumPy."""
    query, key, value = (np.asarray(array, np.float64) for array in (query, key, value))
    group = query.shape[2] // key.shape[1]
    key, value = np.repeat(key, group, axis=1), np.repeat(value, group, axis=1)
    scores = np.einsum("bthd,bhsd->bhts", query, key) / np.sqrt(query.shape[-1])
    scores = np.where(np.asarray(visible)[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True, where=scores > -np.inf, initial=0))
    weights /= np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300)
    return np.einsum("bhts,bhsd->bthd", weights, value)


def make_valid(time, padding):
    valid = np.ones((2, time), bool)
    if padding == "left":
        valid[1, : time // 3] = False
    if padding == "right":
        valid[1, -time // 3 :] = False
    if padding == "holes":
        valid[1, ::5] = False
    return valid


@pytest.mark.parametrize("padding", ["none", "left", "right", "holes"])
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("time", [BLOCK, BLOCK + 1, 4 * BLOCK, 9 * BLOCK + 5])
def test_is_the_definition(time, window, padding):
    valid = make_valid(time, padding)
    places, (query, key, value) = place(valid), draw(time)
    reach = None if window is None else jnp.int32(window)
    found = compiled(attention.attend, static_argnames="slots_in_order")(
        query, key, value, query_places=places, key_places=places, window=reach, slots_in_order=True
    )
    steps = np.asarray(places.positions)
    distance = steps[:, :, None] - steps[:, None]
    visible = valid[:, None] & (distance >= 0) & (distance < (window or time))
    exact = attend_in_float64(query, key, value, visible)
    np.testing.assert_allclose(found[valid], exact[valid], atol=1e-5)
    assert np.isfinite(found).all()


def test_several_sequences_in_a_row_do_not_see_each_other():
    """Two sequences side by side, one across a block's edge, are as each by itself."""
    lengths = (BLOCK + 9, 2 * BLOCK + 3)
    total = sum(lengths)
    query, key, value = draw(total, batch=1)
    segments = np.repeat([1, 2], lengths)[None]
    positions = np.concatenate([np.arange(length) for length in lengths])[None]
    places = TokenPlaces(jnp.asarray(segments, jnp.int32), jnp.asarray(positions, jnp.int32))

    def attend(query, key, value, places):
        return attention.attend(
            query, key, value, query_places=places, key_places=places, slots_in_order=True
        )

    together = attend(query, key, value, places)
    for start, end in ((0, lengths[0]), (lengths[0], total)):
        alone = attend(
            query[:, start:end],
            *(array[:, :, start:end] for array in (key, value)),
            place(np.ones((1, end - start), bool)),
        )
        np.testing.assert_allclose(together[:, start:end], alone, atol=1e-6)


def test_queries_that_are_not_the_keys():
    """Later tokens of sequences whose first tokens are in a cache with unwritten slots."""
    keys, late = 3 * BLOCK, BLOCK + 3
    query, key, value = draw(late, keys=keys)
    written = np.arange(keys)[None] < np.array([[keys - 9], [keys - 20]])
    key_places, query_places = place(written), place(np.ones((2, late), bool))
    first = written.sum(axis=1)[:, None] - late
    query_places = query_places._replace(
        positions=query_places.positions + jnp.asarray(first, jnp.int32)
    )
    found = attention.attend(query, key, value, query_places=query_places, key_places=key_places)
    steps = np.arange(keys)[None, None]
    visible = written[:, None] & (steps <= np.asarray(query_places.positions)[:, :, None])
    np.testing.assert_allclose(found, attend_in_float64(query, key, value, visible), atol=1e-5)


@pytest.mark.parametrize("dtype, bound", [(jnp.float32, 1e-5), (jnp.bfloat16, 3e-2)])
def test_gradients_are_those_of_one_block(dtype, bound, monkeypatch):
    time = 4 * BLOCK
    arrays, places = draw(time, dtype=dtype), place(make_valid(time, "left"))
    cotangent = jnp.where(places.segments[..., None, None] > 0, draw(time)[0], 0.0)

    def gradients():
        def total(*arrays):
            mixed = attention.attend(
                *arrays, query_places=places, key_places=places, slots_in_order=True
            )
            return (mixed * cotangent).sum()

        return compiled(jax.grad(total, argnums=(0, 1, 2)))(*arrays)

    in_blocks = gradients()
    monkeypatch.setattr(attention, "BLOCK", time)
    for found, whole in zip(in_blocks, gradients(), strict=True):
        scale = np.abs(np.asarray(whole, np.float32)).max()
        difference = np.asarray(found, np.float32) - np.asarray(whole, np.float32)
        assert np.abs(difference).max() < bound * scale


def list_sizes(jaxpr):
    """The sizes of all arrays that a program names, those of its inner programs too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from list_sizes(inner)


def test_no_program_of_a_long_update_holds_the_matrix_of_scores():
    """Loss and gradient of rows of 4,096 tokens."""
    config = ModelConfig(
        architecture="llama",
        vocabulary_size=32,
        width=16,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=4,
        mlp_width=16,
        max_positions=8192,
    )
    graph, shapes = make_abstract_model(config)
    rows, prompt, time = 2, 96, 4000
    slots = jax.ShapeDtypeStruct((rows, time), jnp.int32)
    flags = jax.ShapeDtypeStruct((rows, time), bool)
    values = jax.ShapeDtypeStruct((rows, time), jnp.float32)
    batch = UpdateBatch(
        trajectories=Trajectories(
            prompt_tokens=jax.ShapeDtypeStruct((rows, prompt), jnp.int32),
            prompt_valid=jax.ShapeDtypeStruct((rows, prompt), bool),
            tokens=slots,
            valid=flags,
            action=flags,
        ),
        old_logprob=values,
        reference_logprob=values,
        weighted_advantages=values,
        loss_mask=flags,
        polarity=values,
        sequences=jax.ShapeDtypeStruct((rows,), jnp.int32),
        accuracy=jax.ShapeDtypeStruct((rows,), jnp.float32),
    )
    loss = LossFunction(presets.get("papo"), time, phase.init())
    program = jax.make_jaxpr(
        lambda params, batch: compute_gradients(
            params, batch, jax.random.key(0), PolicyScorer(graph), loss=loss
        )
    )(shapes, batch)
    largest = max(list_sizes(program.jaxpr))
    total = prompt + time
    assert rows * total * config.width <= largest < config.heads * total * total / 8
