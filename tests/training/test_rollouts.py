"""Dynamic sampling and the overlong mask: which prompts are drawn, which are trained on, and what
is left out."""

import contextlib
import dataclasses
import types

import jax
import numpy as np
import pytest

import run
from papo_jax import grading
from papo_jax.errors import TrainingStopped
from papo_jax.grading import Judgment
from papo_jax.learner import weighted_advantages
from papo_jax.learner.gradients import accumulate
from papo_jax.learner.trajectories import Batch
from papo_jax.methods import objectives, presets
from papo_jax.tasks import order
from papo_jax.training.rollouts import _kept, _widened, gather
from papo_jax.training.session import prepare
from papo_jax.training.step import _minibatches, run_updates, train_step
from papo_jax.training.step_clock import Clock
from tests.support.seeds import make_key

RIGHT, WRONG, MIXED = "RRRR", "WWWW", "RWWR"


class Scripted:
    """A pool that judges by a script, a text a group of four: R, W, E or T for a timeout."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def judge(self, answers, **_):
        letters = "".join(self.draws.pop(0))
        assert len(letters) == len(answers)
        verdicts = {
            "R": ("right", ""),
            "W": ("wrong", ""),
            "E": ("error", "no luck"),
            "T": ("error", "timeout"),
        }
        return [Judgment(verdicts[letter][0], None, verdicts[letter][1]) for letter in letters]


@pytest.fixture(scope="module")
def sessions(small, tmp_path_factory):
    """A function from what differs to a session of four prompts of four samples."""
    with contextlib.ExitStack() as held:

        def make(overrides):
            settings = small({"method.name": "dapo", **overrides})
            return held.enter_context(
                contextlib.closing(prepare(settings, tmp_path_factory.mktemp("run")))
            )

        yield make


@pytest.fixture(scope="module")
def session(sessions):
    return sessions({"method.refills": 2})


def gathered(session, *draws):
    scripted = Scripted(*draws)
    found = gather(dataclasses.replace(session, pool=scripted), session.initial, 0, Clock())
    assert not scripted.draws, "fewer draws than expected"
    return found


def drawn_prompts(session, places):
    """The prompts that come at some places of the order."""
    identifiers = order.draw_epoch_identifiers(session.settings.seed, 0, 12, 64)
    return [session.problems.train.train[int(identifiers[place])].prompt for place in places]


def prompts(draw):
    return [problem.prompt for problem in draw.problems]


def test_one_draw_is_enough_where_every_group_teaches(session):
    found = gathered(session, [MIXED] * 4)
    assert found.draws == 1 and found.kept.all()
    assert prompts(found.chosen) == prompts(found.all) == drawn_prompts(session, range(4))


def test_groups_are_filled_up_from_the_prompts_that_come_next(session):
    found = gathered(session, [RIGHT, MIXED, WRONG, MIXED], [MIXED, WRONG, MIXED, MIXED])
    assert found.draws == 2 and found.kept.all()
    assert prompts(found.all) == drawn_prompts(session, range(8))
    assert prompts(found.chosen) == drawn_prompts(session, (1, 3, 4, 6))
    assert found.chosen.rewards.tolist() == [[1, 0, 0, 1]] * 4

    # Rows go along with their prompts: tokens, statistics and texts of group 3 of the chosen are
    # those of group 6 drawn.
    def of(array, group):
        return np.asarray(array)[4 * group : 4 * group + 4]

    np.testing.assert_array_equal(
        of(found.chosen.completions.tokens, 3), of(found.all.completions.tokens, 6)
    )
    np.testing.assert_array_equal(of(found.chosen.stats.entropy, 3), of(found.all.stats.entropy, 6))
    assert found.chosen.texts[12:] == found.all.texts[24:28]
    ids = of(found.chosen.trajectories.prompt_tokens, 3)[0][
        of(found.chosen.trajectories.prompt_valid, 3)[0]
    ]
    assert session.policy.tokenizer.decode(ids) == drawn_prompts(session, (6,))[0]


def test_after_the_last_refill_it_goes_on_with_what_there_is(session):
    found = gathered(session, [WRONG] * 4, [RIGHT, MIXED, WRONG, WRONG], [RIGHT] * 4)
    assert found.draws == 3
    assert prompts(found.chosen) == drawn_prompts(session, (5, 0, 1, 2))
    assert found.kept.tolist() == [[True] * 4] + [[False] * 4] * 3


def test_a_group_with_an_error_and_a_right_answer_teaches(session):
    assert gathered(session, ["RRRE", "EEWE", MIXED, MIXED], [MIXED] * 4).chosen.rewards.tolist()[
        0
    ] == [1, 1, 1, 0]


def test_the_entropy_is_of_all_draws(session):
    found = gathered(session, [RIGHT] * 4, [MIXED] * 4)
    stats, mask = found.all.stats, np.asarray(found.all.trajectories.mask)
    assert mask.shape[0] == 32
    np.testing.assert_allclose(
        found.all.entropy, [np.asarray(stats.entropy)[mask].sum(), mask.sum()], rtol=1e-6
    )


def test_not_one_answer_judged_stops_the_run(session):
    with pytest.raises(
        TrainingStopped,
        match=r"not one of step 0's 16 answers could be judged \(the first: no luck\)",
    ):
        gathered(session, ["EEEE"] * 4)


def test_truncated_answers_are_masked_by_the_samplers_own_flag(sessions):
    masked = {"method.refills": 0, "method.overlong_mask": True, "task.difficulty": 3}
    lengths = np.asarray(gathered(sessions(masked), [MIXED] * 4).chosen.completions.mask).sum(
        axis=1
    )
    limit = int(np.unique(lengths)[-2])  # the longest answers are cut, and some end just in time
    found = gathered(sessions({**masked, "rollout.max_new_tokens": limit}), [MIXED] * 4)
    np.testing.assert_array_equal(
        np.asarray(found.chosen.completions.mask).sum(axis=1), np.minimum(lengths, limit)
    )
    np.testing.assert_array_equal(
        found.chosen.completions.truncated, lengths > limit
    )  # a full length is not yet a truncation
    np.testing.assert_array_equal(found.kept.reshape(-1), lengths <= limit)


def test_what_is_left_out_is_as_if_it_were_not_there(session):
    found = gathered(session, [MIXED, RIGHT, MIXED, WRONG], [RIGHT] * 4, [WRONG] * 4)
    trajectories, stats = found.chosen.trajectories, found.chosen.stats
    weighed, _ = session.programs.weigh(
        stats,
        found.chosen.rewards,
        trajectories.mask,
        found.kept,
        np.arange(16),
        np.float32(1.0),
        session.initial.phase,
        make_key(0),
        None,
    )
    numbers = np.arange(16, dtype=np.int32), np.zeros(16, np.float32)
    batch = Batch(
        trajectories,
        stats.logprob,
        stats.logprob,
        weighed.advantages,
        weighed.loss_mask,
        weighed.polarity,
        *numbers,
    )
    batch = jax.device_get(batch)
    few = jax.tree.map(lambda leaf: leaf[:8], batch)
    assert few.loss_mask.sum() == batch.loss_mask.sum() == batch.trajectories.mask[:8].sum()
    for objective in ("dapo", "grpo"):
        gradient = jax.jit(
            lambda rows: accumulate(
                session.initial.params,
                rows,
                make_key(0),
                session.initial.phase,
                graph=session.policy.graph,
                method={**presets.get(objective), "kl_coefficient": 0.0},
                limit=8,
                temperature=1.0,
                microbatches=1,
            ),
            compiler_options={"xla_backend_optimization_level": 0},
        )
        (whole, sums), (part, same) = gradient(batch), gradient(few)

        def flat(tree):
            return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])

        assert np.linalg.norm(flat(part)) > 1e-3
        assert np.linalg.norm(flat(whole) - flat(part)) < 1e-5 * np.linalg.norm(flat(part))
        np.testing.assert_allclose(sums["loss"], same["loss"], rtol=1e-5, atol=1e-6)


def test_a_step_counts_the_prompts_it_drew_and_logs_all_of_them(session):
    script = [RIGHT, MIXED, "EETE", MIXED], [MIXED, WRONG, MIXED, MIXED]
    found = gathered(session, *script)
    start = jax.tree.map(np.asarray, session.initial)
    after, record = train_step(
        dataclasses.replace(session, pool=Scripted(*script)), jax.device_put(start), 0
    )
    assert int(after.cursor) == 8 and int(after.step) == 1
    row = record.row
    assert (row["rollout/draws"], row["rollout/informative"], row["rollout/kept"]) == (
        2,
        5 / 8,
        1.0,
    )
    assert (row["reward/mean"], row["reward/all_right"], row["reward/all_wrong"]) == (
        (4 + 5 * 2) / 32,
        1 / 8,
        2 / 8,
    )
    assert (row["grader/error"], row["grader/timeout"]) == (4 / 32, 1 / 32)
    np.testing.assert_allclose(
        row["entropy"], found.all.entropy[0] / found.all.entropy[1], rtol=1e-6
    )
    assert (
        row["tokens_per_second"] * 100 > np.asarray(found.all.trajectories.mask).sum()
    )  # of 8 groups, in less than 100 s
    assert [failure["reason"] for failure in record.failures] == [
        "no luck",
        "no luck",
        "timeout",
        "no luck",
    ]
    assert {failure["problem"] for failure in record.failures} == {
        int(order.draw_epoch_identifiers(0, 0, 12, 64)[2])
    }
    assert [sample["completion"] for sample in record.samples] == found.chosen.texts[::4]
    assert [sample["prompt"] for sample in record.samples] == prompts(found.chosen)
    assert record.samples[0]["verdict"] == "right"


def test_a_step_without_anything_to_learn_from_changes_no_parameter(session):
    start = jax.tree.map(np.asarray, session.initial)
    pool = Scripted(*[[RIGHT, WRONG, RIGHT, WRONG]] * 3)
    after, record = train_step(dataclasses.replace(session, pool=pool), jax.device_put(start), 0)
    assert (record.row["rollout/kept"], record.row["grad_norm"], record.row["update/skipped"]) == (
        0.0,
        0.0,
        0,
    )
    assert record.row["update/made"] == 0
    jax.tree.map(
        np.testing.assert_array_equal,
        (after.params, after.opt_state),
        (start.params, start.opt_state),
    )
    assert int(after.step) == 1 and int(after.cursor) == 12


def test_what_takes_part_is_dealt_out_evenly_and_reaches_the_update(session, monkeypatch):
    """Two groups of four that teach: four of the eight rows in each of the two minibatches, and no
    other in the loss."""
    batches, update = [], session.programs.update

    def spy(state, batch, key):
        batches.append(jax.device_get(batch))
        return update(state, batch, key)

    pool = Scripted([MIXED, RIGHT, WRONG, MIXED], [RIGHT] * 4, [WRONG] * 4)
    spied = dataclasses.replace(session, pool=pool, programs=session.programs._replace(update=spy))
    _, record = train_step(spied, jax.device_put(jax.tree.map(np.asarray, session.initial)), 0)
    assert (record.row["rollout/kept"], record.row["update/made"]) == (0.5, 2)
    assert [int(batch.loss_mask.any(axis=1).sum()) for batch in batches] == [4, 4]
    for batch in batches:
        kept = batch.loss_mask.any(axis=1)
        np.testing.assert_array_equal(batch.loss_mask, batch.trajectories.mask & kept[:, None])
        assert (batch.advantages[~kept] == 0).all() and (batch.advantages[kept] != 0).any()


def test_figures_are_of_the_updates_that_were_made(session):
    """One answer in the loss, and so one of the two minibatches; the other's zeros are no
    figures."""
    start = jax.tree.map(np.asarray, session.initial)
    found = gathered(session, [MIXED] * 4)
    trajectories, stats = found.chosen.trajectories, found.chosen.stats
    mask = np.asarray(trajectories.mask) & (np.arange(16) == 5)[:, None]
    numbers = np.arange(16, dtype=np.int32), np.zeros(16, np.float32)
    batch = Batch(
        trajectories,
        stats.logprob,
        stats.logprob,
        mask.astype(np.float32),
        mask,
        np.zeros_like(stats.logprob),
        *numbers,
    )
    _, row = run_updates(session, jax.device_put(start), batch, 0)
    chosen = next(
        rows for _, rows in _minibatches(session, start, 0, mask.any(axis=1)) if 5 in rows
    )
    key = make_key(0)  # DAPO draws nothing
    _, alone = session.programs.update(
        jax.device_put(start), session.programs.take(batch, chosen), key
    )
    assert row["update/made"] == 1 and row["update/skipped"] == 0
    assert row["grad_norm"] == float(alone["grad_norm"]) > 0 and row["loss"] == float(alone["loss"])


def test_weights_are_as_if_what_is_left_out_were_not_there(sessions):
    for objective in (objectives.DAPO, objectives.GRPO):
        session = sessions({"method.name": "papo", "method.lam": 0.4, "method.phase": "fixed"})
        method = {**session.settings.method_arguments(), "objective": objective, "overlong": 0.0}
        found = gathered(session, [MIXED, RIGHT, MIXED, WRONG])
        mask, stats = np.asarray(found.all.trajectories.mask), jax.device_get(found.all.stats)
        kept = np.repeat([[True], [False], [True], [False]], 4, axis=1)
        rows = kept.reshape(-1)

        def weigh(stats, rewards, mask, kept):
            return weighted_advantages.weigh(
                stats,
                rewards,
                mask,
                kept,
                np.arange(len(mask)),
                np.float32(0.5),
                session.initial.phase,
                make_key(0),
                method=method,
                limit=8,
            )[0]

        whole = weigh(stats, found.all.rewards, mask, kept)
        few = weigh(
            jax.tree.map(lambda leaf: leaf[rows], stats),
            found.all.rewards[[0, 2]],
            mask[rows],
            kept[[0, 2]],
        )
        assert len(np.unique(np.asarray(few.weights)[mask[rows]])) > 1
        for name in ("advantages", "weights", "polarity", "pressure"):
            np.testing.assert_allclose(
                getattr(whole, name)[rows], getattr(few, name), rtol=1e-6, err_msg=name
            )
            assert not np.asarray(getattr(whole, name))[~rows].any(), name


def test_both_reasons_to_leave_out_add_up():
    rewards, truncated = (
        np.array([[1, 0], [1, 1]], np.float32),
        np.array([False, True, False, True]),
    )
    chosen = types.SimpleNamespace(
        rewards=rewards, completions=types.SimpleNamespace(truncated=truncated)
    )
    kept = {
        mask: _kept(chosen, {"refills": 1, "overlong_mask": mask}).tolist()
        for mask in (False, True)
    }
    assert kept == {False: [[True, True], [False, False]], True: [[True, False], [False, False]]}
    assert _kept(chosen, {"refills": 0, "overlong_mask": False}).all()


def test_the_same_prompt_is_answered_anew_in_every_draw_and_step(sessions):
    session = sessions({"method.refills": 1, "task.train_size": 4, "rollout.temperature": 1.5})
    found = gathered(session, [RIGHT] * 4, [RIGHT] * 4)
    later = gather(
        dataclasses.replace(session, pool=Scripted([MIXED] * 4)), session.initial, 1, Clock()
    )

    def of(draw, first):
        return {
            problem.identifier: tuple(draw.texts[4 * (first + n) : 4 * (first + n) + 4])
            for n, problem in enumerate(draw.problems[first : first + 4])
        }

    first, second, next_step = of(found.all, 0), of(found.all, 4), of(later.all, 0)
    assert sorted(first) == sorted(second) == sorted(next_step) == [0, 1, 2, 3]
    assert all(first[n] != second[n] and first[n] != next_step[n] for n in range(4))


def test_prompts_are_padded_on_the_left_where_draws_differ_in_width(session):
    found = gathered(session, [MIXED] * 4)
    wide = _widened(found.all.trajectories, found.all.trajectories.prompt_tokens.shape[1] + 3)
    mask = np.asarray(wide.mask)
    again = np.asarray(session.programs.assess(session.initial.params, wide).logprob)
    np.testing.assert_allclose(
        again[mask], np.asarray(found.all.stats.logprob)[mask], atol=1e-3
    )  # another shape rounds otherwise


def test_three_and_three_are_six_with_refills(small, train, tmp_path):
    refilled = {"method.name": "dapo", "method.refills": 3, "checkpoint.every": 3}
    whole = train(small({**refilled, "training.steps": 6}), tmp_path / "whole")
    train(small({**refilled, "training.steps": 3}), tmp_path / "parts")
    rows, state = train(small({**refilled, "training.steps": 6}), tmp_path / "parts")
    assert max(row["rollout/draws"] for row in rows) > 1
    assert rows == whole[0]
    jax.tree.map(np.testing.assert_array_equal, state, whole[1])


def test_graders_that_all_fail_stop_the_run_with_code_3(
    command_line, monkeypatch, capsys, tmp_path
):
    def nothing(self, answers, **_):
        return [Judgment("error", None, "no luck")] * len(answers)

    monkeypatch.setattr(
        "papo_jax.training.problems.check_graders", lambda problems, pool, **_: problems
    )
    monkeypatch.setattr(grading.Pool, "judge", nothing)
    assert run.main(command_line(tmp_path / "run")) == 3
    said = capsys.readouterr().err
    assert (
        said.startswith("error: not one of step 0's 16 answers could be judged")
        and said.count("\n") == 1
    )
