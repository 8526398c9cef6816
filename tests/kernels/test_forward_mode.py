"""Tests of the implementation with forward mode: both modes, and its memory.

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

    def reference_stats(self, hidden, head):
        return reference.linear_token_stats(hidden, head, self.tokens, temperature=0.7)

    def forward_mode_stats(self, hidden, head):
        return forward_mode.linear_token_stats(
            hidden, head, self.tokens, temperature=0.7, chunk_entries=2 * 2 * 11
        )

    def test_equals_the_reference_in_values_and_both_modes(self):
        @functools.partial(jax.jit, static_argnums=0)
        def stats_and_derivatives(function, hidden, head, tangents):
            stats, tangents_out = jax.jvp(function, (hidden, head), tangents)
            return stats, tangents_out, jax.vjp(function, hidden, head)[1](stats)

        got, want = (
            jax.tree.leaves(stats_and_derivatives(function, self.hidden, self.head, self.tangents))
            for function in (self.forward_mode_stats, self.reference_stats)
        )
        for one, other in zip(got, want, strict=True):
            assert one.dtype == jnp.float64
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)

    def test_jvp_equals_finite_differences(self):
        step, function = 1e-5, jax.jit(self.forward_mode_stats)

        @jax.jit
        def compute_tangents(*operands):
            return jax.jvp(self.forward_mode_stats, operands, self.tangents)[1]

        tangents = compute_tangents(self.hidden, self.head)
        along_hidden, along_head = (step * tangent for tangent in self.tangents)
        up = function(self.hidden + along_hidden, self.head + along_head)
        down = function(self.hidden - along_hidden, self.head - along_head)
        for field in ("logprob", "logsumexp", "entropy"):
            change = np.asarray(getattr(up, field)) - np.asarray(getattr(down, field))
            difference = change / (2 * step)
            np.testing.assert_allclose(getattr(tangents, field), difference, atol=1e-8)
        assert not np.any(tangents.unit_polarity)

    def test_vmap_of_jvp_equals_a_loop(self):
        heads = np.stack([self.head, 2 * self.head, -self.head])

        def entropy_tangent(head):
            def entropy(hidden):
                return self.forward_mode_stats(hidden, head).entropy

            return jax.jvp(entropy, (self.hidden,), self.tangents[:1])[1]

        jitted = jax.jit(entropy_tangent)
        batched = jax.jit(jax.vmap(entropy_tangent))(heads)
        np.testing.assert_allclose(batched, [jitted(head) for head in heads], atol=1e-13)


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

    def temporary_bytes(linear):
        def sum_stats(hidden, head, tokens):
            return sum(map(jnp.sum, linear(hidden, head, tokens)))

        compiled = jax.jit(jax.grad(sum_stats, argnums=(0, 1))).lower(*shapes, tokens).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    chunked = functools.partial(forward_mode.linear_token_stats, chunk_entries=4 * vocabulary)
    assert temporary_bytes(chunked) < all_logits / 4
    assert temporary_bytes(reference.linear_token_stats) >= all_logits
