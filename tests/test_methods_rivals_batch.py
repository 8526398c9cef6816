"""Rivals that look across the batch, by hand, with their presets' numbers, and their traps. Shapes: B sequences, T time.

Where nothing else is said the ratio is 1, a token's loss is -A and its slope in log p is -A.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import TokenStats
from papo_jax.methods import phase, presets
from papo_jax.methods.calling import keywords
from papo_jax.methods.rivals import clip_v, opefo
from papo_jax.training.weighing import weigh

assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
LN2 = math.log(2)


def row(*values):
    return np.array([values], np.float32)


def in_slots(values, slots):
    """Adds padding, to one shape for all cases, so that little is compiled."""
    return np.pad(np.asarray(values, np.float32), ((0, 0), (0, slots - values.shape[1])), constant_values=np.nan)


@functools.partial(jax.jit, static_argnames=("name", "options"), compiler_options={"xla_backend_optimization_level": 0})
def value_and_slope(logprob, old, advantages, mask, known, numbers, *, name, options):
    method = {**presets.get(name), **dict(options), **numbers}
    loss = method["objective"].loss

    def total(logprob):
        out = loss(logprob, old, advantages, mask, **keywords(loss, known, method))
        return out.total, out

    slope, out = jax.grad(total, has_aux=True)(logprob)
    return out, slope


def act(name, advantages, *, logprob=None, ratio=None, options=(), numbers=None, **known):
    """Applies a preset's objective to one row of tokens beside padding: (`Objective`, slope in log p, metrics' sums)."""
    tokens = advantages.shape[1]
    slots = 8 if tokens < 8 else 1600
    logprob = np.full((1, tokens), -1.0) if logprob is None else logprob
    old = logprob - (0.0 if ratio is None else np.log(ratio))
    known = {key: value if value.ndim == 0 else in_slots(value, slots) for key, value in known.items()}
    out, slope = value_and_slope(
        *(in_slots(each, slots) for each in (logprob, old, advantages)), np.arange(slots)[None] < tokens, known, numbers or {},
        name=name, options=options,
    )  # fmt: skip
    slope = np.asarray(slope)
    assert not slope[:, tokens:].any()
    return out, slope[:, :tokens], {metric: float(value) for metric, (value, _) in out.metrics.items()}


@functools.partial(jax.jit, static_argnames="name", compiler_options={"xla_backend_optimization_level": 0})
def weighed_and_loss(stats, rewards, mask, numbers, *, name):
    method = {**presets.get(name), **numbers}
    out, _ = weigh(
        stats, rewards, mask, jnp.ones(rewards.shape, bool), jnp.arange(len(mask)), jnp.float32(1), phase.init(),
        jax.random.key(0), method=method, limit=mask.shape[1],
    )  # fmt: skip
    loss = method["objective"].loss
    advantages = out.weights * out.advantages
    return out, loss(stats.logprob, stats.logprob, advantages, out.loss_mask, **keywords(loss, method))


class TestCovariance:
    # A has mean 0; log p has mean -2.5, so that Cov = A (log p + 2.5) = (3, 1, 1, 3)
    A = row(2, 2, -2, -2)
    LOGPROB = row(-1, -2, -3, -4)

    def drawn(self, draws, advantages=A, logprob=LOGPROB, **arguments):
        out, slope, metrics = act("clip_cov", advantages, logprob=logprob, draws=draws, **arguments)
        assert out.count == advantages.shape[1]  # who is drawn stays in the denominator
        return out.total, slope, metrics

    def test_clip_cov_draws_one_of_the_eligible(self):
        # Cov = 1 is not above 1, whatever its number; of tokens 0 and 3 the number of 3 is lower: -2 - 2 + 2, without its 2
        total, slope, metrics = self.drawn(row(0.9, 0.1, 0.2, 0.8))
        assert_near(total, -2)
        assert_near(slope, row(-2, -2, 2, 0))
        assert (metrics["selected/tokens"], metrics["clip/fraction"], metrics["clip/ratio_outside"]) == (1, 1, 0)
        assert_near(self.drawn(row(0.7, 0.1, 0.2, 0.8))[1], row(0, -2, 2, 2))

    @pytest.mark.parametrize("share, number", [(0.25, 1), (0.49, 1), (0.5, 2), (1.0, 2)])
    def test_clip_cov_draws_at_most_the_eligible(self, share, number):
        # int(share 4) = 1, 1, 2, 4, of which two are eligible
        _, _, metrics = self.drawn(row(0.9, 0.1, 0.2, 0.8), numbers={"covariance_share": share})
        assert metrics["selected/tokens"] == number

    @pytest.mark.parametrize("low_token, number", [(-10.0, 1), (-11.0, 0), (-3.0, 0)])
    def test_clip_covs_bounds_are_exclusive(self, low_token, number):
        # two tokens with A = (1, -1): Cov is half the distance of their log p, 4.5, 5 and 1 for both
        _, slope, metrics = self.drawn(row(0.5, 0.6), advantages=row(1, -1), logprob=row(-1, low_token))
        assert metrics["selected/tokens"] == number
        assert_near(slope, row(0 if number else -1, 1))  # none eligible: none drawn

    def test_clip_covs_clipped_tokens_are_not_eligible(self):
        # clip 1 / 1: a ratio of 2.5 is cut to 2 where A > 0, and that token, of the lowest number, is not drawn but 3 is
        total, slope, metrics = self.drawn(row(0.1, 0.2, 0.3, 0.8), ratio=row(2.5, 1, 1, 1))
        assert_near(total, -2 * 2 - 2 + 2)
        assert_near(slope, row(0, -2, 2, 0))
        assert (metrics["selected/tokens"], metrics["clip/fraction"], metrics["clip/ratio_outside"]) == (1, 2, 1)
        # ... and nothing else is cut: 1.9, 0.01, and anything where A < 0
        _, slope, metrics = self.drawn(row(0.1, 0.2, 0.3, 0.8), ratio=row(1, 1.9, 0.01, 9))
        assert_near(slope, row(0, -3.8, 0.02, 18))
        assert metrics["clip/fraction"] == 1

    def test_kl_cov_is_inert_on_policy(self):
        _, slope, metrics = act("kl_cov", self.A, logprob=self.LOGPROB, draws=row(0.9, 0.1, 0.2, 0.8))
        np.testing.assert_array_equal(slope, -self.A)
        assert metrics["selected/tokens"] == 1  # and yet

    def test_kl_cov_does_not_feel_rounding(self):
        # two passes that should be one: log r = 4e-7 is no distance, 4e-5 is
        slopes = [act("kl_cov", self.A, logprob=self.LOGPROB, ratio=np.exp(row(*[gap] * 4)), draws=row(0.9, 0.1, 0.2, 0.8))[1] for gap in (0.0, 4e-7, 4e-5)]
        np.testing.assert_allclose(slopes[1], slopes[0], atol=1e-6)
        assert np.abs(slopes[2] - slopes[0]).max() > 0.9

    @pytest.mark.parametrize("ratio, value, slope", [(2.0, -4 + LN2, -3), (0.5, -1 + LN2, -2), (9.0, -18 + 2 * math.log(3), -17)])
    def test_kl_cov_off_policy(self, ratio, value, slope):
        # token 0 is held: -2 r + abs(log r) and slope -2 r + sign(log r); no clip, nor on 3 (loss 2 r = 8), which ties with it
        draws, ratios = row(0.1, 0.2, 0.3, 0.8), row(ratio, 1, 1, 4)
        out, found, metrics = act("kl_cov", self.A, logprob=self.LOGPROB, ratio=ratios, draws=draws)
        assert_near(out.total, value - 2 + 2 + 8)
        assert_near(found, row(slope, -2, 2, 8))
        assert out.count == 4 and metrics["clip/fraction"] == 0

    @pytest.mark.parametrize("tokens, number", [(4, 1), (999, 1), (1000, 2), (1499, 2), (1500, 3)])
    def test_kl_covs_share_is_two_in_a_thousand(self, tokens, number):
        advantages = np.linspace(-1, 1, tokens)[None]
        _, slope, metrics = act("kl_cov", advantages, logprob=advantages - 2, ratio=0 * advantages + 2, draws=advantages**2)
        assert metrics["selected/tokens"] == number
        # Cov = A^2 is highest at the two ends; held tokens have slope -2 A + 1
        held = np.abs(slope + 2 * advantages - 1) < 1e-5
        assert held.sum() == number and np.abs(advantages)[held].min() > 0.99


class TestDropped:
    """Clip_B, Clip_V and single branches, through `weigh`: what leaves, and over how many tokens the loss is divided."""

    @staticmethod
    def weighed(name, *, entropy=np.zeros((2, 1)), unit=np.zeros((2, 1)), rewards=(1.0, 0.0), numbers=None):
        """A right and a wrong answer, A = 1 and -1, unless said otherwise: (which tokens stay, count, total of the loss)."""
        (_, tokens), slots = np.broadcast_shapes(entropy.shape, unit.shape), 6
        mask = np.arange(slots) < np.full((2, 1), tokens)
        stats = TokenStats(*(in_slots(np.broadcast_to(each, (2, tokens)), slots) for each in (-1.0, 0.0, entropy, unit)))
        out, loss = weighed_and_loss(stats, row(*rewards), mask, numbers or {}, name=name)
        assert_near(out.pressure.sum(), 1)
        np.testing.assert_array_equal(out.weights, out.loss_mask)
        assert not out.loss_mask[:, tokens:].any()
        return np.asarray(out.loss_mask)[:, :tokens], int(loss.count), float(loss.total)

    # p = 1/e. Nine tokens with H = 1, so S = p (H - 1) = 0, and one with S = s: mean s / 10, deviation 3 abs(s) / 10, so that
    # it stands three deviations from the mean, on the side of its sign, and the others a third of one on the other.
    # The last two stay for standing in the right answer and for S > 0.
    @pytest.mark.parametrize(
        "answer, entropy, mu, dropped", [(1, 0, 2.5, 1), (1, 0, 2.99, 1), (1, 0, 3.01, 0), (0, 0, 2.5, 0), (1, 3, 2.5, 0)]
    )
    def test_clip_b(self, answer, entropy, mu, dropped):
        entropies = np.ones((2, 5), np.float32)
        entropies[answer, 2] = entropy
        stays, count, total = self.weighed("clip_b", entropy=entropies, numbers={"batch_mu": mu})
        assert (~stays).sum() == dropped and stays[answer, 2] != dropped
        assert count == 10 - dropped  # from the denominator too
        assert_near(total, -5 + (5 - dropped), rtol=1e-4)
        assert self.weighed("clip_b", entropy=0.3 * np.ones((2, 5)))[1] == 10  # nothing where all are equal

    # T is about 1 everywhere and its deviation below 0.08, so that all are above 8.5 deviations from 0, and none from the mean
    UNIT = np.array([[1.2, 1.0, 1.0], [1.0, 1.1, 1.05]])

    @pytest.mark.parametrize("share, dropped", [(1e-4, [1]), (0.33, [1]), (0.34, [1, 2]), (0.5, [0, 1, 2]), (1.0, [0, 1, 2])])
    def test_clip_v(self, share, dropped):
        # int(share 6) = 0, at least one; 1, 2, 3, 6: the largest of the wrong answer, never the right one's, which are larger
        stays, count, total = self.weighed("clip_v", unit=self.UNIT, numbers={"vocabulary_share": share})
        assert stays[0].all() and np.flatnonzero(~stays[1]).tolist() == dropped
        assert count == 6 - len(dropped)
        assert_near(total, -3 + 3 - len(dropped), rtol=1e-4)

    def test_clip_vs_threshold(self):
        # the deviation of three 0 and an x is x sqrt(3) / 4, so x is 4 / sqrt(3) = 2.309 of them from 0
        for mu, stay in ((2.30, 3), (2.32, 4), (8.5, 4)):
            assert self.weighed("clip_v", unit=np.array([[0.0, 0.0], [0.0, 0.7]]), numbers={"vocabulary_mu": mu})[1] == stay
        assert self.weighed("clip_v", unit=self.UNIT, rewards=(0.0, 0.0))[1] == 6  # A = 0 stays

    @pytest.mark.parametrize("tokens, number", [(9_999, 1), (19_999, 1), (20_000, 2)])
    def test_clip_vs_share_of_many_tokens(self, tokens, number):
        values = jnp.linspace(1, 1.1, 20_000)[None]
        mask = np.arange(20_000)[None] < tokens
        found = clip_v.outliers(TokenStats(*[values] * 4), -values, mask, draws=values)
        assert np.flatnonzero(found).tolist() == [*range(tokens - number, tokens)]  # the largest

    def test_single_branches_are_together_everything_but_the_dead_band(self):
        # P = A T: expanding, contracting, dead / contracting, expanding, dead
        unit = np.array([[0.2, -0.2, 5e-7], [0.2, -0.2, 0.0]])
        names = "positive_branch", "negative_branch"
        positive, negative = (self.weighed(name, unit=unit)[0] for name in names)
        assert positive.tolist() == [[True, False, True], [False, True, True]]
        assert negative.tolist() == [[False, True, True], [True, False, True]]
        positive, negative = (self.weighed(name, unit=unit, numbers={"dead_band": 1e-7})[0] for name in names)  # 5e-7 expands
        assert (positive & negative).sum() == 1 and positive[0, 2] and not negative[0, 2]
        assert self.weighed("positive_branch", unit=unit)[1] == 4


class TestHighEntropyTokens:
    A = row(1, 2, -3, 4, 0.0)
    ENTROPY = row(0.1, 0.5, 0.3, 0.4, 0.2)  # and NaN in the padding, which is not counted

    @pytest.mark.parametrize("all_tokens, count", [(True, 5), (False, 1)])
    def test_a_fifth(self, all_tokens, count):
        out, slope, metrics = act("high_entropy_tokens", self.A, entropy=self.ENTROPY, options=(("all_tokens", all_tokens),))
        assert (out.total, out.count) == (-2, count)
        assert_near(slope, row(0, -2, 0, 0, 0))
        assert (metrics["selected/tokens"], metrics["clip/fraction"]) == (1, 3)  # of four with A != 0

    def test_the_share_is_rounded_up_and_equals_stay_together(self):
        _, slope, _ = act("high_entropy_tokens", self.A, entropy=self.ENTROPY, numbers={"entropy_share": 0.41})  # 2.05: three
        assert_near(slope, row(0, -2, 3, -4, 0))
        _, slope, metrics = act("high_entropy_tokens", self.A, entropy=row(0.5, 0.5, 0.3, 0.4, 0.5))
        assert_near(slope, row(-1, -2, 0, 0, 0))
        assert metrics["selected/tokens"] == 3

    def test_clipped_and_left_out_tokens_have_no_gradient(self):
        # kept: 1 (r = 1.5, cut to 1.28) and 3 (r = 1.2, inside); left out: 0 and 2
        ratio, numbers = row(1, 1.5, 1, 1.2, 1), {"entropy_share": 0.4}
        out, slope, metrics = act("high_entropy_tokens", self.A, ratio=ratio, entropy=self.ENTROPY, numbers=numbers)
        assert_near(out.total, -2 * 1.28 - 4 * 1.2)
        assert_near(slope, row(0, 0, 0, -4.8, 0))
        assert metrics["clip/fraction"] == 3


class TestSteer:
    def damped(self, advantages, logprob, surplus, **arguments):
        """`surplus` is log p + H."""
        out, slope, _ = act("steer", advantages, logprob=logprob, entropy=surplus - logprob, **arguments)
        assert out.count == advantages.shape[1]
        return out.total, slope

    def test_by_hand(self):
        # p = 1/2: Omega = A r (1 - p) (log p + H) = (1/2, -1/4, -1/2, 0): weights 0.8, sqrt 0.8, 0.8 and 1
        total, slope = self.damped(row(1, -1, 1, 2), row(-LN2, -LN2, -LN2, -LN2), row(1, 0.5, -1, 0))
        weights = row(0.8, math.sqrt(0.8), 0.8, 1)
        assert_near(total, -(0.8 - math.sqrt(0.8) + 0.8 + 2))
        assert_near(slope, -weights * row(1, -1, 1, 2))  # none through the weights

    def test_probability_and_ratio_count(self):
        # Omega: p = 3/4, r = 2 / 1 and 1 - p = 1/4: 1/2;  p = 3/4: 1/4;  p = 1: 0. The first is cut to 1.28 and damped too.
        total, slope = self.damped(row(1, 1, 1), np.log(row(0.75, 0.75, 1)), row(1, 1, 1), ratio=row(2, 1, 1))
        assert_near(total, -(0.8 * 1.28 + math.sqrt(0.8) + 1))
        assert_near(slope, row(0, -math.sqrt(0.8), -1))

    def test_the_largest_counts_at_least_the_floor(self):
        assert_near(self.damped(row(0.02), row(-LN2), row(1))[0], -0.02 * math.sqrt(0.8))  # abs(Omega) = 0.01, of 0.02


class TestBapo:
    """Of two tokens the first has A = 1 and the second A < 0 and a ratio of 1/2, below every c_low: it counts c_low abs(A)."""

    # fmt: off
    @pytest.mark.parametrize(
        "name, ratio, negative, bounds", [
            # paper, c_high first: wanted 2/3 x 0.6 x 3.2 = 1.28 <= min(2, c_high), first at 1.3
            ("bapo", 2.0, -3.2, (0.6, 1.3)),
            # 2/3 x 0.6 x 4.9 = 1.96, first at 2; the code's order: 1/2 x 0.6 x 4.9 = 1.47 > 1.2, so c_low goes to its end,
            # which wants 1/2 x 0.9 x 4.9 = 2.205, first at 2.25
            ("bapo", 4.0, -4.9, (0.6, 2.0)), ("bapo_code", 4.0, -4.9, (0.9, 2.25)),
            # at the start already: 2/3 x 0.6 x 2.9 = 1.16, 1/2 x 0.6 x 3.9 = 1.17
            ("bapo", 4.0, -2.9, (0.6, 1.2)), ("bapo_code", 4.0, -3.9, (0.6, 1.2)),
            # nowhere: 1/2 x 0.6 x 11 = 3.3 > 3
            ("bapo", 4.0, -11.0, (0.9, 3.0)), ("bapo_code", 4.0, -11.0, (0.9, 3.0)),
            # nor here, for the ratio is too small: min(1.1, c_high) = 1.1 < 2/3 x 0.6 x 3 = 1.2
            ("bapo", 1.1, -3.0, (0.9, 3.0)),
        ],
    )
    # fmt: on
    def test_search(self, name, ratio, negative, bounds):
        out, slope, metrics = act(name, row(1, negative), ratio=row(ratio, 0.5))
        assert_near([metrics["bounds/low"], metrics["bounds/high"]], bounds)
        # -min(r, c_high), with the slope -r where it is not cut; and c_low abs(A), which is cut
        assert_near(out.total, -min(ratio, bounds[1]) - bounds[0] * negative)
        assert_near(slope, row(-ratio if ratio < bounds[1] else 0, 0))
        assert out.count == 2

    @pytest.mark.parametrize("name", ["bapo", "bapo_code"])
    def test_without_negatives_the_first_bounds_do(self, name):
        _, _, metrics = act(name, row(1, 0), ratio=row(2, 1))
        assert_near([metrics["bounds/low"], metrics["bounds/high"]], [0.6, 1.2])


@pytest.mark.parametrize("name", [name for name in presets.PRESETS if presets.get(name)["objective"].whole])
def test_a_rules_average_is_the_one_that_its_loss_uses(name):
    """The weights are renormalised under the average, so it has to be the loss's own: at ratio 1, of tokens that all pull alike."""
    advantages, numbers = row(1, 1, 1, 1), {}
    if name == "high_entropy_tokens":
        numbers = {"entropy_share": 1.0}
    known = {"entropy": row(1, 1, 1, 1), "unit_polarity": row(0, 0, 0, 0), "draws": row(0, 0.2, 0.4, 0.6)}
    out, slope, _ = act(name, advantages, numbers=numbers, rollout_entropy=jnp.float32(9), **known)
    average = presets.get(name)["objective"].average(np.arange(8)[None] < 4, 8)
    assert float(out.count) == float(average.count)
    assert_near(-slope.sum(), average.coefficients.sum())


class TestTokensOfAnAnswer:
    REWARDS, MASK = row(1, 0), np.array([[1, 1, 1], [1, 1, 0]], bool)
    LOGPROB = np.log(np.array([[0.1, 0.9, 0.5], [0.8, 0.05, 1.0]], np.float32))

    def weighed(self, name, kept=(True, True)):
        stats = TokenStats(self.LOGPROB, *[0 * self.LOGPROB + 0.3] * 2, np.sign(self.LOGPROB + 0.4))
        return weigh(
            stats, self.REWARDS, self.MASK, np.array([kept]), np.arange(2), jnp.float32(1), phase.init(), jax.random.key(0),
            method=presets.get(name), limit=30,
        )  # fmt: skip

    def test_an_answers_advantage_is_not_its_first_tokens(self):
        out, _ = self.weighed("a3po")  # five times as much for the rarest right and the commonest wrong token
        assert_near(out.advantages, [[5, 1, 1], [-5, -1, 0]])
        assert_near(out.of_answer, [1, -1])

    def test_what_is_dropped_is_counted(self):
        # T = (-1, 1, -1) and (1, -1): P < 0 at two tokens of the first answer and at one of the second
        out, metrics = self.weighed("positive_branch")
        assert metrics["dropped/tokens"] == 3 and out.loss_mask.sum() == 2
        assert_near(out.of_answer, [1, -1])
        out, metrics = self.weighed("positive_branch", kept=(False, True))
        assert metrics["dropped/tokens"] == 1
        assert_near(out.of_answer, [0, -1])


class TestStare:
    A = row(1, 1, -1, -2, 0)
    LOGPROB = row(-1, -2, -3, -4, -9)  # a tenth of two tokens is one: 1 of the right and 3 of the wrong

    @pytest.mark.parametrize("name, entropy, weights", [
        ("stare", 0.29, (1, 1.1, 1, 1, 1)), ("stare_c2", 0.29, (1, 1.1, 1, 0.9, 1)),
        ("stare", 0.3, (1, 1, 1, 1, 1)), ("stare_c2", 0.31, (1, 1, 1, 1, 1)),  # at the target already
    ])  # fmt: skip
    def test_by_hand(self, name, entropy, weights):
        known = dict(draws=row(0, 0, 0, 0, 0), rollout_entropy=jnp.float32(entropy))
        out, slope, metrics = act(name, self.A, logprob=self.LOGPROB, ratio=row(1, 2, 1, 1, 1), **known)
        # 1 is cut to 1.28, and that is what its weight multiplies
        weighted = np.array(weights) * [1, 1.28, -1, -2, 0]
        assert_near(out.total, -weighted.sum())
        assert_near(slope, [-weighted * [1, 0, 1, 1, 1]])
        assert out.count == 5 and metrics["selected/tokens"] == sum(weight != 1 for weight in weights)

    def test_the_share_is_of_one_sign_and_rounded_up(self):
        # eleven right tokens: ceil(1.1) = 2; the wrong ones, rarer, do not count
        advantages, logprob = row(*[1] * 11, *[-1] * 9), -np.arange(1.0, 21.0)[None]
        _, slope, metrics = act("stare", advantages, logprob=logprob, draws=0 * logprob, rollout_entropy=jnp.float32(0))
        assert metrics["selected/tokens"] == 2
        assert_near(slope, row(*[-1] * 9, -1.1, -1.1, *[1] * 9))


class TestOpefo:
    # fmt: off
    @pytest.mark.parametrize(
        "unit, factors", [
            # P = (0.3, -0.1, -0.4, 0): F+ = 0.3, F- = 0.5, lambda = 0.2 / 0.8 = 1/4
            ((0.3, -0.1, 0.4, 0.0), (1.25, 0.75, 0.75, 1.0)),
            ((0.3, 0.0, -0.4, 0.0), (0.0, 1.0, 0.0, 1.0)),  # only F+: lambda = -1, so nothing is left but what has P = 0
            ((0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0)),
        ],
    )
    # fmt: on
    def test_weighted_flows_cancel(self, unit, factors):
        advantages = row(1, 1, -1, 2)
        padded, mask = np.pad(advantages, ((0, 0), (0, 1)), constant_values=7), np.arange(5)[None] < 4
        stats = TokenStats(*[row(*unit, 5.0)] * 4)  # what stands in the padding would be the largest flow
        found = opefo.balanced(stats, padded, mask)[:, :4]
        assert_near(found, advantages * row(*factors))
        assert_near((found * row(*unit)).sum(), 0)

    def test_nothing_is_clipped(self):
        out, slope, metrics = act("opefo", row(1, -1), ratio=row(5, 0.1))
        assert_near(out.total, -5 + 0.1)
        assert_near(slope, row(-5, 0.1))
        assert out.count == 2 and metrics["clip/fraction"] == 0
