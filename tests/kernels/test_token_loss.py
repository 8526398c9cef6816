"""Tests of the fused loss: against automatic differentiation of the reference.

Shapes: B sequences, T time, V vocabulary, D width.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import linear_token_loss, linear_token_stats, tile_sizes
from tests.support.seeds import make_rng

B, T, V, D = 3, 5, 300, 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Four chunks of four tokens, the last ragged; three tiles of columns, the last ragged."""
    monkeypatch.setattr(
        tile_sizes,
        "choose_sizes",
        lambda: tile_sizes.DEFAULT_SIZES._replace(columns=128, chunk_rows=4),
    )


def token_loss(stats, context):
    """A loss with a gradient in all three differentiable statistics, and not linear in any."""
    terms = jnp.exp(stats.logprob) + 0.3 * stats.entropy**2 + 0.01 * stats.logsumexp**2
    return (context * terms).sum()


def make_problem(dtype):
    draw = make_rng(0)
    hidden = jnp.asarray(draw.normal(size=(B, T, D)), dtype)
    head = jnp.asarray(draw.normal(size=(V, D)), dtype)
    tokens = jnp.asarray(draw.integers(290, size=(B, T)))
    mask = jnp.asarray(draw.random((B, T)) < 0.7)
    return hidden, head, tokens, mask, jnp.asarray(draw.normal(size=(B, T)), jnp.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient(dtype, masked):
    hidden, head, tokens, mask, context = make_problem(dtype)
    options = dict(temperature=0.7, mask=mask if masked else None, vocabulary_size=290)
    # Rows outside the mask add nothing, since chunks of them are skipped.
    context = jnp.where(mask, context, 0.0) if masked else context

    def reference_loss(hidden, head):
        stats = linear_token_stats(hidden, head, tokens, implementation="reference", **options)
        return token_loss(stats, context), stats

    def fused_loss(hidden, head):
        return linear_token_loss(token_loss, hidden, head, tokens, context, **options)

    got, want = (
        jax.jit(jax.value_and_grad(function, argnums=(0, 1), has_aux=True))(hidden, head)
        for function in (fused_loss, reference_loss)
    )
    tolerance = 2e-5 if dtype == "float32" else 2.0**-7
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(
            np.asarray(one, np.float32),
            np.asarray(other, np.float32),
            rtol=tolerance,
            atol=tolerance * np.abs(other).max(),
        )


def test_gradient_scales_with_the_cotangent_and_the_value_alone_agrees():
    hidden, head, tokens, mask, context = make_problem("float32")
    function = jax.jit(
        lambda hidden: linear_token_loss(token_loss, hidden, head, tokens, context, mask=mask)[0]
    )
    once = jax.grad(function)(hidden)
    thrice = jax.grad(lambda hidden: 3.0 * function(hidden))(hidden)
    np.testing.assert_allclose(thrice, 3.0 * once, rtol=1e-6)
    np.testing.assert_allclose(function(hidden), jax.value_and_grad(function)(hidden)[0], rtol=1e-6)


def test_statistics_and_context_get_no_gradient():
    hidden, head, tokens, mask, context = make_problem("float32")

    def sum_entropy(hidden):
        _, stats = linear_token_loss(token_loss, hidden, head, tokens, context, mask=mask)
        return stats.entropy.sum()

    def total_loss(context):
        return linear_token_loss(token_loss, hidden, head, tokens, context, mask=mask)[0]

    assert not np.any(jax.jit(jax.grad(sum_entropy))(hidden))
    assert not np.any(jax.jit(jax.grad(total_loss))(context))


def test_no_active_token_costs_nothing_and_is_zero():
    hidden, head, tokens, mask, context = make_problem("float32")

    def function(hidden):
        none = jnp.zeros_like(mask)
        return linear_token_loss(token_loss, hidden, head, tokens, context, mask=none)[0]

    value, gradient = jax.jit(jax.value_and_grad(function))(hidden.at[0].set(jnp.nan))
    assert value == 0 and not np.any(gradient)


def temporary_bytes(function, *shapes) -> int:
    return jax.jit(function).lower(*shapes).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("name", ["loss", "chunked"])
def test_memory_is_a_small_part_of_all_logits(name, monkeypatch):
    tokens, vocabulary, width = 512, 8192, 16
    all_logits = 4 * tokens * vocabulary
    monkeypatch.setattr(
        tile_sizes,
        "choose_sizes",
        lambda: tile_sizes.DEFAULT_SIZES._replace(rows=128, chunk_rows=32),
    )
    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((tokens, width), (vocabulary, width))
    ]
    ids = jax.ShapeDtypeStruct((tokens,), jnp.int32)

    def sum_stats(implementation, hidden, head, ids):
        stats = linear_token_stats(hidden, head, ids, implementation=implementation)
        return sum(map(jnp.sum, stats))

    def fused_loss(hidden, head, ids):
        return linear_token_loss(lambda stats, _: stats.entropy.sum(), hidden, head, ids, ())[0]

    function = fused_loss if name == "loss" else functools.partial(sum_stats, name)
    measured = temporary_bytes(jax.grad(function, argnums=(0, 1)), *shapes, ids)
    assert measured < all_logits / {"loss": 8, "chunked": 20}[name]
    naive = functools.partial(sum_stats, "reference")
    assert temporary_bytes(jax.grad(naive, argnums=(0, 1)), *shapes, ids) >= all_logits
