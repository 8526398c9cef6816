"""Objectives of the families by hand, with their presets' numbers, and their traps.

Shapes: B sequences, T time.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest

from papo_jax.methods import presets
from papo_jax.methods.token_batch import TokenBatch

assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)

# Two answers, of two tokens and of one; the last slot is padding. Under PPO's clip at 0.2 the three
# losses are # -min(1.5, 1.2) = -1.2, -min(0.95, 0.95) = -0.95 and -min(-2 x 0.5, -2 x 0.8) = 1.6:
# together -0.55, and only the # second has a gradient, -r A = -0.95.
RATIO = np.array([[1.5, 0.95], [0.5, 1.0]], np.float32)
ADVANTAGES = np.array([[1.0, 1.0], [-2.0, 0.0]], np.float32)
ENTROPY = np.array([[0.5, 2.0], [1.0, 0.0]], np.float32)  # nats, together 3.5
MASK = np.array([[True, True], [True, False]])
PROBABILITY = np.array([[0.3, 0.57], [0.4, 0.5]], np.float32)  # now; before it was 0.2, 0.6, 0.8

RATIO_RULES = ("grpo", "dapo", "clip_low", "ce_gppo", "gspo", "dr_grpo", "cispo", "reinforce")
ALL = (*RATIO_RULES, "entropy_bonus", "adaptive_entropy", "entropy_advantage", "aer", "epo")
GIVEN = dict(
    adaptive_coefficient=0.004,
    rollout_entropy=0.1,
    past_entropy=0.75,
    accuracy=np.full((2, 2), 0.25, np.float32),
)


class Found(NamedTuple):
    """What an objective makes of a batch: sums, slopes, and (sum, count) of two of its metrics."""

    total: float
    count: int
    slope: np.ndarray
    entropy_slope: np.ndarray
    clipped: tuple[float, float]
    outside: tuple[float, float]


def act(
    name,
    changes=None,
    *,
    ratio=RATIO,
    advantages=ADVANTAGES,
    mask=MASK,
    probability=PROBABILITY,
    entropy=ENTROPY,
    max_new_tokens=10,
    token_weights=None,
    **given,
):
    """Applies a preset's objective, its numbers changed or not, to a batch: `Found`."""
    ratio, advantages, probability = (
        np.asarray(array, np.float32) for array in (ratio, advantages, probability)
    )
    method = presets.get(name, **(changes or {}))
    logprob, objective = np.log(probability), method.objective
    reduction = objective.reduction(mask, max_new_tokens)
    if token_weights is not None:
        reduction = reduction._replace(token_weights=token_weights)
    known = {"reference_logprob": logprob, "dual_clip": method.dual_clip, **GIVEN, **given}

    def total(logprob, entropy):
        old = np.log(probability / ratio)
        tokens = TokenBatch(logprob, old, advantages, mask, entropy=entropy, **known)
        out = objective.loss(tokens, reduction)
        return out.total, out

    slopes, out = jax.grad(total, argnums=(0, 1), has_aux=True)(
        logprob, np.asarray(entropy, np.float32)
    )
    metrics = {key: tuple(float(number) for number in value) for key, value in out.metrics.items()}
    return Found(
        float(out.total),
        int(out.count),
        *slopes,
        metrics["clip/fraction"],
        metrics["clip/ratio_outside"],
    )


class TestRatios:
    def test_dr_grpo(self):
        # -0.55 and the slope -0.95, over a limit of 10 tokens; two answers
        found = act("dr_grpo", max_new_tokens=10)
        assert_near(found.total, -0.055)
        assert_near(found.slope, [[0, -0.095], [0, 0]])
        assert found.count == 2 and found.clipped == (2, 3)

    def test_dr_grpo_divides_by_the_limit_and_not_by_the_widest_answer(self):
        assert_near(act("dr_grpo", max_new_tokens=20).total, -0.0275)

        def wide(array):
            return np.pad(array, ((0, 0), (0, 5)), mode="edge")

        batch = dict(
            ratio=wide(RATIO),
            advantages=wide(ADVANTAGES),
            probability=wide(PROBABILITY),
            entropy=wide(ENTROPY),
        )
        assert_near(
            act("dr_grpo", max_new_tokens=10, mask=np.pad(MASK, ((0, 0), (0, 5))), **batch).total,
            -0.055,
        )

    def test_gspo(self):
        # s = sqrt(1.5 x 0.95) = 1.19373 is clipped to 1.0004, s = 0.5 to 0.9997: -(1.0004 + 1.0004)
        # / 2 + 2 x 0.9997
        found = act("gspo")
        assert_near(found.total, 0.999)
        assert found.count == 2 and found.clipped == (3, 3) and not np.any(found.slope)

    def test_gspo_at_grpos_clip_keeps_what_its_own_clips(self):
        # 1.1937336 < 1.2, so both tokens of the first answer have -s / 2; 0.5 < 0.8 is clipped to
        # -2 x 0.8
        found = act("gspo", {"clip_low": 0.2, "clip_high": 0.2})
        assert_near(found.total, -1.1937336 + 1.6)
        assert_near(found.slope, [[-0.5968668, -0.5968668], [0, 0]])
        # s = 1.001 and 0.999 are outside 1.0004 and 0.9997, far inside 0.2
        small = {"ratio": [[1.001, 1.001], [0.999, 1]]}
        assert act("gspo", **small).clipped == (3, 3)
        assert act("gspo", {"clip_low": 0.2, "clip_high": 0.2}, **small).clipped == (0, 3)

    def test_gspo_sees_the_answer_and_grpo_the_token(self):
        # 1.5 x 2/3 = 1, so s = 1: each has -s A / 2 = -1/2. GRPO clips the first and gives the
        # second -(2/3) / 2
        batch = {"ratio": [[1.5, 2 / 3], [1, 1]], "advantages": [[1, 1], [0, 0]]}
        assert_near(act("gspo", **batch).slope, [[-0.5, -0.5], [0, 0]])
        assert_near(act("grpo", **batch).slope, [[0, -1 / 3], [0, 0]])

    @pytest.mark.parametrize("name", ["reinforce", "rloo"])
    def test_reinforce(self, name):
        # nothing is clipped: -(1.5 + 0.95) + 2 x 0.5, slopes -r A, two answers whatever their
        # lengths
        found = act(name)
        assert_near(found.total, -1.45)
        assert_near(found.slope, [[-1.5, -0.95], [1.0, 0]])
        assert found.count == 2 and found.clipped == (0, 3)

    def test_cispo(self):
        # all ratios are below 5: -(1.5 log 0.3 + 0.95 log 0.57 - 2 x 0.5 log 0.4) = 1.80596 +
        # 0.53401 - 0.91629
        found = act("cispo")
        assert_near(found.total, 1.42368)
        assert_near(found.slope, [[-1.5, -0.95], [1.0, 0]])
        assert found.count == 3 and found.clipped == (0, 3) and found.outside == (0, 3)

    def test_cispo_keeps_a_gradient_outside_its_bounds(self):
        # TRL: 6 counts as 5, 0.01 as itself, and 1 as 1 (with its epsilon_high left at 0.2 it would
        # count as 0.2)
        found = act("cispo", ratio=[[6, 1], [0.01, 1]])
        assert_near(found.slope, [[-5, -1], [0.02, 0]])
        assert found.clipped == (0, 3) and found.outside == (1, 3)
        # verl: 1.5 counts as 1.2 and 0.5 as 0.8
        assert_near(
            act("cispo", {"weight_low": 0.8, "weight_high": 1.2}).slope, [[-1.2, -0.95], [1.6, 0]]
        )

    def test_ce_gppo(self):
        # PPO's losses but for the third, 0.75 x 0.8 x 2 = 1.2; the clipped tokens' slopes are as
        # large as their losses
        found = act("ce_gppo")
        assert_near(found.total, -1.2 - 0.95 + 1.2)
        assert_near(found.slope, [[-1.2, -0.95], [1.2, 0]])
        assert found.count == 3 and found.clipped == (0, 3) and found.outside == (2, 3)

    def test_ce_gppo_ties_beta1_to_wrong_answers(self):
        assert_near(act("ce_gppo", {"below_beta": 0.5}).slope, [[-1.2, -0.95], [0.8, 0]])
        assert_near(act("ce_gppo", {"above_beta": 0.5}).slope, [[-0.6, -0.95], [1.2, 0]])

    def test_ce_gppo_clips_a_second_time_at_ten(self):
        # A < 0: 9 is let through, 12 costs 10 and has no slope; A > 0 and r = 12 is an ordinary
        # upper clip
        found = act("ce_gppo", ratio=[[9, 12], [12, 1]], advantages=[[-1, -1], [1, 0]])
        assert_near(found.total, 9 + 10 - 1.2)
        assert_near(found.slope, [[9, 0], [-1.2, 0]])
        assert found.clipped == (1, 3)

    def test_clip_low(self):
        # the third costs 2 x 0.9 and not 2 x 0.8; the lower clip does not act on A > 0
        found = act("clip_low")
        assert_near(found.total, -1.2 - 0.95 + 1.8)
        assert_near(found.slope, [[0, -0.95], [0, 0]])
        assert found.count == 3 and found.clipped == (2, 3)
        # wrong answers' tokens at 0.85 are stopped, those at 0.95 are not; at 0.2 neither would be
        wrong = {"ratio": [[0.85, 0.95], [1.1, 1]], "advantages": [[-1, -1], [-1, 0]]}
        assert_near(act("clip_low", **wrong).slope, [[0, 0.95], [1.1, 0]])
        assert_near(act("clip_low", {"clip_low": 0.2}, **wrong).slope, [[0.85, 0.95], [1.1, 0]])

    def test_qaes_loss_is_dapos(self):
        # the upper clip at 1.28: -1.28 - 0.95 + 1.6, three tokens
        found = act("qae")
        assert_near(found.total, -0.63)
        assert_near(found.slope, [[0, -0.95], [0, 0]])
        assert found.count == 3 and found.clipped == (2, 3)

    @pytest.mark.parametrize("name", RATIO_RULES)
    def test_one_update_a_rollout_is_the_plain_policy_gradient(self, name):
        # r = 1: the slope is -c A with c 1/|o| (grpo, gspo), 1/limit (dr_grpo) or 1
        found = act(name, ratio=np.ones((2, 2)))
        c = {"grpo": [[0.5], [1]], "gspo": [[0.5], [1]], "dr_grpo": [[0.1], [0.1]]}.get(
            name, [[1], [1]]
        )
        assert_near(found.slope, -np.array(c) * ADVANTAGES)
        assert found.clipped == (0, 3) and found.outside == (0, 3)


class TestEntropy:
    def test_entropy_bonus(self):
        # -0.55 less 1e-3 x 3.5 nats
        found = act("entropy_bonus")
        assert_near(found.total, -0.5535)
        assert_near(found.slope, [[0, -0.95], [0, 0]])
        assert_near(found.entropy_slope, [[-1e-3, -1e-3], [-1e-3, 0]])
        assert found.count == 3 and found.clipped == (2, 3)

    def test_adaptive_entropy_acts_only_below_its_target(self):
        # -0.55 less 0.003 x 3.5; at 0.2 nats itself it is off
        found = act("adaptive_entropy", adaptive_coefficient=0.003, rollout_entropy=0.19)
        assert_near(found.total, -0.5605)
        assert_near(found.entropy_slope, [[-0.003, -0.003], [-0.003, 0]])
        off = act("adaptive_entropy", adaptive_coefficient=0.003, rollout_entropy=np.float32(0.2))
        assert_near(off.total, -0.55)
        assert_near(off.slope, found.slope)
        assert found.count == 3 and not np.any(off.entropy_slope)

    def test_entropy_advantage(self):
        # added: min(0.4 x 0.5, 1/2) = 0.2, min(0.4 x 2, 1/2) = 0.5, min(0.4 x 1, 2/2) = 0.4, so A'
        # = 1.2, 1.5, -1.6 # losses -1.28 x 1.2 = -1.536, -0.95 x 1.5 = -1.425, 1.6 x 0.8 = 1.28
        found = act("entropy_advantage")
        assert_near(found.total, -1.681)
        assert_near(found.slope, [[0, -1.425], [0, 0]])
        assert found.count == 3 and found.clipped == (2, 3) and not np.any(found.entropy_slope)

    def test_entropy_advantage_never_turns_the_sign(self):
        # at ratio 1 the slope is -A': from A to 3/2 A above 0, from A to A/2 below, and nothing
        # where A = 0
        grid = np.meshgrid([-5, -1, -0.01, 0, 0.01, 1, 5], [0, 0.1, 1, 12])
        advantages, entropy = (axis.astype(np.float32) for axis in grid)
        ones = np.ones(advantages.shape, np.float32)
        found = act(
            "entropy_advantage",
            ratio=ones,
            advantages=advantages,
            mask=ones > 0,
            probability=ones / 2,
            entropy=entropy,
        )
        np.testing.assert_array_equal(np.sign(found.slope), -np.sign(advantages))
        assert (-found.slope >= advantages).all() and (
            -found.slope <= advantages + np.abs(advantages) / 2
        ).all()

    def test_aer(self):
        # right 1/4 of the time: 0.004 x (0.5 - 0.25) / 0.5 = 0.002; right half of the time: none;
        # -0.55 - 0.002 x 2.5
        found = act(
            "aer",
            adaptive_coefficient=0.004,
            accuracy=np.array([[0.25, 0.25], [0.5, 0.5]], np.float32),
        )
        assert_near(found.total, -0.555)
        assert_near(found.slope, [[0, -0.95], [0, 0]])
        assert_near(found.entropy_slope, [[-0.002, -0.002], [0, 0]])
        assert found.count == 3
        # never right: the whole bonus; always right: none and no malus
        accuracy = np.array([[0, 0], [1, 1]], np.float32)
        assert_near(
            act("aer", adaptive_coefficient=0.004, accuracy=accuracy).entropy_slope,
            [[-0.004, -0.004], [0, 0]],
        )

    def test_epo(self):
        # corridor 0 to 1.5: only 2.0 leaves it. -0.55 - 1e-3 (3.5 - 0.1) + 0.01 x 3 (2 - 1 - log
        # 2), each k3's slope 1 - 2
        found = act("epo", past_entropy=0.75, reference_logprob=np.log(2 * PROBABILITY))
        assert_near(found.total, -0.55 - 0.0034 + 0.0092056)
        assert_near(found.slope, [[-0.01, -0.96], [-0.01, 0]])
        assert_near(found.entropy_slope, [[-1e-3, -1e-3], [-1e-3, 0]])
        assert found.count == 3 and found.clipped == (2, 3)

    def test_epos_penalty_has_no_gradient(self):
        # past mean 0.4: 2.0 and 1.0 are above 0.8, so 2 x 1e-3 x 0.1 in the loss and nothing in the
        # slopes
        found, without = (
            act("epo", {"corridor_penalty": size}, past_entropy=0.4) for size in (0.1, 0.0)
        )
        assert_near(found.total - without.total, 2e-4, atol=1e-6)
        np.testing.assert_array_equal(found.slope, without.slope)
        np.testing.assert_array_equal(found.entropy_slope, without.entropy_slope)


@pytest.mark.parametrize("name", ALL)
def test_what_stands_on_padding_does_not_leak(name):
    spoilt = {
        key: np.where(MASK, array, np.float32(np.nan))
        for key, array in {
            "ratio": RATIO,
            "advantages": ADVANTAGES,
            "probability": PROBABILITY,
            "entropy": ENTROPY,
        }.items()
    }
    clean, found = act(name), act(name, **spoilt)
    jax.tree.map(np.testing.assert_array_equal, found, clean)
    assert np.isfinite(clean.total) and found.slope[1, 1] == found.entropy_slope[1, 1] == 0


@pytest.mark.parametrize("name", sorted(set(ALL) - {"gspo"}))
def test_a_loss_follows_the_token_weights_that_it_is_given(name):
    found = act(name, token_weights=presets.get(name).objective.reduction(MASK, 10).token_weights)
    jax.tree.map(np.testing.assert_array_equal, found, act(name))
    assert found.count == presets.get(name).objective.reduction(MASK, 10).count
    weights = np.float32([[2, 2], [2, 0]]) * np.asarray(
        presets.get(name).objective.reduction(MASK, 10).token_weights
    )
    assert_near(act(name, token_weights=weights).total, 2 * found.total)
