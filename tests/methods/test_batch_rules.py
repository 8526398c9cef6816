"""Objectives that look across the batch, by hand, with their presets' numbers, and their traps.

Shapes: B sequences, T time. Unless stated otherwise the ratio is 1, a token's loss is -A and its
slope in log p is -A.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import TokenStats
from papo_jax.methods import presets
from papo_jax.methods.token_batch import SampledTokens, TokenBatch
from papo_jax.methods.token_weights import opefo
from tests.support.rows import assert_near, in_slots, row

LN2 = math.log(2)


@functools.partial(
    jax.jit,
    static_argnames=("name", "options"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def value_and_slope(logprob, old, advantages, mask, known, numbers, *, name, options):
    objective = presets.get(name, **dict(options), **numbers).objective

    def total(logprob):
        out = objective(TokenBatch(logprob, old, advantages, mask, **known))
        return out.total, out

    slope, out = jax.grad(total, has_aux=True)(logprob)
    return out, slope


def act(name, advantages, *, logprob=None, ratio=None, options=(), numbers=None, **known):
    """Applies a preset's objective to one row of tokens beside padding.

    Returns:
      (`LossSum`, slope in log p, metrics' sums).
    """
    tokens = advantages.shape[1]
    slots = 8 if tokens < 8 else 1600
    logprob = np.full((1, tokens), -1.0) if logprob is None else logprob
    old = logprob - (0.0 if ratio is None else np.log(ratio))
    known = {
        key: value if value.ndim == 0 else in_slots(value, slots) for key, value in known.items()
    }
    out, slope = value_and_slope(
        *(in_slots(each, slots) for each in (logprob, old, advantages)),
        np.arange(slots)[None] < tokens,
        known,
        numbers or {},
        name=name,
        options=options,
    )
    slope = np.asarray(slope)
    assert not slope[:, tokens:].any()
    return (
        out,
        slope[:, :tokens],
        {metric: float(value) for metric, (value, _) in out.metrics.items()},
    )


class TestCovariance:
    # A has mean 0; log p has mean -2.5, so that Cov = A (log p + 2.5) = (3, 1, 1, 3)
    A = row(2, 2, -2, -2)
    LOGPROB = row(-1, -2, -3, -4)

    def drawn(self, uniforms, advantages=A, logprob=LOGPROB, **arguments):
        out, slope, metrics = act(
            "clip_cov", advantages, logprob=logprob, token_uniforms=uniforms, **arguments
        )
        assert out.count == advantages.shape[1]  # who is drawn stays in the denominator
        return out.total, slope, metrics

    def test_clip_cov_draws_one_of_the_eligible(self):
        # Cov = 1 is not above 1, whatever its number; of tokens 0 and 3 the number of 3 is lower:
        # -2 - 2 + 2, without its 2
        total, slope, metrics = self.drawn(row(0.9, 0.1, 0.2, 0.8))
        assert_near(total, -2)
        assert_near(slope, row(-2, -2, 2, 0))
        assert (
            metrics["selected/tokens"],
            metrics["clip/fraction"],
            metrics["clip/ratio_outside"],
        ) == (1, 1, 0)
        assert_near(self.drawn(row(0.7, 0.1, 0.2, 0.8))[1], row(0, -2, 2, 2))

    @pytest.mark.parametrize("share, number", [(0.25, 1), (0.49, 1), (0.5, 2), (1.0, 2)])
    def test_clip_cov_draws_at_most_the_eligible(self, share, number):
        # int(share 4) = 1, 1, 2, 4, of which two are eligible
        _, _, metrics = self.drawn(row(0.9, 0.1, 0.2, 0.8), numbers={"covariance_share": share})
        assert metrics["selected/tokens"] == number

    @pytest.mark.parametrize("low_token, number", [(-10.0, 1), (-11.0, 0), (-3.0, 0)])
    def test_clip_covs_bounds_are_exclusive(self, low_token, number):
        # two tokens with A = (1, -1): Cov is half the distance of their log p, 4.5, 5 and 1 for
        # both
        _, slope, metrics = self.drawn(
            row(0.5, 0.6), advantages=row(1, -1), logprob=row(-1, low_token)
        )
        assert metrics["selected/tokens"] == number
        assert_near(slope, row(0 if number else -1, 1))  # none eligible: none drawn

    def test_clip_covs_clipped_tokens_are_not_eligible(self):
        # clip 1 / 1: a ratio of 2.5 is cut to 2 where A > 0, and that token, of the lowest number,
        # is not drawn but 3 is
        total, slope, metrics = self.drawn(row(0.1, 0.2, 0.3, 0.8), ratio=row(2.5, 1, 1, 1))
        assert_near(total, -2 * 2 - 2 + 2)
        assert_near(slope, row(0, -2, 2, 0))
        assert (
            metrics["selected/tokens"],
            metrics["clip/fraction"],
            metrics["clip/ratio_outside"],
        ) == (1, 2, 1)
        # ... and nothing else is cut: 1.9, 0.01, and anything where A < 0
        _, slope, metrics = self.drawn(row(0.1, 0.2, 0.3, 0.8), ratio=row(1, 1.9, 0.01, 9))
        assert_near(slope, row(0, -3.8, 0.02, 18))
        assert metrics["clip/fraction"] == 1

    def test_kl_cov_is_inert_on_policy(self):
        _, slope, metrics = act(
            "kl_cov", self.A, logprob=self.LOGPROB, token_uniforms=row(0.9, 0.1, 0.2, 0.8)
        )
        np.testing.assert_array_equal(slope, -self.A)
        assert metrics["selected/tokens"] == 1  # and yet

    def test_kl_cov_does_not_feel_rounding(self):
        # two passes that should be one: log r = 4e-7 is no distance, 4e-5 is
        slopes = [
            act(
                "kl_cov",
                self.A,
                logprob=self.LOGPROB,
                ratio=np.exp(row(*[gap] * 4)),
                token_uniforms=row(0.9, 0.1, 0.2, 0.8),
            )[1]
            for gap in (0.0, 4e-7, 4e-5)
        ]
        # The slope -A r itself moves by 2 x 4e-7, and r is rounded by 1e-7.
        np.testing.assert_allclose(slopes[1], slopes[0], atol=3e-6)
        assert np.abs(slopes[2] - slopes[0]).max() > 0.9

    @pytest.mark.parametrize(
        "ratio, value, slope",
        [(2.0, -4 + LN2, -3), (0.5, -1 + LN2, -2), (9.0, -18 + 2 * math.log(3), -17)],
    )
    def test_kl_cov_off_policy(self, ratio, value, slope):
        # token 0 is held: -2 r + abs(log r) and slope -2 r + sign(log r); no clip, nor on 3 (loss 2
        # r = 8), which ties with it
        uniforms, ratios = row(0.1, 0.2, 0.3, 0.8), row(ratio, 1, 1, 4)
        out, found, metrics = act(
            "kl_cov", self.A, logprob=self.LOGPROB, ratio=ratios, token_uniforms=uniforms
        )
        assert_near(out.total, value - 2 + 2 + 8)
        assert_near(found, row(slope, -2, 2, 8))
        assert out.count == 4 and metrics["clip/fraction"] == 0

    @pytest.mark.parametrize("tokens, number", [(4, 1), (999, 1), (1000, 2), (1499, 2), (1500, 3)])
    def test_kl_covs_share_is_two_in_a_thousand(self, tokens, number):
        advantages = np.linspace(-1, 1, tokens)[None]
        _, slope, metrics = act(
            "kl_cov",
            advantages,
            logprob=advantages - 2,
            ratio=0 * advantages + 2,
            token_uniforms=advantages**2,
        )
        assert metrics["selected/tokens"] == number
        # Cov = A^2 is highest at the two ends; held tokens have slope -2 A + 1
        held = np.abs(slope + 2 * advantages - 1) < 1e-5
        assert held.sum() == number and np.abs(advantages)[held].min() > 0.99


class TestHighEntropyTokens:
    A = row(1, 2, -3, 4, 0.0)
    ENTROPY = row(0.1, 0.5, 0.3, 0.4, 0.2)  # and NaN in the padding, which is not counted

    @pytest.mark.parametrize("all_tokens, count", [(True, 5), (False, 1)])
    def test_a_fifth(self, all_tokens, count):
        out, slope, metrics = act(
            "high_entropy_tokens",
            self.A,
            entropy=self.ENTROPY,
            options=(("all_tokens", all_tokens),),
        )
        assert (out.total, out.count) == (-2, count)
        assert_near(slope, row(0, -2, 0, 0, 0))
        assert (metrics["selected/tokens"], metrics["clip/fraction"]) == (
            1,
            3,
        )  # of four with A != 0

    def test_the_share_is_rounded_up_and_equals_stay_together(self):
        _, slope, _ = act(
            "high_entropy_tokens", self.A, entropy=self.ENTROPY, numbers={"entropy_share": 0.41}
        )  # 2.05: three
        assert_near(slope, row(0, -2, 3, -4, 0))
        _, slope, metrics = act("high_entropy_tokens", self.A, entropy=row(0.5, 0.5, 0.3, 0.4, 0.5))
        assert_near(slope, row(-1, -2, 0, 0, 0))
        assert metrics["selected/tokens"] == 3

    def test_clipped_and_left_out_tokens_have_no_gradient(self):
        # kept: 1 (r = 1.5, cut to 1.28) and 3 (r = 1.2, inside); left out: 0 and 2
        ratio, numbers = row(1, 1.5, 1, 1.2, 1), {"entropy_share": 0.4}
        out, slope, metrics = act(
            "high_entropy_tokens", self.A, ratio=ratio, entropy=self.ENTROPY, numbers=numbers
        )
        assert_near(out.total, -2 * 1.28 - 4 * 1.2)
        assert_near(slope, row(0, 0, 0, -4.8, 0))
        assert metrics["clip/fraction"] == 3


class TestSteer:
    def damped(self, advantages, logprob, surplus, **arguments):
        """`surplus` is log p + H."""
        out, slope, _ = act(
            "steer", advantages, logprob=logprob, entropy=surplus - logprob, **arguments
        )
        assert out.count == advantages.shape[1]
        return out.total, slope

    def test_by_hand(self):
        # p = 1/2: Omega = A r (1 - p) (log p + H) = (1/2, -1/4, -1/2, 0): weights 0.8, sqrt 0.8,
        # 0.8 and 1
        total, slope = self.damped(
            row(1, -1, 1, 2), row(-LN2, -LN2, -LN2, -LN2), row(1, 0.5, -1, 0)
        )
        weights = row(0.8, math.sqrt(0.8), 0.8, 1)
        assert_near(total, -(0.8 - math.sqrt(0.8) + 0.8 + 2))
        assert_near(slope, -weights * row(1, -1, 1, 2))  # none through the weights

    def test_probability_and_ratio_count(self):
        # Omega: p = 3/4, r = 2 / 1 and 1 - p = 1/4: 1/2;  p = 3/4: 1/4;  p = 1: 0. The first is cut
        # to 1.28 and damped too.
        total, slope = self.damped(
            row(1, 1, 1), np.log(row(0.75, 0.75, 1)), row(1, 1, 1), ratio=row(2, 1, 1)
        )
        assert_near(total, -(0.8 * 1.28 + math.sqrt(0.8) + 1))
        assert_near(slope, row(0, -math.sqrt(0.8), -1))

    def test_the_largest_counts_at_least_the_floor(self):
        assert_near(
            self.damped(row(0.02), row(-LN2), row(1))[0], -0.02 * math.sqrt(0.8)
        )  # abs(Omega) = 0.01, of 0.02


class TestBapo:
    """BAPO on two tokens, the first with A = 1.

    The second has A < 0 and a ratio of 1/2, below every c_low: it counts c_low abs(A).
    """

    @pytest.mark.parametrize(
        "name, ratio, negative, bounds",
        [
            # paper, c_high first: wanted 2/3 x 0.6 x 3.2 = 1.28 <= min(2, c_high), first at 1.3
            ("bapo", 2.0, -3.2, (0.6, 1.3)),
            # 2/3 x 0.6 x 4.9 = 1.96, first at 2; the code's order: 1/2 x 0.6 x 4.9 = 1.47 > 1.2, so
            # c_low goes to its end, # which wants 1/2 x 0.9 x 4.9 = 2.205, first at 2.25
            ("bapo", 4.0, -4.9, (0.6, 2.0)),
            ("bapo_code", 4.0, -4.9, (0.9, 2.25)),
            # at the start already: 2/3 x 0.6 x 2.9 = 1.16, 1/2 x 0.6 x 3.9 = 1.17
            ("bapo", 4.0, -2.9, (0.6, 1.2)),
            ("bapo_code", 4.0, -3.9, (0.6, 1.2)),
            # nowhere: 1/2 x 0.6 x 11 = 3.3 > 3
            ("bapo", 4.0, -11.0, (0.9, 3.0)),
            ("bapo_code", 4.0, -11.0, (0.9, 3.0)),
            # nor here, for the ratio is too small: min(1.1, c_high) = 1.1 < 2/3 x 0.6 x 3 = 1.2
            ("bapo", 1.1, -3.0, (0.9, 3.0)),
        ],
    )
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


@pytest.mark.parametrize(
    "name", [name for name in presets.PRESETS if presets.get(name).objective.needs_full_minibatch]
)
def test_a_rules_reduction_is_the_one_that_its_loss_uses(name):
    # The weights are renormalized under the reduction, so it has to be the loss's own: at ratio 1,
    # of tokens that all pull alike.
    advantages, numbers = row(1, 1, 1, 1), {}
    if name == "high_entropy_tokens":
        numbers = {"entropy_share": 1.0}
    known = {
        "entropy": row(1, 1, 1, 1),
        "unit_polarity": row(0, 0, 0, 0),
        "token_uniforms": row(0, 0.2, 0.4, 0.6),
    }
    out, slope, _ = act(name, advantages, numbers=numbers, rollout_entropy=jnp.float32(9), **known)
    reduction = presets.get(name).objective.reduction(np.arange(8)[None] < 4, 8)
    assert float(out.count) == float(reduction.count)
    assert_near(-slope.sum(), reduction.token_weights.sum())


class TestStare:
    A = row(1, 1, -1, -2, 0)
    LOGPROB = row(
        -1, -2, -3, -4, -9
    )  # a tenth of two tokens is one: 1 of the right and 3 of the wrong

    @pytest.mark.parametrize(
        "name, entropy, weights",
        [
            ("stare", 0.29, (1, 1.1, 1, 1, 1)),
            ("stare_c2", 0.29, (1, 1.1, 1, 0.9, 1)),
            ("stare", 0.3, (1, 1, 1, 1, 1)),
            ("stare_c2", 0.31, (1, 1, 1, 1, 1)),  # at the target already
        ],
    )
    def test_by_hand(self, name, entropy, weights):
        known = dict(token_uniforms=row(0, 0, 0, 0, 0), rollout_entropy=jnp.float32(entropy))
        out, slope, metrics = act(
            name, self.A, logprob=self.LOGPROB, ratio=row(1, 2, 1, 1, 1), **known
        )
        # 1 is cut to 1.28, and that is what its weight multiplies
        weighted = np.array(weights) * [1, 1.28, -1, -2, 0]
        assert_near(out.total, -weighted.sum())
        assert_near(slope, [-weighted * [1, 0, 1, 1, 1]])
        assert out.count == 5 and metrics["selected/tokens"] == sum(
            weight != 1 for weight in weights
        )

    def test_the_share_is_of_one_sign_and_rounded_up(self):
        # eleven right tokens: ceil(1.1) = 2; the wrong ones, rarer, do not count
        advantages, logprob = row(*[1] * 11, *[-1] * 9), -np.arange(1.0, 21.0)[None]
        _, slope, metrics = act(
            "stare",
            advantages,
            logprob=logprob,
            token_uniforms=0 * logprob,
            rollout_entropy=jnp.float32(0),
        )
        assert metrics["selected/tokens"] == 2
        assert_near(slope, row(*[-1] * 9, -1.1, -1.1, *[1] * 9))


class TestOpefo:
    @pytest.mark.parametrize(
        "unit, factors",
        [
            # P = (0.3, -0.1, -0.4, 0): F+ = 0.3, F- = 0.5, lambda = 0.2 / 0.8 = 1/4
            ((0.3, -0.1, 0.4, 0.0), (1.25, 0.75, 0.75, 1.0)),
            (
                (0.3, 0.0, -0.4, 0.0),
                (0.0, 1.0, 0.0, 1.0),
            ),  # only F+: lambda = -1, so nothing is left but what has P = 0
            ((0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0)),
        ],
    )
    def test_weighted_flows_cancel(self, unit, factors):
        advantages = row(1, 1, -1, 2)
        padded, mask = (
            np.pad(advantages, ((0, 0), (0, 1)), constant_values=7),
            np.arange(5)[None] < 4,
        )
        stats = TokenStats(
            *[row(*unit, 5.0)] * 4
        )  # what stands in the padding would be the largest flow
        found = opefo.balance_flows(SampledTokens(stats, padded, mask))[:, :4]
        assert_near(found, advantages * row(*factors))
        assert_near((found * row(*unit)).sum(), 0)

    def test_nothing_is_clipped(self):
        out, slope, metrics = act("opefo", row(1, -1), ratio=row(5, 0.1))
        assert_near(out.total, -5 + 0.1)
        assert_near(slope, row(-5, 0.1))
        assert out.count == 2 and metrics["clip/fraction"] == 0
