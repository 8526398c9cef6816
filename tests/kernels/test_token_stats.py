"""Tests of every implementation of the token statistics: a float64 oracle and known answers.

Shapes: T rows (time), V vocabulary, D width. Pallas kernels run compiled where this machine's
backend is theirs, in the interpreter elsewhere.
"""

import functools

import hypothesis
import hypothesis.strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import (
    api,
    chunked,
    forward_mode,
    linear_token_loss,
    linear_token_stats,
    reference,
    sums,
    tile_sizes,
    tiling,
    token_stats,
)
from kernels.token_stats.pallas_gpu import gpu_blocks
from kernels.token_stats.pallas_tpu import tpu_blocks
from kernels.token_stats.token_rows import TokenRows
from tests.support.seeds import make_rng

T, V = 7, 300  # two blocks of rows and three tiles, the last ragged, with the sizes below
PALLAS = ("pallas_tpu", "pallas_gpu")
INTERPRETED = set(PALLAS) - {api.KERNEL_OF_PLATFORM.get(jax.default_backend())}
# Three TF32 products keep 22 bits of an operand of 24. Beside the rounding of sums over a real
# width that is nothing; here, where the product is with the identity, it is the largest error.
LOGIT_ERROR = {"linear_pallas_gpu": 2.0**-21} if "pallas_gpu" not in INTERPRETED else {}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Blocks of which these small problems need several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tile_sizes,
            "choose_sizes",
            lambda: tile_sizes.DEFAULT_SIZES._replace(rows=4, columns=128),
        )
        patch.setattr(chunked, "_logits_tile_width", lambda logits: 128)
        patch.setattr(tpu_blocks, "CANDIDATE_SIZES", ((16, 128),))
        logits_block = gpu_blocks.BlockConfig(rows=1, columns=128, depth=0, warps=4, stages=1)
        patch.setattr(gpu_blocks, "LOGITS_BLOCK", logits_block)
        patch.setattr(gpu_blocks, "NUM_PROGRAMS", 2)  # splits of more than one tile
        patch.setattr(gpu_blocks, "NUM_LOGITS_PROGRAMS", 2 * T)
        patch.setattr(gpu_blocks, "GRADIENT_ROWS", 4)
        patch.setattr(gpu_blocks, "GRADIENT_COLUMNS", 128)
        yield


def _apply_to_logits(linear):
    """Makes the linear form a function of logits: hidden = logits, unembedding = identity."""

    def logits_form(logits, tokens, **options):
        return linear(logits, jnp.eye(logits.shape[-1], dtype=logits.dtype), tokens, **options)

    return logits_form


def _bind_implementation(function, name):
    return functools.partial(function, implementation=name, interpret=name in INTERPRETED)


NAMES = "reference", "chunked", *PALLAS
LOGITS = {name: _bind_implementation(token_stats, name) for name in NAMES}
LINEAR = {
    f"linear_{name}": _apply_to_logits(_bind_implementation(linear_token_stats, name))
    for name in NAMES
}
FORWARD = functools.partial(forward_mode.linear_token_stats, chunk_entries=3 * V)  # 3 + 3 + 1
LINEAR["forward"] = _apply_to_logits(FORWARD)
IMPLEMENTATIONS = LOGITS | LINEAR


def _one_hot_rows(logits, outside):
    return np.where(np.eye(T, V) == 1, 0.0, outside)


ROWS = {
    "random": lambda logits: logits,
    "peaked": lambda logits: 30 * logits,
    "shifted": lambda logits: logits + 1e4,
    "uniform": lambda logits: np.full_like(logits, 3.0),
    "nearly_one_hot": functools.partial(_one_hot_rows, outside=-60.0),
    "half_outside": lambda logits: np.where(np.arange(V) % 2 == 0, -np.inf, logits),
    "first_tile_outside": lambda logits: np.where(np.arange(V) < 200, -np.inf, logits),
    "one_hot": functools.partial(_one_hot_rows, outside=-np.inf),
}
FINITE = list(ROWS)[:5]
# A matrix product cannot carry -inf (0 * -inf), so those rows are for the logits form alone.
GRID = [
    (name, rows) for name in IMPLEMENTATIONS for rows in ROWS if name in LOGITS or rows in FINITE
]
# 0.7 is the temperature that binary numbers cannot hold; the others run in the slow set.
TEMPERATURES = [
    0.7,
    *(pytest.param(temperature, marks=pytest.mark.slow) for temperature in (0.5, 1.0, 2.0)),
]


def make_example(rows, dtype="float32"):
    """Makes [T, V] logits of a kind, and [T] tokens in the support.

    The tokens are odd columns from 200, or a one-hot row's own.
    """
    draw = make_rng(0)
    logits = jnp.asarray(ROWS[rows](draw.normal(size=(T, V))), dtype)
    tokens = np.arange(T) if "one_hot" in rows else 200 + 2 * draw.integers(50, size=T) + 1
    return logits, jnp.asarray(tokens)


def oracle(logits, tokens, temperature):
    """Computes the definitions in float64: (four [T] statistics, three [T, V] gradients)."""
    z, tokens = np.asarray(logits, np.float64), np.asarray(tokens)
    x = (z - z.max(axis=1, keepdims=True)) / temperature
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    log_p = np.where(p > 0, x - np.log(np.exp(x).sum(axis=1, keepdims=True)), 0.0)
    entropy = -(p * log_p).sum(axis=1)
    contribution = p * (entropy[:, None] + log_p)  # S_v
    target = np.arange(len(tokens)), tokens
    unit = (p * contribution).sum(axis=1) - contribution[target]
    logsumexp = z.max(axis=1) / temperature + np.log(np.exp(x).sum(axis=1))
    one_hot = np.arange(z.shape[1]) == tokens[:, None]
    gradients = (one_hot - p) / temperature, p / temperature, -contribution / temperature
    return (log_p[target], logsumexp, entropy, unit), gradients


@functools.partial(jax.jit, static_argnums=0)
def values_and_gradient(name, logits, tokens, temperature, cotangents, mask=None):
    """Computes the statistics, and the gradient of their product with `cotangents` [4, T]."""
    stats, vjp = jax.vjp(
        lambda z: IMPLEMENTATIONS[name](z, tokens, temperature=temperature, mask=mask), logits
    )
    return stats, vjp(reference.TokenStats(*cotangents))[0]


@functools.partial(jax.jit, static_argnums=(0,), static_argnames=("vocabulary_size",))
def compute_stats(name, logits, tokens, **options):
    return IMPLEMENTATIONS[name](logits, tokens, **options)


class TestEveryImplementation:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    @pytest.mark.parametrize("temperature", TEMPERATURES)
    @pytest.mark.parametrize("name, rows", GRID)
    def test_values_and_gradients(self, name, rows, temperature, dtype):
        logits, tokens = make_example(rows, dtype)
        weights = make_rng(1).normal(size=(4, T)).astype(np.float32)  # the last must have no effect
        stats, gradient = values_and_gradient(name, logits, tokens, temperature, weights)
        values, gradients = oracle(logits, tokens, temperature)

        # The statistics.
        finite = np.nan_to_num(np.asarray(logits, np.float64), neginf=0.0)
        slack = 2e-6 + LOGIT_ERROR.get(name, 0.0) * np.abs(finite).max() / temperature
        for field, got, want in zip(stats._fields, stats, values, strict=True):
            assert got.dtype == jnp.float32
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=slack, err_msg=field)

        # The gradient.
        want = sum(weight[:, None] * each for weight, each in zip(weights, gradients, strict=False))
        # bfloat16 gradients come back in bfloat16: 8 bits of mantissa.
        tolerance = slack if dtype == "float32" else 2.0**-8
        assert gradient.dtype == logits.dtype
        error = np.abs(np.asarray(gradient, np.float64) - want) / np.maximum(1.0, np.abs(want))
        assert error.max() <= tolerance

    @pytest.mark.parametrize("name, rows", GRID)
    def test_bounds_hold_exactly(self, name, rows):
        logits, tokens = make_example(rows)
        stats, _ = values_and_gradient(name, logits, tokens, 0.7, np.zeros((4, T), np.float32))
        logprob, entropy = np.asarray(stats.logprob), np.asarray(stats.entropy)
        assert (logprob <= 0).all() and (entropy >= 0).all() and (entropy <= np.log(V) + 1e-6).all()

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_unit_polarity_has_no_gradient(self, name):
        logits, tokens = make_example("random")
        only = np.zeros((4, T), np.float32)
        only[3] = 1.0
        assert not np.any(values_and_gradient(name, logits, tokens, 0.7, only)[1])

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_two_tokens_closed_form(self, name):
        p = np.array([0.001, 0.2, 0.5, 0.7, 0.99, 0.9999])
        logits = np.log(np.stack([p, 1 - p], axis=1)).astype(np.float32)
        unit = compute_stats(name, logits, np.zeros(6, int)).unit_polarity
        np.testing.assert_allclose(unit, -2 * p * (1 - p) ** 2 * np.log(p / (1 - p)), atol=2e-7)

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_a_frequent_token_and_a_hundred_rare_ones(self, name):
        # H = -0.9 ln 0.9 - 0.1 ln 0.001 = 0.7856
        # S_top = 0.9 (H + ln 0.9) = 0.6122, S_tail = 0.001 (H + ln 0.001) = -0.0061
        # C = 0.9 S_top + 0.1 S_tail = 0.5504; T = C - S = -0.0618 and +0.5565
        logits = np.log(np.array([[0.9] + [0.001] * 100] * 2, np.float32))
        stats = compute_stats(name, logits, np.array([0, 50]))
        np.testing.assert_allclose(stats.unit_polarity, [-0.0618, 0.5565], atol=1e-4)
        np.testing.assert_allclose(stats.entropy, 0.7856, atol=1e-4)

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_one_row_alone(self, name):
        logits, tokens = make_example("random")
        values, _ = oracle(logits[3:4], tokens[3:4], 1.0)
        for got, want in zip(compute_stats(name, logits[3:4], tokens[3:4]), values, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    def test_padding_of_the_vocabulary_counts_for_nothing(self, name):
        logits, _ = make_example("random")
        logits = logits.at[:, 250:].set(50.0)  # the padding would outweigh everything
        tokens = np.arange(T) * 40
        values, _ = oracle(logits[:, :250], tokens, 1.0)
        stats = compute_stats(name, logits, tokens, vocabulary_size=250)
        for got, want in zip(stats, values, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("name", IMPLEMENTATIONS)
    @pytest.mark.parametrize("active", [[1, 0, 0, 1, 0, 1, 1], [0] * T], ids=["some", "none"])
    def test_rows_outside_the_mask_are_zero_and_have_no_gradient(self, name, active):
        logits, tokens = make_example("random")
        mask, ones = np.array(active, bool), np.ones((4, T), np.float32)
        stats, gradient = values_and_gradient(name, logits, tokens, 0.7, ones, mask)
        want, want_gradient = values_and_gradient(name, logits, tokens, 0.7, ones)
        for one, other in zip(stats, want, strict=True):
            np.testing.assert_allclose(one, np.where(mask, other, 0.0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(gradient, np.where(mask[:, None], want_gradient, 0.0), atol=1e-6)

    @pytest.mark.parametrize("name", ["reference", "chunked", "pallas_tpu", "pallas_gpu"])
    def test_a_row_outside_the_mask_may_hold_anything(self, name):
        logits, tokens = make_example("random")
        mask, ones = np.arange(T) != 2, np.ones((4, T), np.float32)
        got, want = (
            values_and_gradient(name, rows, tokens, 0.7, ones, mask)
            for rows in (logits.at[2].set(jnp.nan), logits)
        )
        for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-7)

    @pytest.mark.parametrize(
        "name", ["chunked", *PALLAS, "linear_chunked", "linear_pallas_tpu", "linear_pallas_gpu"]
    )
    def test_forward_mode_is_refused_by_name(self, name):
        logits, tokens = make_example("random")
        with pytest.raises(TypeError, match="forward-mode.*custom_vjp"):
            jax.jvp(lambda z: IMPLEMENTATIONS[name](z, tokens).entropy, (logits,), (logits,))


@pytest.mark.parametrize("name", ["reference", "chunked", *PALLAS])
def test_products_of_bfloat16_operands_are_within_its_rounding(name):
    draw = make_rng(0)
    hidden = jnp.asarray(draw.normal(size=(50, 64)), "bfloat16")
    head = jnp.asarray(draw.normal(size=(V, 64)) / 4, "bfloat16")
    tokens = draw.integers(V, size=50)
    weights = reference.TokenStats(*draw.normal(size=(4, 50)).astype(np.float32))

    @functools.partial(jax.jit, static_argnums=0)
    def stats_and_gradients(name, hidden, head):
        function = _bind_implementation(linear_token_stats, name)
        stats, vjp = jax.vjp(lambda *operands: function(*operands, tokens), hidden, head)
        return stats, vjp(weights)

    exact = hidden.astype(jnp.float32), head.astype(jnp.float32)
    got = jax.tree.leaves(stats_and_gradients(name, hidden, head))
    want = jax.tree.leaves(stats_and_gradients("reference", *exact))
    for one, other in zip(got, want, strict=True):
        error = np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))
        assert (error <= 2.0**-8 * np.maximum(1.0, np.abs(other))).all()


@pytest.mark.parametrize(
    "name", ["reference", "chunked", "linear_reference", "linear_chunked", "forward"]
)
def test_unit_polarity_is_the_entropy_change_along_its_direction(name):
    # dH/d eta at z + eta (e_y - p), by central differences in float64.
    with jax.enable_x64(True):
        logits, tokens = make_rng(3).normal(size=(T, V)) * 2, np.arange(T) * 40
        logits[:, 0] += 5.0  # so that T is not tiny: some mass in one place
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        along, step = np.eye(V)[tokens] - p, 1e-5
        up, down = (
            np.asarray(compute_stats(name, logits + sign * step * along, tokens).entropy)
            for sign in (1, -1)
        )
        unit = compute_stats(name, logits, tokens).unit_polarity
        assert unit.dtype == jnp.float64
        np.testing.assert_allclose(unit, (up - down) / (2 * step), atol=1e-9)


def assert_within_bound(field, got, want):
    bound = 1e-5 if field == "unit_polarity" else 2e-5 * np.maximum(1.0, np.abs(want))
    assert (np.abs(np.asarray(got, np.float64) - want) <= bound).all(), field


@pytest.mark.parametrize("name", ["reference", "chunked", "pallas_tpu", "pallas_gpu"])
def test_a_vocabulary_of_real_size(name):
    rows, vocabulary = 3, 151_936
    logits = make_rng(0).normal(size=(rows, vocabulary)).astype(np.float32)
    logits = (logits * [[1.0], [4.0], [0.1]]).astype(np.float32)
    tokens = np.array([5, int(logits[1].argmax()), vocabulary - 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tpu_blocks, "CANDIDATE_SIZES", ((1024, 1024),))
        patch.setattr(chunked, "_logits_tile_width", lambda logits: 4096)
        patch.setattr(gpu_blocks, "LOGITS_BLOCK", gpu_blocks.LOGITS_BLOCK._replace(columns=4096))
        call = jax.jit(functools.partial(LOGITS[name], temperature=0.7))
        stats, vjp = jax.vjp(lambda z: call(z, tokens), logits)
        weights = make_rng(1).normal(size=(4, rows)).astype(np.float32)
        (gradient,) = vjp(reference.TokenStats(*weights))

    # The statistics.
    values, gradients = oracle(logits, tokens, 0.7)
    for field, got, want in zip(stats._fields, stats, values, strict=True):
        assert_within_bound(field, got, want)

    # The gradient.
    want = sum(weight[:, None] * each for weight, each in zip(weights, gradients, strict=False))
    assert np.abs(np.asarray(gradient, np.float64) - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("name", ["reference", "forward", "chunked", *PALLAS, "loss"])
def test_the_linear_form_at_a_vocabulary_of_real_size(name):
    rows, vocabulary, width = 3, 151_936, 16
    draw = make_rng(0)
    hidden = draw.normal(size=(rows, width)).astype(np.float32) * np.float32([[1.0], [2.0], [0.1]])
    head = draw.normal(size=(vocabulary, width)).astype(np.float32)
    tokens = np.array([5, 77, vocabulary - 1])
    weights = draw.normal(size=(4, rows)).astype(np.float32)

    def weighted_sum(stats, weights):
        return sum((weight * each).sum() for weight, each in zip(weights, stats, strict=False))

    def loss_and_stats(hidden, head):
        if name == "loss":
            context = tuple(map(jnp.asarray, weights))
            return linear_token_loss(weighted_sum, hidden, head, tokens, context, temperature=0.7)
        function = _bind_implementation(linear_token_stats, name)
        stats = function(hidden, head, tokens, temperature=0.7)
        return weighted_sum(stats, weights), stats

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tpu_blocks, "CANDIDATE_SIZES", ((1024, 1024),))
        patch.setattr(
            tile_sizes,
            "choose_sizes",
            lambda: tile_sizes.DEFAULT_SIZES._replace(rows=4, columns=4096),
        )
        patch.setattr(gpu_blocks, "GRADIENT_COLUMNS", 2048)
        function = jax.jit(jax.value_and_grad(loss_and_stats, argnums=(0, 1), has_aux=True))
        (_, stats), gradients = function(hidden, head)

    # The statistics, of float32 logits.
    logits = np.asarray(reference.compute_logits(hidden, head))
    values, logit_gradients = oracle(logits, tokens, 0.7)
    for field, got, want in zip(stats._fields, stats, values, strict=True):
        assert_within_bound(field, got, want)

    # The gradients in both operands.
    logit_gradient = sum(
        weight[:, None] * each for weight, each in zip(weights, logit_gradients, strict=False)
    )
    wanted = logit_gradient @ head, logit_gradient.T @ hidden
    for got, want in zip(gradients, wanted, strict=True):
        assert np.abs(np.asarray(got, np.float64) - want).max() <= 1e-5 * np.abs(want).max()


def test_closed_form_gradient_of_the_reference():
    logits, tokens = make_example("peaked")
    weights = make_rng(1).normal(size=(4, T)).astype(np.float32)
    _, by_rule = values_and_gradient("reference", logits, tokens, 0.7, weights)
    closed = reference.logit_gradient(
        logits, tokens, reference.TokenStats(*weights), temperature=0.7
    )
    np.testing.assert_allclose(closed, by_rule, atol=3e-6)


@hypothesis.given(
    logits=hypothesis.strategies.lists(
        hypothesis.strategies.floats(-80, 80, width=32), min_size=9, max_size=9
    ),
    split=hypothesis.strategies.integers(1, 8),
    shift=hypothesis.strategies.floats(-100, 100, width=32),
    temperature=hypothesis.strategies.sampled_from([0.3, 0.7, 1.0, 3.0]),
)
@hypothesis.settings(max_examples=60)
def test_laws_of_any_distribution(logits, split, shift, temperature):
    vocabulary = len(logits)
    row = np.asarray(logits, np.float64)[None]
    every = np.arange(vocabulary)
    with jax.enable_x64(True):
        stats = reference.token_stats(np.repeat(row, vocabulary, 0), every, temperature=temperature)
        p = np.exp(stats.logprob)
        np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-12)
        entropy = np.asarray(stats.entropy)
        assert (entropy >= 0).all() and (entropy <= np.log(vocabulary) + 1e-12).all()
        # No drift without an advantage.
        np.testing.assert_allclose((p * stats.unit_polarity).sum(), 0.0, atol=1e-12)

        # A shift of all logits changes nothing.
        moved = reference.token_stats(
            np.repeat(row + shift, vocabulary, 0), every, temperature=temperature
        )
        np.testing.assert_allclose(moved.unit_polarity, stats.unit_polarity, atol=1e-9)

        # Wherever the vocabulary is split, the parts' sums combine to the whole's statistics.
        parts = [
            sums.tile_sums(
                row[:, part],
                every[None, part],
                tokens=np.array([[vocabulary - 1]]),
                support_end=vocabulary,
                temperature=temperature,
            )
            for part in (slice(0, split), slice(split, None))
        ]
        rows = TokenRows(
            tokens=None, active=np.array([True]), support_end=vocabulary, temperature=temperature
        )
        merged = tiling.drop_column_axis(sums.merge_sums(*parts, temperature))
        joined = sums.to_token_stats(merged, rows)
        for one, other in zip(joined, stats, strict=True):
            np.testing.assert_allclose(one[0], other[-1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", LOGITS)
def test_a_token_outside_the_support(name):
    # p = (1/2, 1/2, 0): H = log 2, S = 0 everywhere, so T = C - 0 = 0; the gradients stay finite
    logits, token = np.array([[1.0, 1.0, -np.inf]], np.float32), np.array([2])
    stats, gradient = values_and_gradient(name, logits, token, 1.0, np.ones((4, 1), np.float32))
    assert stats.logprob[0] == -np.inf and stats.unit_polarity[0] == 0
    np.testing.assert_allclose(stats.entropy, np.log(2), rtol=1e-6)
    # of logprob -1/2, of logsumexp +1/2, of H 0
    np.testing.assert_allclose(gradient, np.zeros((1, 3)), atol=1e-7)
