"""Tokens that leave the loss before an update, and answers whose tokens differ.

Shapes: B sequences, T time.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import TokenStats
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import phase, presets, token_random
from papo_jax.methods.ablations import one_branch
from papo_jax.methods.token_batch import SampledTokens, TokenBatch
from papo_jax.methods.token_selection import clip_v
from tests.support.rows import assert_near, in_slots, make_grades, make_rollout, row
from tests.support.seeds import make_key


@functools.partial(
    jax.jit, static_argnames="name", compiler_options={"xla_backend_optimization_level": 0}
)
def weigh_and_loss(rollout, grades, numbers, *, name):
    method = presets.get(name, **numbers)
    out, _ = compute_weighted_advantages(
        rollout,
        grades,
        phase.init(),
        key=make_key(0),
        method=method,
        max_new_tokens=rollout.stats.logprob.shape[1],
    )
    logprob = rollout.stats.logprob
    tokens = TokenBatch(logprob, logprob, out.weights * out.advantages, out.loss_mask)
    return out, method.objective(tokens)


class TestDropped:
    """Clip_B, Clip_V and single branches, through the learner.

    Which tokens leave, and by how many the loss is divided.
    """

    @staticmethod
    def weighed(
        name, *, entropy=((0.0,), (0.0,)), unit=((0.0,), (0.0,)), rewards=(1.0, 0.0), numbers=None
    ):
        """A right and a wrong answer, A = 1 and -1 unless stated otherwise.

        Returns:
          (which tokens stay, count, total of the loss).
        """
        entropy, unit = np.asarray(entropy), np.asarray(unit)
        (_, tokens), slots = np.broadcast_shapes(entropy.shape, unit.shape), 6
        mask = np.arange(slots) < np.full((2, 1), tokens)
        stats = TokenStats(
            *(
                in_slots(np.broadcast_to(each, (2, tokens)), slots)
                for each in (-1.0, 0.0, entropy, unit)
            )
        )
        out, loss = weigh_and_loss(
            make_rollout(stats, mask, entropy=1),
            make_grades(row(*rewards)),
            numbers or {},
            name=name,
        )
        assert_near(out.loss_weights.sum(), 1)
        np.testing.assert_array_equal(out.weights, out.loss_mask)
        assert not out.loss_mask[:, tokens:].any()
        return np.asarray(out.loss_mask)[:, :tokens], int(loss.count), float(loss.total)

    # p = 1/e. Nine tokens with H = 1, so S = p (H - 1) = 0, and one with S = s: mean s / 10,
    # deviation 3 abs(s) / 10, so that # it stands three deviations from the mean, on the side of
    # its sign, and the others a third of one on the other. # The last two stay for standing in the
    # right answer and for S > 0.
    @pytest.mark.parametrize(
        "answer, entropy, mu, dropped",
        [(1, 0, 2.5, 1), (1, 0, 2.99, 1), (1, 0, 3.01, 0), (0, 0, 2.5, 0), (1, 3, 2.5, 0)],
    )
    def test_clip_b(self, answer, entropy, mu, dropped):
        entropies = np.ones((2, 5), np.float32)
        entropies[answer, 2] = entropy
        stays, count, total = self.weighed("clip_b", entropy=entropies, numbers={"batch_mu": mu})
        assert (~stays).sum() == dropped and stays[answer, 2] != dropped
        assert count == 10 - dropped  # from the denominator too
        assert_near(total, -5 + (5 - dropped), rtol=1e-4)
        assert (
            self.weighed("clip_b", entropy=0.3 * np.ones((2, 5)))[1] == 10
        )  # nothing where all are equal

    # T is about 1 everywhere and its deviation below 0.08, so that all are above 8.5 deviations
    # from 0, and none from the mean
    UNIT = np.array([[1.2, 1.0, 1.0], [1.0, 1.1, 1.05]])

    @pytest.mark.parametrize(
        "share, dropped",
        [(1e-4, [1]), (0.33, [1]), (0.34, [1, 2]), (0.5, [0, 1, 2]), (1.0, [0, 1, 2])],
    )
    def test_clip_v(self, share, dropped):
        # int(share 6) = 0, at least one; 1, 2, 3, 6: the largest of the wrong answer, never the
        # right one's, which are larger
        stays, count, total = self.weighed(
            "clip_v", unit=self.UNIT, numbers={"vocabulary_share": share}
        )
        assert stays[0].all() and np.flatnonzero(~stays[1]).tolist() == dropped
        assert count == 6 - len(dropped)
        assert_near(total, -3 + 3 - len(dropped), rtol=1e-4)

    def test_clip_vs_threshold(self):
        # the deviation of three 0 and an x is x sqrt(3) / 4, so x is 4 / sqrt(3) = 2.309 of them
        # from 0
        for mu, stay in ((2.30, 3), (2.32, 4), (8.5, 4)):
            assert (
                self.weighed(
                    "clip_v", unit=np.array([[0.0, 0.0], [0.0, 0.7]]), numbers={"vocabulary_mu": mu}
                )[1]
                == stay
            )
        assert self.weighed("clip_v", unit=self.UNIT, rewards=(0.0, 0.0))[1] == 6  # A = 0 stays

    @pytest.mark.parametrize("tokens, number", [(9_999, 1), (19_999, 1), (20_000, 2)])
    def test_clip_vs_share_of_many_tokens(self, tokens, number):
        values = jnp.linspace(1, 1.1, 20_000)[None]
        mask = np.arange(20_000)[None] < tokens
        stats = TokenStats(*[values] * 4)
        found = clip_v.polarity_outliers(SampledTokens(stats, -values, mask, token_uniforms=values))
        assert np.flatnonzero(found).tolist() == [*range(tokens - number, tokens)]  # the largest

    def test_single_branches_are_together_everything_but_the_dead_band(self):
        # P = A T: expanding, contracting, dead / contracting, expanding, dead
        unit = np.array([[0.2, -0.2, 5e-7], [0.2, -0.2, 0.0]])
        names = "positive_branch", "negative_branch"
        positive, negative = (self.weighed(name, unit=unit)[0] for name in names)
        assert positive.tolist() == [[True, False, True], [False, True, True]]
        assert negative.tolist() == [[False, True, True], [True, False, True]]
        positive, negative = (
            self.weighed(name, unit=unit, numbers={"dead_band": 1e-7})[0] for name in names
        )  # 5e-7 expands
        assert (positive & negative).sum() == 1 and positive[0, 2] and not negative[0, 2]
        assert self.weighed("positive_branch", unit=unit)[1] == 4

    def test_a_random_half_of_what_has_a_polarity(self):
        polarity = row(0.2, -0.2, 0.2, -0.2, 0.0)
        drawn = row(0.1, 0.9, 0.6, 0.49, 0.1)  # lost, won, won, lost, nothing to lose
        gone = one_branch.random_half(
            SampledTokens(None, jnp.ones((1, 5)), None, polarity=polarity, token_uniforms=drawn)
        )
        assert gone.tolist() == [[True, False, False, True, False]]
        tossed = np.asarray(
            token_random.token_uniforms(jax.random.fold_in(make_key(0), 2), jnp.arange(2), 6)
        )[:, :5]
        stays, count, _ = self.weighed("random_branch", unit=np.full((2, 5), 0.2))
        assert (stays == (tossed >= 0.5)).all() and 0 < count == stays.sum() < 10

    def test_a_branch_in_number_has_its_signs_of_the_advantage_and_not_its_tokens(self):
        # of the raised tokens one contracts, of the lowered ones two (T > 0): so many of each go,
        # those with the lowest numbers
        unit = jnp.array([[0.2, -0.2, 0.2, 0.0], [0.2, -0.2, 0.2, 0.0]])
        advantages = jnp.array([[1.0] * 4, [-1.0] * 4])
        # the lowest numbers of all are in the dead band
        drawn = jnp.array([[0.3, 0.4, 0.5, 0.1], [0.9, 0.2, 0.8, 0.1]])
        tokens = SampledTokens(
            None, advantages, None, polarity=advantages * unit, token_uniforms=drawn
        )
        gone = one_branch.as_many_as_contracting(tokens)
        assert gone.tolist() == [[True, False, False, False], [False, True, True, False]]
        gone = one_branch.as_many_as_expanding(tokens)  # two raised ones, one lowered
        assert gone.tolist() == [[True, True, False, False], [False, True, False, False]]

    @pytest.mark.parametrize("branch", ["positive_branch", "negative_branch"])
    def test_presets_of_a_branch_in_number(self, branch):
        unit = np.array([[0.2, -0.2, 0.2, -0.2, 0.0], [-0.2, 0.2, -0.2, -0.2, 0.0]])
        kept, drawn = (
            self.weighed(branch, unit=unit)[0],
            self.weighed(f"random_{branch}", unit=unit)[0],
        )
        assert (kept.sum(axis=1) == drawn.sum(axis=1)).all() and (kept != drawn).any()
        assert drawn[unit == 0].all()


class TestTokensOfAnAnswer:
    REWARDS, MASK = row(1, 0), np.array([[1, 1, 1], [1, 1, 0]], bool)
    LOGPROB = np.log(np.array([[0.1, 0.9, 0.5], [0.8, 0.05, 1.0]], np.float32))

    def weighed(self, name, kept=(True, True)):
        stats = TokenStats(self.LOGPROB, *[0 * self.LOGPROB + 0.3] * 2, np.sign(self.LOGPROB + 0.4))
        return compute_weighted_advantages(
            make_rollout(stats, self.MASK, entropy=1),
            make_grades(self.REWARDS, [kept]),
            phase.init(),
            key=make_key(0),
            method=presets.get(name),
            max_new_tokens=30,
        )

    def test_an_answers_advantage_is_not_its_first_tokens(self):
        out, _ = self.weighed(
            "a3po"
        )  # five times as much for the rarest right and the commonest wrong token
        assert_near(out.advantages, [[5, 1, 1], [-5, -1, 0]])
        assert_near(out.answer_advantages, [1, -1])

    def test_what_is_dropped_is_counted(self):
        # T = (-1, 1, -1) and (1, -1): P < 0 at two tokens of the first answer and at one of the
        # second
        out, metrics = self.weighed("positive_branch")
        assert metrics["dropped/tokens"] == 3 and out.loss_mask.sum() == 2
        assert_near(out.answer_advantages, [1, -1])
        out, metrics = self.weighed("positive_branch", kept=(False, True))
        assert metrics["dropped/tokens"] == 1
        assert_near(out.answer_advantages, [0, -1])
