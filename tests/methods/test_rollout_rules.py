"""Rules that act once a rollout, by hand: advantages, dropped answers, coefficients that move.

Shapes: N prompts, G samples, B = N G sequences, T time.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kernels.token_stats import TokenStats
from papo_jax.learner.minibatches import plan_updates
from papo_jax.learner.state import init_state
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import phase, presets
from papo_jax.methods.entropy_terms import adaptive_entropy, aer
from papo_jax.methods.token_batch import SampledTokens, TokenBatch
from tests.support.rows import make_grades, make_rollout
from tests.support.seeds import make_key

assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)


def stats_of(probability):
    """Token statistics of which only log p matters."""
    zero = np.zeros(np.shape(probability), np.float32)
    return TokenStats(np.log(np.asarray(probability, np.float32)), zero, zero, zero)


def token_advantages(name, probability, advantages, mask):
    tokens = SampledTokens(stats_of(probability), advantages, mask)
    return presets.get(name).token_advantage_rule(tokens)


def advantages_of(name, rewards):
    return presets.get(name).advantage_rule(np.asarray(rewards, np.float32))


def at_ratio_one(name, advantages, mask, **known):
    """(`LossSum`, slopes in log p and in H) where every token has p = 1/2 as before, and 1 nat."""
    objective, half = presets.get(name).objective, np.full(mask.shape, np.log(0.5), np.float32)

    def total(logprob, entropy):
        out = objective(TokenBatch(logprob, half, advantages, mask, entropy=entropy, **known))
        return out.total, out

    slopes, out = jax.grad(total, argnums=(0, 1), has_aux=True)(
        half, np.ones(mask.shape, np.float32)
    )
    return out, *slopes


def weigh(name, rewards, mask, entropy=0.5, state=None):
    """A rollout's weighted advantages: tokens all of p = 1/2, no answer left out beforehand."""
    return compute_weighted_advantages(
        make_rollout(stats_of(np.full(mask.shape, 0.5)), mask, entropy=entropy),
        make_grades(rewards),
        phase.init() if state is None else state,
        key=make_key(0),
        method=presets.get(name),
        max_new_tokens=10,
    )[0]


def phases(name, entropies):
    """The entropy's trajectories after rollouts of these entropies."""
    found = [phase.init()]
    for entropy in entropies:
        weighted = weigh(name, [[1, 0]], np.ones((2, 2), bool), entropy, found[-1])
        found.append(weighted.entropy_trajectory)
    return found[1:]


class TestBaselines:
    @pytest.mark.parametrize(
        "name, right, wrong",
        [("reinforce", 0.75, -0.25), ("dr_grpo", 0.75, -0.25), ("rloo", 1, -1 / 3)],
    )
    def test_one_right_of_four(self, name, right, wrong):
        # less the mean, 1/4, without a division; leave one out: 1 - 0/3 and 0 - 1/3
        assert_near(advantages_of(name, [[1, 0, 0, 0]]), [[right, wrong, wrong, wrong]])

    def test_qae(self):
        # three wrong of 8: a share of 3/8 < 0.4 is not above 0, so b = 1 and only wrong ones act:
        # -1 / sqrt(3/8 x 5/8) # four wrong of 8: 4/8 >= 0.4 is, so b = 0 and only right ones act: 1
        # / (1/2)
        three, four = [0] * 3 + [1] * 5, [0] * 4 + [1] * 4
        assert_near(
            advantages_of("qae", [three, four]), [[-2.0655911] * 3 + [0] * 5, [0] * 4 + [2] * 4]
        )

    def test_qae_is_not_the_interpolation_of_its_code(self):
        # torch.quantile: position 0.4 x 7 = 2.8 is 0.8 of the way from 0 to 1, so the right would
        # get 0.2 / std, not 0
        three = [0] * 3 + [1] * 5
        assert_near(np.quantile(three, 0.4), 0.8)
        np.testing.assert_array_equal(advantages_of("qae", [three])[0, 3:], np.zeros(5))

    @pytest.mark.parametrize("samples, wrong", [(5, 2), (10, 4), (20, 8), (1000, 400)])
    def test_qaes_share_is_reached_exactly(self, samples, wrong):
        # 0.4 G wrong is enough for b = 0, which rounding must not move; one fewer is not
        enough, fewer = ([0] * n + [1] * (samples - n) for n in (wrong, wrong - 1))
        found = np.sign(advantages_of("qae", [enough, fewer]))
        np.testing.assert_array_equal(
            found, [enough, [-1] * (wrong - 1) + [0] * (samples - wrong + 1)]
        )

    def test_qae_gives_nothing_where_all_rewards_are_equal(self):
        assert not np.any(advantages_of("qae", [[0] * 5, [1] * 5]))


# One right answer of two tokens and three wrong ones of two, one and two; the second group of two
# is all wrong.
REWARDS, ANSWERS = [[1, 0], [0, 0]], np.array([[1, 1], [1, 1], [1, 0], [1, 1]], bool)


class TestSignedRewards:
    @pytest.mark.parametrize(
        "name, advantages, kept",
        [
            ("psr", [1, 0, 0, 0], [True, False, False, False]),
            ("nsr", [0, -1, -1, -1], [False, True, True, True]),
            ("w_reinforce", [0.1, -1, -1, -1], [True] * 4),
        ],
    )
    def test_which_answers_stay(self, name, advantages, kept):
        out = weigh(name, REWARDS, ANSWERS)
        assert_near(out.advantages, np.array(advantages)[:, None] * ANSWERS)
        np.testing.assert_array_equal(out.loss_mask, np.array(kept)[:, None] & ANSWERS)
        np.testing.assert_array_equal(out.weights, out.loss_mask)

    @pytest.mark.parametrize(
        "name, total, tokens", [("psr", -2, 2), ("nsr", 5, 5), ("w_reinforce", 4.8, 7)]
    )
    def test_the_loss_divides_by_what_stays(self, name, total, tokens):
        # -A summed: -1 x 2; 1 x 5; -0.1 x 2 + 1 x 5. The slope is -A in each
        rollout = weigh(name, REWARDS, ANSWERS)
        out, slope, _ = at_ratio_one(name, rollout.advantages, rollout.loss_mask)
        assert_near(out.total, total)
        assert_near(slope, -rollout.advantages)
        assert out.count == tokens and out.metrics["clip/fraction"] == (0, tokens)

    @pytest.mark.parametrize("name", ["psr", "nsr", "w_reinforce"])
    def test_the_ratio_is_clipped_at_a_fifth(self, name):
        # as in the authors' code: r = 1.5 with A = 1 costs 1.2, r = 0.5 with A = -1 costs 0.8,
        # neither with a slope
        old, ones = np.zeros((1, 2), np.float32), np.ones((1, 2), bool)
        ratio, advantages = np.log(np.float32([[1.5, 0.5]])), np.float32([[1, -1]])
        out = presets.get(name).objective(TokenBatch(ratio, old, advantages, ones))
        assert_near(out.total, -1.2 + 0.8)
        assert out.count == 2 and out.metrics["clip/fraction"] == (2, 2)

    @pytest.mark.parametrize(
        "name, kept, updates",
        [
            ("psr", 3, [2, 1]),
            ("nsr", 5, [2, 2, 1]),
            ("w_reinforce", 8, [2] * 4),
            ("psr", 0, [0]),
            ("grpo", 3, [1, 1, 1, 0]),
        ],
    )
    def test_dropped_answers_make_fewer_updates(self, name, kept, updates):
        # 8 answers in 4 minibatches of 2: those that stay fill minibatches. GRPO would deal 3 out,
        # where 5 are left out
        rows = np.isin(np.arange(8), np.array([1, 4, 6, 2, 7, 0, 3, 5])[:kept])
        state = init_state({}, optax.identity(), 0)._replace(key=jax.random.key_data(make_key(0)))
        plan = plan_updates(state, rows, minibatches=4, epochs=1, pack=presets.get(name).pack)
        found = np.asarray(plan.rows)[np.asarray(plan.due)]
        assert [int(rows[each].sum()) for each in found] == updates
        assert (
            sorted(row for each in found for row in each if rows[row])
            == np.flatnonzero(rows).tolist()
        )
        assert all(len(each) == 2 for each in found)


class TestA3PO:
    # A right answer of three tokens and a wrong one of two, whose padding stands at p = 1.
    PROBABILITY = [[0.9, 0.1, 0.5], [0.05, 0.8, 1.0]]
    ADVANTAGES = np.array([[1, 1, 1], [-1, -1, 0]], np.float32)
    MASK = np.array([[1, 1, 1], [1, 1, 0]], bool)

    def test_ranks_within_the_answer_and_without_padding(self):
        # right: max(1, int(0.6)) = 1 token, the rarest of its own answer though 0.05 stands
        # elsewhere; # wrong: the commonest of its own though 0.9 stands elsewhere, and 1.0 on
        # padding
        found = token_advantages("a3po", self.PROBABILITY, self.ADVANTAGES, self.MASK)
        assert_near(found, [[1, 5, 1], [-1, -5, 0]])

    def test_loss(self):
        # at ratio 1, a mean over each answer: -(1 + 5 + 1) / 3 + (1 + 5) / 2
        enlarged = token_advantages("a3po", self.PROBABILITY, self.ADVANTAGES, self.MASK)
        out, slope, _ = at_ratio_one("a3po", enlarged, self.MASK)
        assert_near(out.total, -7 / 3 + 6 / 2)
        assert_near(slope, [[-1 / 3, -5 / 3, -1 / 3], [1 / 2, 5 / 2, 0]])
        assert out.count == 2 and out.metrics["clip/fraction"] == (0, 5)

    @pytest.mark.parametrize(
        "length, number", [(1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (14, 2), (15, 3)]
    )
    def test_a_fifth_of_each_answer_and_at_least_one_token(self, length, number):
        # int(0.2 x length); of equally likely tokens the first
        mask = np.arange(16)[None] < length
        found = token_advantages("a3po", np.ones((1, 16)), mask.astype(np.float32), mask)
        np.testing.assert_array_equal(
            found[0], [5.0] * number + [1.0] * (length - number) + [0.0] * (16 - length)
        )

    def test_answers_without_an_advantage_stay_without_one(self):
        found = token_advantages("a3po", self.PROBABILITY, 0 * self.ADVANTAGES, self.MASK)
        assert not np.any(found)


class TestCoefficients:
    def test_adaptive_entropy_by_hand(self):
        # 1e-4 up below 0.2 nats and down from 0.2 on, within [0, 0.005]
        def moved(coefficient, entropy):
            moved = adaptive_entropy.step_coefficient(
                jnp.float32(coefficient), jnp.float32(entropy), jnp.float32(1.0)
            )
            return float(moved)

        assert_near(
            [moved(0.002, 0.19), moved(0.002, 0.2), moved(0, 0.3), moved(0.00495, 0.1)],
            [0.0021, 0.0019, 0, 0.005],
        )

    def test_adaptive_entropys_coefficient_stays_while_the_bonus_is_off(self):
        # up, up, down and off, up from where it was: had it been forgotten, the last would be 1e-4
        states = phases("adaptive_entropy", [0.1, 0.1, 0.3, 0.1])
        assert_near([state.adaptive_coefficient for state in states], [1e-4, 2e-4, 1e-4, 2e-4])
        advantages, mask = np.ones((1, 1), np.float32), np.ones((1, 1), bool)
        slopes = [
            at_ratio_one(
                "adaptive_entropy",
                advantages,
                mask,
                adaptive_coefficient=state.adaptive_coefficient,
                rollout_entropy=state.entropy,
            )[2]
            for state in states
        ]
        assert_near(np.array(slopes).reshape(-1), [-1e-4, -2e-4, 0, -2e-4])

    def test_aer_by_hand(self):
        # H_0 = 1, target 0.4 nats: 0 + 1e-3 x (0.4 - 1) < 0, then + 1e-3 x 0.1, + 1e-3 x 0.4, -
        # 1e-3 x 0.2
        assert_near(
            [state.adaptive_coefficient for state in phases("aer", [1.0, 0.3, 0.0, 0.6])],
            [0, 1e-4, 5e-4, 3e-4],
        )
        # 0.0099 + 1e-3 x 0.3 is above the bound
        assert_near(
            aer.follow_target(jnp.float32(0.0099), jnp.float32(0.1), jnp.float32(1.0)), 0.01
        )

    @pytest.mark.parametrize("name, step", [("adaptive_entropy", 1e-4), ("aer", 3e-4)])
    def test_an_entropy_that_is_not_finite_leaves_the_coefficient(self, name, step):
        # 0.1 nats moves it by 1e-4, or by 1e-3 x (0.4 x 1 - 0.1); NaN in between not at all
        assert_near(
            [state.adaptive_coefficient for state in phases(name, [1.0, 0.1, np.nan, 0.1])],
            [0, step, step, 2 * step],
        )
