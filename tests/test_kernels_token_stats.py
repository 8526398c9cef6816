"""Token statistics: every implementation against a float64 oracle, values and gradients, and known answers.

Shapes: T rows (time), V vocabulary, D width.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import linear_token_stats, token_stats
from kernels.token_stats import forward, reference

T, V = 7, 24


def _through_an_identity(linear):
    """The linear form as a function of logits: hidden = logits, unembedding = 1."""
    return lambda logits, tokens, *, temperature: linear(
        logits, jnp.eye(logits.shape[-1], dtype=logits.dtype), tokens, temperature=temperature
    )


IMPLEMENTATIONS = {
    "reference": token_stats,
    "linear": _through_an_identity(functools.partial(linear_token_stats, implementation="reference")),
    "forward": _through_an_identity(functools.partial(forward.linear_token_stats, chunk_entries=3 * V)),  # 3 + 3 + 1
}


def _one_hot(logits, outside):
    return np.where(np.eye(T, V) == 1, 0.0, outside)


ROWS = {
    "random": lambda logits: logits,
    "peaked": lambda logits: 30 * logits,
    "shifted": lambda logits: logits + 1e4,
    "uniform": lambda logits: np.full_like(logits, 3.0),
    "nearly_one_hot": functools.partial(_one_hot, outside=-60.0),
    "half_outside": lambda logits: np.where(np.arange(V) % 2 == 0, -np.inf, logits),
    "one_hot": functools.partial(_one_hot, outside=-np.inf),
}
FINITE = list(ROWS)[:5]
# A matrix product cannot carry -inf (0 * -inf), so those rows are for the logits form alone.
GRID = [(name, rows) for name in IMPLEMENTATIONS for rows in ROWS if name == "reference" or rows in FINITE]


def example(rows, dtype="float32"):
    """[T, V] logits of a kind, and [T] tokens in the support: odd columns, or a one-hot row's own."""
    draw = np.random.default_rng(0)
    logits = jnp.asarray(ROWS[rows](draw.normal(size=(T, V))), dtype)
    tokens = np.arange(T) if "one_hot" in rows else 2 * draw.integers(V // 2, size=T) + 1
    return logits, jnp.asarray(tokens)


def oracle(logits, tokens, temperature):
    """The definitions in float64: (four [T] statistics, three [T, V] gradients)."""
    z, tokens = np.asarray(logits, np.float64), np.asarray(tokens)
    x = (z - z.max(axis=1, keepdims=True)) / temperature
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    log_p = np.where(p > 0, x - np.log(np.exp(x).sum(axis=1, keepdims=True)), 0.0)
    entropy = -(p * log_p).sum(axis=1)
    contribution = p * (entropy[:, None] + log_p)  # S_v
    picked = np.arange(len(tokens)), tokens
    unit = (p * contribution).sum(axis=1) - contribution[picked]
    logsumexp = z.max(axis=1) / temperature + np.log(np.exp(x).sum(axis=1))
    one_hot = np.eye(z.shape[1])[tokens]
    gradients = (one_hot - p) / temperature, p / temperature, -contribution / temperature
    return (log_p[picked], logsumexp, entropy, unit), gradients


@functools.partial(jax.jit, static_argnums=0)
def values_and_gradient(name, logits, tokens, temperature, cotangents):
    """The statistics, and the gradient of their product with `cotangents` [4, T]."""
    stats, pull = jax.vjp(lambda z: IMPLEMENTATIONS[name](z, tokens, temperature=temperature), logits)
    return stats, pull(reference.TokenStats(*cotangents))[0]


@functools.partial(jax.jit, static_argnums=0)
def evaluate(name, logits, tokens):
    return IMPLEMENTATIONS[name](logits, tokens, temperature=1.0)


class TestEveryImplementation:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    @pytest.mark.parametrize("temperature", [0.5, 0.7, 1.0, 2.0])
    @pytest.mark.parametrize("name, rows", GRID)
    def test_values_and_gradients(self, name, rows, temperature, dtype):
        logits, tokens = example(rows, dtype)
        weights = np.random.default_rng(1).normal(size=(4, T)).astype(np.float32)  # the last must have no effect
        stats, gradient = values_and_gradient(name, logits, tokens, temperature, weights)
        values, gradients = oracle(logits, tokens, temperature)
        for field, got, want in zip(stats._fields, stats, values, strict=True):
            assert got.dtype == jnp.float32
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=2e-6, err_msg=field)
        want = sum(weight[:, None] * each for weight, each in zip(weights, gradients, strict=False))
        # bfloat16 gradients come back in bfloat16: 8 bits of mantissa.
        tolerance = 2e-6 if dtype == "float32" else 2.0**-8
        assert gradient.dtype == logits.dtype
        error = np.abs(np.asarray(gradient, np.float64) - want) / np.maximum(1.0, np.abs(want))
        assert error.max() <= tolerance

    @pytest.mark.parametrize("name, rows", GRID)
    def test_bounds_hold_exactly(self, name, rows):
        logits, tokens = example(rows)
        stats, _ = values_and_gradient(name, logits, tokens, 0.7, np.zeros((4, T), np.float32))
        logprob, entropy = np.asarray(stats.logprob), np.asarray(stats.entropy)
        assert (logprob <= 0).all() and (entropy >= 0).all() and (entropy <= np.log(V) + 1e-6).all()

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_unit_polarity_has_no_gradient(self, name):
        logits, tokens = example("random")
        only = np.zeros((4, T), np.float32)
        only[3] = 1.0
        assert not np.any(values_and_gradient(name, logits, tokens, 0.7, only)[1])

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_two_tokens_closed_form(self, name):
        p = np.array([0.001, 0.2, 0.5, 0.7, 0.99, 0.9999])
        logits = np.log(np.stack([p, 1 - p], axis=1)).astype(np.float32)
        unit = evaluate(name, logits, np.zeros(6, int)).unit_polarity
        np.testing.assert_allclose(unit, -2 * p * (1 - p) ** 2 * np.log(p / (1 - p)), atol=2e-7)

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_a_frequent_token_and_a_hundred_rare_ones(self, name):
        # H = -0.9 ln 0.9 - 0.1 ln 0.001 = 0.7856; S_top = 0.9 (H + ln 0.9) = 0.6122, S_tail = 0.001 (H + ln 0.001) = -0.0061
        # C = 0.9 S_top + 0.1 S_tail = 0.5504; T = C - S = -0.062 and +0.557
        logits = np.log(np.array([[0.9] + [0.001] * 100] * 2, np.float32))
        stats = evaluate(name, logits, np.array([0, 50]))
        np.testing.assert_allclose(stats.unit_polarity, [-0.062, 0.557], atol=5e-4)
        np.testing.assert_allclose(stats.entropy, 0.7856, atol=1e-4)


def test_a_token_outside_the_support():
    # p = (1/2, 1/2, 0): H = log 2, S = 0 everywhere, so T = C - 0 = 0; the gradients stay finite
    logits, token = np.array([[1.0, 1.0, -np.inf]], np.float32), np.array([2])
    stats, gradient = values_and_gradient("reference", logits, token, 1.0, np.ones((4, 1), np.float32))
    assert stats.logprob[0] == -np.inf and stats.unit_polarity[0] == 0
    np.testing.assert_allclose(stats.entropy, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros((1, 3)), atol=1e-7)  # of logprob -1/2, of logsumexp +1/2, of H 0


@pytest.mark.parametrize("implementation", [None, "reference", "forward"])
def test_the_linear_form_by_name(implementation):
    # logits 1 * (0, log 2, log 5): p = (1, 2, 5) / 8
    head = np.log(np.array([[1.0], [2.0], [5.0]], np.float32))
    call = jax.jit(functools.partial(linear_token_stats, implementation=implementation))
    stats = call(np.ones((3, 1), np.float32), head, np.arange(3))
    np.testing.assert_allclose(np.exp(stats.logprob), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)


def test_unknown_implementations_are_refused():
    with pytest.raises(ValueError, match="'fast'.*reference"):
        token_stats(jnp.zeros((1, 2)), jnp.array([0]), implementation="fast")
    with pytest.raises(ValueError, match="'fast'.*forward"):
        linear_token_stats(jnp.zeros((1, 2)), jnp.zeros((3, 2)), jnp.array([0]), implementation="fast")
    with pytest.raises(AssertionError):
        token_stats(jnp.zeros((2, 3)), jnp.array([0.0, 1.0]))


class TestForward:
    """Chunks along time, the last one ragged: [2, 5] tokens two steps at a time, in float64."""

    @pytest.fixture(autouse=True)
    def problem(self):
        with jax.enable_x64(True):
            draw = np.random.default_rng(2)
            self.hidden, self.head = draw.normal(size=(2, 5, 3)), draw.normal(size=(11, 3))
            self.tangents = draw.normal(size=(2, 5, 3)), draw.normal(size=(11, 3))
            self.tokens = draw.integers(11, size=(2, 5))
            yield

    def whole(self, hidden, head):
        return reference.linear_token_stats(hidden, head, self.tokens, temperature=0.7)

    def chunked(self, hidden, head):
        return forward.linear_token_stats(hidden, head, self.tokens, temperature=0.7, chunk_entries=2 * 2 * 11)

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
        tangents = jax.jit(lambda *at: jax.jvp(self.chunked, at, self.tangents)[1])(self.hidden, self.head)
        up, down = (
            function(self.hidden + sign * step * self.tangents[0], self.head + sign * step * self.tangents[1])
            for sign in (1, -1)
        )
        for field in ("logprob", "logsumexp", "entropy"):
            difference = (np.asarray(getattr(up, field)) - np.asarray(getattr(down, field))) / (2 * step)
            np.testing.assert_allclose(getattr(tangents, field), difference, atol=1e-8)
        assert not np.any(tangents.unit_polarity)

    def test_vmap_of_jvp_equals_a_loop(self):
        heads = np.stack([self.head, 2 * self.head, -self.head])
        along = lambda head: jax.jvp(lambda h: self.chunked(h, head).entropy, (self.hidden,), self.tangents[:1])[1]  # noqa: E731
        one = jax.jit(along)
        np.testing.assert_allclose(jax.jit(jax.vmap(along))(heads), [one(head) for head in heads], atol=1e-13)


def test_chunks_never_hold_all_logits():
    time, width, vocabulary = 256, 8, 4096
    all_logits = 4 * time * vocabulary  # bytes
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((time, width), (vocabulary, width))]
    tokens = jax.ShapeDtypeStruct((time,), jnp.int32)

    def temporary(linear):
        loss = lambda hidden, head, tokens: sum(map(jnp.sum, linear(hidden, head, tokens)))  # noqa: E731
        compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes, tokens).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(functools.partial(forward.linear_token_stats, chunk_entries=4 * vocabulary)) < all_logits / 4
    assert temporary(reference.linear_token_stats) >= all_logits
