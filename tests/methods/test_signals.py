"""Signals, random choices and random controls by hand, and what must not move them.

Shapes: B sequences, T time.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import TokenStats, token_stats
from papo_jax.methods import reweighting, signals, token_random
from papo_jax.methods.token_batch import SampledTokens
from tests.support.seeds import make_key, make_rng

LN2 = math.log(2)
KEY = make_key(0)
compiled = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)  # in less than half the time
select_highest = compiled(token_random.select_highest)
permute_within_strata = compiled(token_random.permute_within_strata)
token_uniforms = compiled(token_random.token_uniforms, static_argnames="slots")


@functools.partial(compiled, static_argnames="signal")
def strata_of(tokens: SampledTokens, *, signal: str):
    return signals.SIGNALS[signal].stratify(tokens)


def sampled(stats, advantages, mask, **known) -> SampledTokens:
    """The tokens with the polarity that the trainer gives them."""
    polarity = signals.banded_polarity(stats, advantages, mask)
    return SampledTokens(stats, advantages, mask, **{"polarity": polarity, **known})


def row(*values):
    return jnp.array([values], jnp.float32)


def on(array):
    return jnp.ones(array.shape, bool)


def make_stats(logprob, entropy, unit_polarity):
    return TokenStats(
        *(jnp.asarray(each, jnp.float32) for each in (logprob, 0 * logprob, entropy, unit_polarity))
    )


class TestSignalsByHand:
    """Two tokens drawn from p = (1/2, 1/4, 1/4), the first with A = 2 and the second with A = -1.

    In units of log 2: H = 3/2, log p = (-1, -2), S = p (H + log p) = (1/4, -1/8), C = 1/2 1/4 - 2
    1/4 1/8 = 1/16, so T = C - S = (-3/16, 3/16).
    """

    LOGITS = jnp.log(jnp.array([[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.9, 0.05, 0.05]]]))
    STATS = token_stats(LOGITS, jnp.array([[0, 2, 0]]))
    ADVANTAGES = row(2.0, -1.0, 50.0)
    MASK = jnp.array([[True, True, False]])
    EXPECTED = {
        "polarity": (-3 / 8 * LN2, -3 / 16 * LN2),  # A T
        "sampled": (-1 / 2 * LN2, -1 / 8 * LN2),  # -A S
        "parameter": (0.6, 0.7),  # A u with u = (0.3, -0.7)
        "advantage_sign": (-1.0, 1.0),
        "covariance": (
            -3 / 4 * LN2,
            -3 / 4 * LN2,
        ),  # A - 1/2 = (3/2, -3/2) and log p + 3/2 = (1/2, -1/2)
        "surprisal": (-LN2, -1 / 2 * LN2),  # log p + H = (1/2, -1/2)
        "random": (-3 / 8 * LN2, -3 / 16 * LN2),
        "random_in_sign": (-3 / 8 * LN2, -3 / 16 * LN2),
        "random_in_probability": (-3 / 8 * LN2, -3 / 16 * LN2),
        "random_in_mass": (-3 / 8 * LN2, -3 / 16 * LN2),
    }

    @pytest.mark.parametrize("name", signals.SIGNALS)
    @pytest.mark.parametrize("garbage", [50.0, np.nan, np.inf])
    def test_signal(self, name, garbage):
        def spoil(values):
            return jnp.where(self.MASK, values, garbage)

        tokens = sampled(
            jax.tree.map(spoil, self.STATS),
            spoil(self.ADVANTAGES),
            self.MASK,
            unit_parameter_polarity=spoil(row(0.3, -0.7, 9.0)),
        )
        out = signals.SIGNALS[name].compute(tokens)
        np.testing.assert_allclose(out, [[*self.EXPECTED[name], 0.0]], rtol=1e-5)


class TestDeadBand:
    def test_of_polarity_is_on_t_and_not_on_p(self):
        # T = 5e-7 is noise even where A makes P large; T = 2e-6 is none even where A makes P tiny
        stats = make_stats(row(-1, -1, -1), row(1, 1, 1), row(5e-7, 2e-6, -1e-6))
        out = signals.banded_polarity(stats, row(1e3, 1e-3, -1.0), on(stats.logprob))
        np.testing.assert_allclose(out, row(0, 2e-9, 0), rtol=1e-6)
        out = signals.banded_polarity(
            stats, row(1e3, 1e-3, -1.0), on(stats.logprob), dead_band=1e-7
        )
        np.testing.assert_allclose(out, row(5e-4, 2e-9, 1e-6), rtol=1e-6)

    @pytest.mark.parametrize("scale", [1.0, 1e-6])
    @pytest.mark.parametrize("name", ["sampled", "parameter", "covariance", "surprisal"])
    def test_of_the_others_is_a_share_of_their_spread(self, name, scale):
        # sizes (1, 1, 1e-7, 0, 1e-4): root mean square about sqrt(2 / 5) = 0.63, so 1e-7 is below
        # 1e-6 of it, 1e-4 is not
        advantages = scale * row(1.0, -1.0, 1e-7, 0.0, -1e-4)
        logprob, entropy = row(0, 0, 0, 0, 0), row(1, 1, 1, 1, 1)  # p = 1, so S = H + log p = 1
        if (
            name == "covariance"
        ):  # mean A = 0, log p - mean = (1, -1, 1, 0, -1): sizes (1, 1, 1e-7, 0, 1e-4)
            advantages = scale * row(1.0, -1.0, 1e-7, -1e-7, -1e-4) + scale * row(0, 0, 0, 1e-4, 0)
            logprob = row(-1, -3, -1, -2, -3)
        tokens = sampled(
            make_stats(logprob, entropy, row(0, 0, 0, 0, 0)),
            advantages,
            on(advantages),
            unit_parameter_polarity=-row(1, 1, 1, 1, 1),
        )
        out = signals.SIGNALS[name].compute(tokens)
        assert (out != 0).tolist() == [[True, True, False, False, True]]


class TestShares:
    @pytest.mark.parametrize(
        "share, number, down, up",
        [
            (0.2, 4, 1, 1),
            (0.2, 5, 1, 1),
            (0.2, 6, 1, 2),
            (0.2, 9, 1, 2),
            (0.2, 10, 2, 2),
            (0.2, 0, 1, 1),
            (1e-4, 9_999, 1, 1),
            (1e-4, 19_999, 1, 2),
            (1e-4, 20_000, 2, 2),
            (1e-4, 20_001, 2, 3),  # an almost whole number
            (2e-3, 999, 1, 2),
            (2e-3, 1_000, 2, 2),
            (2e-4, 15_000, 3, 3),
            (5e-5, 39_999, 1, 2),
            (1e-3, 1_001, 1, 2),
            (0.1, 500_000, 50_000, 50_000),
            (0.3, 10, 3, 3),
            (0.7, 10, 7, 7),
            (1.0, 7, 7, 7),
            (0.07, 100, 7, 7),  # 7.000000000000001
            (0.29, 100, 29, 29),  # 28.999999999999996
        ],
    )
    def test_by_hand(self, share, number, down, up):
        for count in (number, jnp.array(number)):
            assert int(token_random.count_at_most(share, count)) == down
            assert int(token_random.count_at_least(share, count)) == up

    @pytest.mark.parametrize("share, first", [(0.4, 3.0), (0.41, 2.0), (0.01, 9.0), (1.0, -1.0)])
    def test_threshold(self, share, first):
        # five tokens in order 9, 3, 2, 1, -1: 0.4 x 5 = 2 reach 3, 0.41 x 5 = 2.05 is three of them
        values, mask = row(1, 9, 2, 77, 3, -1), jnp.array([[True, True, True, False, True, True]])
        assert token_random.top_threshold(values, mask, share) == first
        assert token_random.top_threshold(values, 0 * mask == 1, share) == np.inf

    def test_threshold_of_a_small_share(self):
        # 1e-3 x 1001 = 1.001, so two: the second highest of 0 ... 1000
        assert (
            token_random.top_threshold(jnp.arange(1001.0)[None], jnp.ones((1, 1001), bool), 1e-3)
            == 999
        )


class TestChoices:
    VALUES = jnp.array([[2.0, 5.0, 5.0], [5.0, 9.0, 1.0]])
    ELIGIBLE = jnp.array([[True, True, True], [True, False, True]])
    TIES = jnp.array([[0.1, 0.6, 0.3], [0.4, 0.0, 0.0]])
    # in order: the three fives by their numbers 0.3, 0.4, 0.6, then 2, then 1; 9 is not eligible
    ORDER = [(0, 2), (1, 0), (0, 1), (0, 0), (1, 2)]

    @pytest.mark.parametrize("count", range(7))
    def test_highest(self, count):
        expected = np.zeros((2, 3), bool)
        for place in self.ORDER[:count]:
            expected[place] = True
        np.testing.assert_array_equal(
            token_random.select_highest(self.VALUES, self.ELIGIBLE, count, ties=self.TIES), expected
        )

    @pytest.mark.parametrize("count", range(7))
    def test_lowest(self, count):
        # numbers of the eligible in order: 0.0, 0.1, 0.3, 0.4, 0.6
        expected = np.zeros((2, 3), bool)
        for place in [(1, 2), (0, 0), (0, 2), (1, 0), (0, 1)][:count]:
            expected[place] = True
        np.testing.assert_array_equal(
            token_random.select_lowest(self.TIES, self.ELIGIBLE, count), expected
        )

    @pytest.mark.parametrize("count", [1, 5, 17])
    def test_order_of_sequences_and_padding_do_not_matter(self, count):
        rng, rows, order = (make_rng(1), np.arange(8), make_rng(2).permutation(8))
        values = np.where(rng.permutation(40) < 3, 2.0, 1.0).reshape(8, 5)  # three, and many ties
        values, eligible = values.astype(np.float32), rng.random((8, 5)) < 0.7

        def choose(values, eligible, ties):
            return np.asarray(select_highest(values, eligible, count, ties=ties))

        whole = choose(values, eligible, token_uniforms(KEY, rows, slots=5))
        assert whole.sum() == count
        wide = np.pad(values[order], ((0, 0), (0, 3)), constant_values=np.nan)
        padded = choose(
            wide, np.pad(eligible[order], ((0, 0), (0, 3))), token_uniforms(KEY, order, slots=8)
        )
        np.testing.assert_array_equal(padded, np.pad(whole[order], ((0, 0), (0, 3))))
        others = [
            choose(values, eligible, token_uniforms(make_key(key), rows, slots=5))
            for key in range(1, 9)
        ]
        assert any((other != whole).any() for other in others)  # the key decides among equals


class TestStrata:
    A = row(1.0, -1.0, 0.0, 0.5)
    STATS = make_stats(row(-1, -2, -3, -1), row(1, 1, 1, 1), row(0, 0, 0, 0))

    def test_by_hand(self):
        polarity = row(0.6, -0.2, 0.0, -0.1)

        def of(name):
            stratify = signals.SIGNALS[name].stratify
            tokens = SampledTokens(self.STATS, self.A, on(self.A), polarity=polarity)
            return None if stratify is None else stratify(tokens)

        assert of("random").tolist() == [[0, 0, 0, 0]]
        assert of("random_in_sign").tolist() == [[2, 0, 1, 2]]
        # log p in order -3, -2, -1, -1; the edges are entries k 4 // 10: 0 0 1 1 2 2 2 3 3, that is
        # -3 -3 -2 -2 and five -1, # and the decile is the number of edges that are reached: 2, 4,
        # 9, 9
        assert of("random_in_probability").tolist() == [[29, 4, 12, 29]]
        # abs(P) by log p is 0 at -3, 0.2 at -2 and 0.7 at -1: of nine edges, 0.09 to 0.81, two are
        # reached at -2, and all at -1
        assert of("random_in_mass").tolist() == [[29, 2, 10, 29]]
        assert all(of(name) is None for name in signals.SIGNALS if not name.startswith("random"))

    def test_tenths_leave_padding_out_and_equals_together(self):
        values = jnp.concatenate([jnp.repeat(jnp.arange(10.0), 3), jnp.full(7, -99.0)])[None]
        mask = jnp.arange(37)[None] < 30
        equal = jnp.where(mask, 1.0, jnp.nan)
        assert signals.mass_tenths(values, equal, mask)[0, :30].tolist() == [
            tenth for tenth in range(10) for _ in range(3)
        ]
        assert (
            len(
                set(
                    signals.mass_tenths(
                        jnp.zeros((1, 25)), jnp.ones((1, 25)), jnp.ones((1, 25), bool)
                    )
                    .ravel()
                    .tolist()
                )
            )
            == 1
        )

    def test_each_tenth_holds_a_tenth_of_the_mass(self):
        rng = make_rng(0)
        values, mass = (
            rng.normal(size=(2, 500)),
            rng.exponential(size=(2, 500)) ** 4,
        )  # most of it in few tokens
        found = np.asarray(
            signals.mass_tenths(jnp.asarray(values), jnp.asarray(mass), jnp.ones((2, 500), bool))
        )
        of_values = found.ravel()[np.argsort(values, axis=None)]
        assert (np.diff(of_values) >= 0).all()
        held = np.array([mass[found == tenth].sum() for tenth in range(10)]) / mass.sum()
        assert np.abs(held - 0.1).max() < mass.max() / mass.sum() < 0.2


@functools.cache
def batch():
    """(stats, advantages, mask) of 40 answers of up to 12 tokens."""
    rng = make_rng(0)
    logits, tokens = (
        2 * rng.normal(size=(40, 12, 5)).astype(np.float32),
        rng.integers(0, 5, (40, 12)),
    )
    advantages = np.repeat(np.resize([-1.5, -0.5, 0.0, 1.0], (40, 1)), 12, axis=1).astype(
        np.float32
    )
    mask = np.arange(12) < rng.integers(3, 13, (40, 1))
    return token_stats(logits, tokens), jnp.asarray(advantages), mask


@functools.partial(compiled, static_argnames=("signal", "renormalize"))
def weigh(stats, advantages, mask, sequences, key, *, signal, renormalize=False):
    """(weights before and after the permutation, strata)."""
    tokens = sampled(stats, advantages, mask)
    strata = signals.SIGNALS[signal].stratify(tokens)
    make = functools.partial(
        reweighting.papo,
        signals.SIGNALS[signal].compute(tokens),
        advantages,
        mask,
        0.8,
        lam=0.3,
        weighting="graded",
        renormalize=renormalize,
    )
    return make(), make(key=key, sequences=sequences, strata=strata), strata


@pytest.mark.parametrize(
    "signal", ["random", "random_in_sign", "random_in_probability", "random_in_mass"]
)
class TestControls:
    def test_same_histogram_in_every_stratum(self, signal):
        stats, advantages, mask = batch()
        plain, moved, strata = map(
            np.asarray, weigh(stats, advantages, mask, np.arange(40), KEY, signal=signal)
        )
        assert not moved[~mask].any()
        groups = np.unique(strata[mask])
        assert (
            groups.size
            == {
                "random": 1,
                "random_in_sign": 3,
                "random_in_probability": 30,
                "random_in_mass": 30,
            }[signal]
        )
        for group in [None, *groups]:
            chosen = mask & (strata == group) if group is not None else mask
            np.testing.assert_array_equal(np.sort(moved[chosen]), np.sort(plain[chosen]))

    def test_renormalized_weights_have_the_histogram_up_to_one_factor_and_the_pressure(
        self, signal
    ):
        stats, advantages, mask = batch()
        found = weigh(stats, advantages, mask, np.arange(40), KEY, signal=signal, renormalize=True)
        plain, moved = (np.asarray(weights, np.float64) for weights in found[:2])

        def shape(weights):
            return np.sort(weights[mask]) / weights[mask].sum()

        np.testing.assert_allclose(shape(moved), shape(plain), rtol=1e-5)
        pull = [(weights * np.abs(advantages))[mask].sum() for weights in (plain, moved, mask)]
        np.testing.assert_allclose(pull[:2], pull[2], rtol=1e-5)

    def test_tokens_change_places_within_their_stratum(self, signal):
        stats, advantages, mask = batch()
        tokens = sampled(stats, advantages, mask)
        strata = strata_of(tokens, signal=signal)
        unsigned = tokens._replace(advantages=0 * advantages)
        decile = strata_of(unsigned, signal="random_in_probability")
        permute = functools.partial(
            permute_within_strata, mask=mask, key=KEY, sequences=jnp.arange(40), strata=strata
        )
        np.testing.assert_array_equal(permute(strata), strata)
        kept = {  # whether each token's new value comes from the same sign, or the same decile
            "sign": (np.sign(permute(advantages)) == np.sign(advantages))[mask].all(),
            "decile": (np.asarray(permute(decile)) == decile)[mask].all(),
        }
        assert (
            kept
            == {
                "random": {"sign": False, "decile": False},
                "random_in_sign": {"sign": True, "decile": False},
                "random_in_probability": {"sign": True, "decile": True},
                "random_in_mass": {"sign": True, "decile": False},
            }[signal]
        )

    def test_order_of_sequences_and_padding_do_not_matter(self, signal):
        stats, advantages, mask = batch()
        order = make_rng(3).permutation(40)
        plain, moved, _ = weigh(stats, advantages, mask, np.arange(40), KEY, signal=signal)

        def wide(values, fill=np.nan):
            return np.pad(values[order], ((0, 0), (0, 4)), constant_values=fill)

        _, padded, _ = weigh(
            jax.tree.map(wide, stats),
            wide(advantages),
            wide(mask, False),
            order,
            KEY,
            signal=signal,
        )
        # sigma_P adds up in another order, so weights agree to rounding
        np.testing.assert_allclose(padded, wide(np.asarray(moved), 0.0), rtol=1e-5)
        assert np.abs(np.asarray(moved) - plain).max() > 0.05
