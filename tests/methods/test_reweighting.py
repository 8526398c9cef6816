"""PAPO's weights by hand, and what they promise for any batch. Shapes: B sequences, T time."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from papo_jax.methods import reweighting
from papo_jax.methods.reweighting import WEIGHTINGS
from tests.support.seeds import make_key, make_rng

papo = jax.jit(reweighting.papo, static_argnames=("weighting", "renormalize"))
papo_unscaled = functools.partial(papo, renormalize=False)

B, T = 3, 4


def floats(low, high):
    return hnp.arrays(np.float32, (B, T), elements=st.floats(low, high, width=32))


masks = hnp.arrays(bool, (B, T))
weightings = st.sampled_from(WEIGHTINGS)
phases = st.floats(-1, 1, width=32)
# Sums of B T = 12 terms without a sign and two quotients: less than 16 roundings of 2^-23.
ROUNDING = 16 * 2.0**-23


def row(*values):
    return np.array([values], np.float32)


def on(array):
    return np.ones(array.shape, bool)


def batch(seed=0):
    """(polarity, advantages, mask) with both branches, neutral tokens and padding."""
    draw = make_rng(seed)
    polarity = draw.normal(size=(B, T)).astype(np.float32) * (draw.random((B, T)) > 0.2)
    return (
        polarity.astype(np.float32),
        draw.normal(size=(B, T)).astype(np.float32),
        np.arange(T) < np.array([[4], [2], [3]]),
    )


class TestByHand:
    P = row(0.3, 0.1, -0.1, 0.0)
    A = row(1.0, 2.0, 1.0, -1.0)

    @pytest.mark.parametrize("weighting", ["sign", "switch"])
    def test_sign(self, weighting):
        # 1 +- 0.2 x 0.5, a neutral token keeps 1; and the other way round for s < 0
        out = papo_unscaled(self.P, self.A, on(self.P), 0.5, lam=0.2, weighting=weighting)
        np.testing.assert_allclose(out, row(1.1, 1.1, 0.9, 1.0), rtol=1e-6)
        out = papo_unscaled(self.P, self.A, on(self.P), -1.0, lam=0.2, weighting=weighting)
        np.testing.assert_allclose(out, row(0.8, 0.8, 1.2, 1.0), rtol=1e-6)

    def test_graded(self):
        # sigma = sqrt((9 + 16) / 2) = 3.535534 over the mask's two tokens
        polarity, mask = row(3.0, -4.0, 100.0), np.array([[True, True, False]])
        out = papo_unscaled(
            polarity, on(polarity).astype(np.float32), mask, 0.5, lam=0.4, weighting="graded"
        )
        expected = row(1 + 0.2 * math.tanh(3 / 3.535534), 1 - 0.2 * math.tanh(4 / 3.535534), 0.0)
        np.testing.assert_allclose(out, expected, rtol=1e-6)

    def test_balanced(self):
        # M+ = 0.4, M- = 0.1, rho = 0.8; rho* = 0.8 + 0.2 x 0.2 = 0.84: 0.84 / 0.8 = 1.05 and 0.16 /
        # 0.2 = 0.8
        out = papo_unscaled(self.P, self.A, on(self.P), 1.0, lam=0.2, weighting="balanced")
        np.testing.assert_allclose(out, row(1.05, 1.05, 0.8, 1.0), rtol=1e-6)
        out = papo_unscaled(self.P, self.A, on(self.P), -1.0, lam=0.2, weighting="balanced")
        np.testing.assert_allclose(out, row(0.95, 0.95, 1.2, 1.0), rtol=1e-6)

    def test_balanced_when_one_branch_vanishes_beside_the_other(self):
        # rho = 1 - 1e-9 rounds to 1 in float32; still w- = 1 -+ lam s for the small branch, about 1
        # for the large
        for s, small in ((1.0, 0.8), (-1.0, 1.2)):
            out = papo_unscaled(
                row(1.0, -1e-9), row(1.0, 1.0), on(row(1, 1)), s, lam=0.2, weighting="balanced"
            )
            np.testing.assert_allclose(out, row(1.0, small), rtol=1e-6)
            out = papo_unscaled(
                row(1e-9, -1.0), row(1.0, 1.0), on(row(1, 1)), -s, lam=0.2, weighting="balanced"
            )
            np.testing.assert_allclose(out, row(small, 1.0), rtol=1e-6)

    def test_bounds_come_before_renormalizing(self):
        # 1 +- 0.9 are cut to 0.5 and 1.5; then (1 + 2 + 1 + 1) / (1.5 + 3 + 0.5 + 1) = 5 / 6
        out = papo(self.P, self.A, on(self.P), 1.0, lam=0.9)
        np.testing.assert_allclose(out, row(1.5, 1.5, 0.5, 1.0) * 5 / 6, rtol=1e-6)
        out = papo_unscaled(self.P, self.A, on(self.P), 1.0, lam=0.2, w_min=0.9, w_max=1.1)
        np.testing.assert_allclose(out, row(1.1, 1.1, 0.9, 1.0), rtol=1e-6)

    def test_renormalizing_weighs_by_the_losses_token_weights(self):
        # sum c |A| = 0.5 + 1 + 4 + 0 = 5.5; sum c w |A| = 1.2 (0.5 + 1) + 0.8 x 4 = 5
        token_weights = row(0.5, 0.5, 4.0, 0.0)
        out = papo(self.P, self.A, on(self.P), 1.0, lam=0.2, token_weights=token_weights)
        np.testing.assert_allclose(out, row(1.2, 1.2, 0.8, 1.0) * 1.1, rtol=1e-6)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
class TestAnyWeighting:
    @pytest.mark.parametrize("garbage", [0.5, np.nan, np.inf])
    def test_strength_zero_is_the_mask_bit_for_bit(self, weighting, garbage):
        polarity, advantages, mask = batch()
        polarity[0, 1] = garbage
        for renormalize, key, s in (
            (True, None, 1.0),
            (True, None, np.nan),
            (False, make_key(0), 1.0),
        ):
            out = papo(
                polarity,
                advantages,
                mask,
                s,
                lam=0.0,
                weighting=weighting,
                renormalize=renormalize,
                key=key,
            )
            assert out.dtype == jnp.float32
            np.testing.assert_array_equal(out, mask.astype(np.float32))

    def test_phase_zero_and_neutral_tokens_give_one(self, weighting):
        polarity, advantages, mask = batch()
        # Exactly, renormalized too: a ratio of two sums in another order would be 1 + 3e-6.
        weigh = jax.jit(functools.partial(papo, lam=0.3, weighting=weighting))
        np.testing.assert_array_equal(weigh(polarity, advantages, mask, 0.0), mask)
        np.testing.assert_array_equal(weigh(0 * polarity, advantages, mask, 1.0), mask)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_batch_of_one_branch(self, weighting, sign):
        # no other branch to take from: `balanced` leaves 1; the others weigh alike what
        # renormalizing undoes
        polarity = sign * row(0.3, 0.3)
        out = papo_unscaled(polarity, row(1, 1), on(polarity), 1.0, lam=0.2, weighting=weighting)
        one = {"balanced": 1.0, "graded": 1 + 0.2 * sign * math.tanh(1)}.get(
            weighting, 1 + 0.2 * sign
        )
        np.testing.assert_allclose(out, row(one, one), rtol=1e-6)
        out = papo(polarity, row(1, 1), on(polarity), 1.0, lam=0.2, weighting=weighting)
        np.testing.assert_allclose(out, row(1, 1), rtol=1e-6)

    def test_nothing_to_renormalize_is_a_factor_of_one(self, weighting):
        polarity, advantages, mask = batch()
        results = [
            papo(
                polarity,
                0 * advantages,
                mask,
                1.0,
                lam=0.3,
                weighting=weighting,
                renormalize=renormalize,
            )
            for renormalize in (True, False)
        ]
        np.testing.assert_array_equal(*results)
        assert not np.any(
            papo(polarity, advantages, np.zeros((B, T), bool), 1.0, lam=0.3, weighting=weighting)
        )

    def test_no_gradient_passes(self, weighting):
        polarity, advantages, mask = batch()
        cotangents = make_rng(1).normal(size=(B, T))

        def product(polarity, advantages, s):
            return (
                cotangents * papo(polarity, advantages, mask, s, lam=0.3, weighting=weighting)
            ).sum()

        for gradient in jax.grad(product, argnums=(0, 1, 2))(polarity, advantages, 0.7):
            assert not np.any(gradient)

    @pytest.mark.parametrize("garbage", [7.0, np.nan, np.inf])
    def test_padding_changes_nothing(self, weighting, garbage):
        polarity, advantages, mask = batch()
        token_weights = make_rng(1).random((B, T), np.float32)
        want = papo(
            polarity,
            advantages,
            mask,
            0.8,
            lam=0.3,
            weighting=weighting,
            token_weights=token_weights,
        )
        wide = [
            np.pad(np.where(mask, each, garbage), ((0, 2), (0, 3)), constant_values=garbage)
            for each in (polarity, advantages, token_weights)
        ]
        polarity, advantages, token_weights = (each.astype(np.float32) for each in wide)
        wider = np.pad(mask, ((0, 2), (0, 3)))
        got = papo(
            polarity,
            advantages,
            wider,
            0.8,
            lam=0.3,
            weighting=weighting,
            token_weights=token_weights,
        )
        np.testing.assert_allclose(got, np.pad(want, ((0, 2), (0, 3))), rtol=3e-6)

    def test_rows_may_come_in_any_order(self, weighting):
        arrays, order = batch(), [2, 0, 1]
        want = papo(*arrays, 0.8, lam=0.3, weighting=weighting)
        got = papo(*(each[order] for each in arrays), 0.8, lam=0.3, weighting=weighting)
        np.testing.assert_allclose(got, np.asarray(want)[order], rtol=3e-6)

    def test_the_random_control_has_the_same_weights_elsewhere(self, weighting):
        polarity, advantages, mask = batch()
        plain = np.asarray(
            papo_unscaled(polarity, advantages, mask, 0.8, lam=0.3, weighting=weighting)
        )
        shuffled = [
            np.asarray(
                papo_unscaled(
                    polarity,
                    advantages,
                    mask,
                    0.8,
                    lam=0.3,
                    weighting=weighting,
                    key=make_key(seed),
                )
            )
            for seed in range(4)
        ]
        for each in shuffled:
            np.testing.assert_array_equal(np.sort(each[mask]), np.sort(plain[mask]))
            assert not each[~mask].any()
        assert (
            len({each.tobytes() for each in [plain, *shuffled]}) > 3
        )  # a key decides, and not the polarity
        again = papo_unscaled(
            polarity, advantages, mask, 0.8, lam=0.3, weighting=weighting, key=make_key(0)
        )
        np.testing.assert_array_equal(again, shuffled[0])


@settings(max_examples=25)
@given(floats(-2, 2), floats(-3, 3), masks, phases, st.floats(0, 0.5, width=32), weightings)
def test_bounded_and_positive(polarity, advantages, mask, s, lam, weighting):
    out = np.asarray(papo_unscaled(polarity, advantages, mask, s, lam=lam, weighting=weighting))
    assert (out[~mask] == 0).all()
    assert (out[mask] >= 1 - lam - 1e-6).all() and (out[mask] <= 1 + lam + 1e-6).all()
    # s > 0 never favors a contracting token over an expanding one
    expanding, contracting = out[mask & (polarity > 0)], out[mask & (polarity < 0)]
    if expanding.size and contracting.size:
        assert s * (expanding.min() - contracting.max()) >= -1e-6


@settings(max_examples=25)
@given(floats(-2, 2), floats(-3, 3), masks, phases, weightings, st.booleans())
def test_renormalizing_keeps_the_pressure(polarity, advantages, mask, s, weighting, equal):
    token_weights = np.linspace(1.0 if equal else 0.1, 1.0, B * T, dtype=np.float32).reshape(B, T)
    out = papo(
        polarity, advantages, mask, s, lam=0.5, weighting=weighting, token_weights=token_weights
    )
    pull = np.abs(token_weights * advantages, dtype=np.float64) * mask
    np.testing.assert_allclose((pull * out).sum(), pull.sum(), rtol=ROUNDING, atol=1e-30)


@pytest.mark.parametrize("key", [None, 0], ids=["plain", "random"])
def test_renormalizing_with_equal_token_weights_and_after_the_permutation(key):
    polarity, advantages, mask = batch()
    out = papo(polarity, advantages, mask, 1.0, lam=0.5, key=None if key is None else make_key(key))
    pull = np.abs(advantages, dtype=np.float64) * mask
    np.testing.assert_allclose((pull * out).sum(), pull.sum(), rtol=ROUNDING)


@settings(max_examples=25)
@given(floats(-2, 2), floats(-3, 3), phases)
def test_balanced_keeps_the_mass_of_polarity(polarity, advantages, s):
    # w+ M+ + w- M- = rho* M + (1 - rho*) M
    out = papo_unscaled(polarity, advantages, on(polarity), s, lam=0.5, weighting="balanced")
    mass = np.abs(polarity, dtype=np.float64)
    np.testing.assert_allclose((out * mass).sum(), mass.sum(), rtol=ROUNDING, atol=1e-30)


def test_unknown_weightings_are_refused():
    with pytest.raises(ValueError, match="'loud'.*sign"):
        reweighting.papo(row(1.0), row(1.0), on(row(1.0)), jnp.array(1.0), weighting="loud")
