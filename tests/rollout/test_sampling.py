"""The sampler is exact: by hand from its keys, and by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from kernels.token_stats import token_stats
from papo_jax.rollout import sampling
from tests.support.seeds import make_key, make_rng

# Below this an observed count is refused: not once in a million draws by chance.
CHANCE = 1e-6

sample_with_stats = jax.jit(sampling.sample_tokens, static_argnames="temperature")


def sample(keys, logits, *, temperature=1.0):
    """The tokens alone."""
    return sample_with_stats(keys, logits, temperature=temperature)[0]


def count_draws(logits, draws, *, temperature=1.0, batch=2**14, seed=0):
    """Counts how often each token is drawn in at least `draws` draws."""
    total = np.zeros(logits.shape[-1], np.int64)
    for number in range(-(-draws // batch)):
        keys = jax.random.split(jax.random.fold_in(make_key(seed), number), batch)
        rows = jnp.broadcast_to(logits, (batch, len(total)))
        total += np.bincount(sample(keys, rows, temperature=temperature), minlength=len(total))
    return total


def compute_p_value(observed, probabilities):
    """Chi-square, tokens expected fewer than 5 times taken together."""
    expected = probabilities * observed.sum()
    rare = expected < 5

    def pool_rare(x):
        return np.append(x[~rare], x[rare].sum()) if rare.any() else x

    observed, expected = pool_rare(observed), pool_rare(expected)
    return scipy.stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


@pytest.mark.parametrize(
    "vocabulary, batch",
    [(7, 2**14), (100, 2**14), pytest.param(5000, 2**11, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_frequencies_are_the_softmax(vocabulary, batch, temperature):
    logits = 2.0 * jax.random.normal(make_key(vocabulary), (vocabulary,))
    observed = count_draws(
        logits, 2**15 if vocabulary < 5000 else 2**14, temperature=temperature, batch=batch
    )
    exact = scipy.special.softmax(np.float64(logits) / temperature)
    assert compute_p_value(observed, exact) > CHANCE
    # The test is sharp: it refuses another temperature.
    other = scipy.special.softmax(np.float64(logits) / (0.8 * temperature))
    assert compute_p_value(observed, other) < CHANCE


def test_same_distribution_as_jax():
    logits = jnp.linspace(-2.0, 2.0, 12)
    theirs = np.bincount(jax.random.categorical(make_key(1), logits, shape=(2**15,)), minlength=12)
    both = np.stack([count_draws(logits, 2**15), theirs])
    assert scipy.stats.chi2_contingency(both).pvalue > CHANCE


@pytest.mark.slow
def test_rare_tokens_are_not_rounded_away():
    """Tokens that a float32 cumulative sum would not see: 4,096 of probability 2e-8 each.

    In 2^18 draws 4096 x 2e-8 x 2^18 = 21.5 of them are expected; none, or 51, would come once in a
    million.
    """
    logits = jnp.full((4097,), np.log(2e-8)).at[0].set(0.0)
    observed = count_draws(logits, 2**18, batch=2**13)
    assert 1 <= observed[1:].sum() <= 50


def test_the_token_is_the_gumbel_winner_of_its_block():
    """Both levels again by hand, from the two keys that a row's key splits into."""
    key, logits = make_key(3), jax.random.normal(make_key(4), (9,))
    first, second = jax.random.split(key)
    blocks = logits.reshape(3, 3) - logits.max()
    winner = jnp.argmax(
        jnp.log(jnp.exp(blocks).sum(axis=1)) + jax.random.gumbel(first, (3,), mode="high")
    )
    inside = jnp.argmax(blocks[winner] + jax.random.gumbel(second, (3,), mode="high"))
    assert sample(key[None], logits[None])[0] == 3 * winner + inside


@pytest.mark.parametrize("vocabulary", [1, 2, 9, 17, 101])
def test_tokens_outside_the_support_are_never_drawn(vocabulary):
    """Also the last token, and the padding that fills the last block."""
    rng = make_rng(vocabulary)
    allowed = rng.random((1024, vocabulary)) < 0.3
    allowed[:, (vocabulary - 1) // 2] = True
    allowed[:, -1] &= vocabulary == 1
    logits = np.where(allowed, 3.0 * rng.normal(size=allowed.shape), -np.inf).astype(np.float32)
    tokens = np.asarray(sample(jax.random.split(make_key(2), 1024), jnp.asarray(logits)))
    assert tokens.dtype == np.int32 and (tokens >= 0).all() and (tokens < vocabulary).all()
    assert allowed[np.arange(1024), tokens].all()


@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_ties_share_evenly_wherever_the_logits_are(offset):
    observed = count_draws(jnp.full((11,), offset), 2**14)
    assert compute_p_value(observed, np.full(11, 1 / 11)) > CHANCE


def test_an_almost_certain_token_is_drawn():
    logits = jnp.zeros((50,)).at[31].set(200.0)
    assert count_draws(logits, 2**14)[31] == 2**14


@pytest.fixture
def rows():
    """Keys and logits of 64 rows."""
    return jax.random.split(make_key(7), 64), jax.random.normal(make_key(6), (64, 40))


def test_low_temperature_tends_to_greedy(rows):
    keys, logits = rows
    likeliest, _ = sampling.take_likeliest_tokens(logits)
    assert (sample(keys, logits, temperature=1e-4) == likeliest).mean() > 0.95
    assert sampling.take_likeliest_tokens(jnp.array([[1.0, 3.0, 3.0]]))[0].tolist() == [1]


@pytest.mark.parametrize("vocabulary", [2, 7, 40, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_statistics_are_those_of_the_distribution_that_was_drawn_from(vocabulary, temperature):
    """Against the reference in float64, with tokens outside the support and a far offset."""
    logits = 3.0 * jax.random.normal(make_key(vocabulary), (64, vocabulary)) + 50.0
    logits = logits.at[:, 0].set(-jnp.inf)
    keys = jax.random.split(make_key(3), 64)
    tokens, stats = sample_with_stats(keys, logits, temperature=temperature)
    with jax.enable_x64(True):
        exact = token_stats(
            jnp.asarray(np.float64(logits)),
            tokens,
            temperature=temperature,
            implementation="reference",
        )
    for name, values in stats._asdict().items():
        np.testing.assert_allclose(values, getattr(exact, name), atol=2e-5, err_msg=name)


def test_statistics_of_the_likeliest_token_are_those_at_temperature_1(rows):
    _, logits = rows
    tokens, stats = sampling.take_likeliest_tokens(logits)
    exact = token_stats(logits, tokens, implementation="reference")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stats, exact)


def test_a_row_depends_on_its_own_key_and_logits_alone(rows):
    keys, logits = rows
    order = make_rng(0).permutation(64)
    np.testing.assert_array_equal(sample(keys[order], logits[order]), sample(keys, logits)[order])


def test_bfloat16_logits_are_sampled_in_float32(rows):
    keys, logits = rows
    half = logits.astype(jnp.bfloat16)
    np.testing.assert_array_equal(sample(keys, half), sample(keys, half.astype(jnp.float32)))
