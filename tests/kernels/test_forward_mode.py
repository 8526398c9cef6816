"""The implementation with forward mode: equal to the reference in both modes, and never all logits
at once.

Shapes: T time, V vocabulary, D width.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import forward_mode, reference
from tests.support.seeds import make_rng


class TestForward:
    """Chunks along time, the last one ragged: [2, 5] tokens two steps at a time, in float64."""

    @pytest.fixture(autouse=True)
    def problem(self):
        with jax.enable_x64(True):
            draw = make_rng(2)
            self.hidden, self.head = draw.normal(size=(2, 5, 3)), draw.normal(size=(11, 3))
            self.tangents = draw.normal(size=(2, 5, 3)), draw.normal(size=(11, 3))
            self.tokens = draw.integers(11, size=(2, 5))
            yield

    def whole(self, hidden, head):
        return reference.linear_token_stats(hidden, head, self.tokens, temperature=0.7)

    def chunked(self, hidden, head):
        return forward_mode.linear_token_stats(
            hidden, head, self.tokens, temperature=0.7, chunk_entries=2 * 2 * 11
        )

    def test_equals_the_reference_in_values_and_both_modes(self):
        @functools.partial(jax.jit, static_argnums=0)
        def everything(function, hidden, head, tangents):
            stats, tangents_out = jax.jvp(function, (hidden, head), tangents)
            return stats, tangents_out, jax.vjp(function, hidden, head)[1](stats)

        got, want = (
            jax.tree.leaves(everything(function, self.hidden, self.head, self.tangents))
            for function in (self.chunked, self.whole)
        )
        for one, other in zip(got, want, strict=True):
            assert one.dtype == jnp.float64
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)

    def test_jvp_equals_finite_differences(self):
        step, function = 1e-5, jax.jit(self.chunked)
        tangents = jax.jit(lambda *at: jax.jvp(self.chunked, at, self.tangents)[1])(
            self.hidden, self.head
        )
        up, down = (
            function(
                self.hidden + sign * step * self.tangents[0],
                self.head + sign * step * self.tangents[1],
            )
            for sign in (1, -1)
        )
        for field in ("logprob", "logsumexp", "entropy"):
            difference = (np.asarray(getattr(up, field)) - np.asarray(getattr(down, field))) / (
                2 * step
            )
            np.testing.assert_allclose(getattr(tangents, field), difference, atol=1e-8)
        assert not np.any(tangents.unit_polarity)

    def test_vmap_of_jvp_equals_a_loop(self):
        heads = np.stack([self.head, 2 * self.head, -self.head])

        def along(head):
            return jax.jvp(
                lambda h: self.chunked(h, head).entropy, (self.hidden,), self.tangents[:1]
            )[1]

        one = jax.jit(along)
        np.testing.assert_allclose(
            jax.jit(jax.vmap(along))(heads), [one(head) for head in heads], atol=1e-13
        )


@pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="cuBLAS's workspace outweighs logits as few as these"
)
def test_chunks_never_hold_all_logits():
    time, width, vocabulary = 256, 8, 4096
    all_logits = 4 * time * vocabulary  # bytes
    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((time, width), (vocabulary, width))
    ]
    tokens = jax.ShapeDtypeStruct((time,), jnp.int32)

    def temporary(linear):
        def loss(hidden, head, tokens):
            return sum(map(jnp.sum, linear(hidden, head, tokens)))

        compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes, tokens).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert (
        temporary(functools.partial(forward_mode.linear_token_stats, chunk_entries=4 * vocabulary))
        < all_logits / 4
    )
    assert temporary(reference.linear_token_stats) >= all_logits
