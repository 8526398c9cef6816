"""Dynamic sampling and the overlong mask: what is drawn, trained on and left out."""

import contextlib
import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

import run
from papo_jax import grading
from papo_jax.errors import TrainingStopped
from papo_jax.grading import Judgment
from papo_jax.learner.batches import UpdateBatch
from papo_jax.learner.gradients import LossFunction, compute_gradients
from papo_jax.learner.learn import take_rows
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.weighted_advantages import compute_weighted_advantages
from papo_jax.methods import objectives, presets
from papo_jax.tasks import order
from papo_jax.training import step as training_step
from papo_jax.training.rollouts import _mask_answers, _widen_prompts, collect_rollouts
from papo_jax.training.step import train_step
from papo_jax.training.step_clock import Clock
from papo_jax.training.training_run import prepare_run
from tests.support.seeds import make_key

RIGHT, WRONG, MIXED = "RRRR", "WWWW", "RWWR"
TEMPERATURE = 1.5


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
def prepare(small, tmp_path_factory):
    """A function from what differs to a run of four prompts of four samples.

    At its temperature the samples of a prompt are not all the same, so that verdicts that differ
    make a gradient.
    """
    with contextlib.ExitStack() as stack:

        def make(overrides):
            common = {"method.name": "dapo", "rollout.temperature": TEMPERATURE}
            settings = small({**common, **overrides})
            made = prepare_run(settings, tmp_path_factory.mktemp("run"))
            return stack.enter_context(contextlib.closing(made))

        yield make


@pytest.fixture(scope="module")
def prepared(prepare):
    return prepare({"method.refills": 2})


def collect(prepared, *draws):
    scripted = Scripted(*draws)
    scripted_run = dataclasses.replace(prepared, pool=scripted)
    found = collect_rollouts(scripted_run, prepared.initial, 0, Clock())
    assert not scripted.draws, "fewer draws than expected"
    return found


def spy_on_learning(prepared, pool):
    """(the run with a scripted pool, a list that takes what its steps learn)."""
    outputs = []

    def learn(state, rollout, grades):
        state, output = prepared.programs.learn(state, rollout, grades)
        outputs.append(jax.device_get(output))
        return state, output

    programs = prepared.programs._replace(learn=learn)
    return dataclasses.replace(prepared, pool=pool, programs=programs), outputs


def first_state(prepared):
    """A copy of the run's first state, which may be donated."""
    return jax.device_put(jax.tree.map(np.asarray, prepared.initial))


def drawn_prompts(prepared, places):
    """The prompts that come at some places of the order."""
    identifiers = order.draw_epoch_identifiers(prepared.settings.seed, 0, 12, 64)
    return [prepared.problems.train.train[int(identifiers[place])].prompt for place in places]


def prompts(draw):
    return [problem.prompt for problem in draw.problems]


def test_one_draw_is_enough_where_every_group_teaches(prepared):
    found = collect(prepared, [MIXED] * 4)
    assert found.draws == 1 and found.kept.all()
    assert prompts(found.trained) == prompts(found.drawn) == drawn_prompts(prepared, range(4))


def test_groups_are_filled_up_from_the_prompts_that_come_next(prepared):
    found = collect(prepared, [RIGHT, MIXED, WRONG, MIXED], [MIXED, WRONG, MIXED, MIXED])
    assert found.draws == 2 and found.kept.all()
    assert prompts(found.drawn) == drawn_prompts(prepared, range(8))
    assert prompts(found.trained) == drawn_prompts(prepared, (1, 3, 4, 6))
    assert found.trained.rewards.tolist() == [[1, 0, 0, 1]] * 4

    # Rows go along with their prompts: tokens, statistics and texts of group 3 of the chosen are
    # those of group 6 drawn.
    def of(array, group):
        return np.asarray(array)[4 * group : 4 * group + 4]

    np.testing.assert_array_equal(
        of(found.trained.completions.tokens, 3), of(found.drawn.completions.tokens, 6)
    )
    np.testing.assert_array_equal(
        of(found.trained.stats.entropy, 3), of(found.drawn.stats.entropy, 6)
    )
    assert found.trained.texts[12:] == found.drawn.texts[24:28]
    ids = of(found.trained.trajectories.prompt_tokens, 3)[0][
        of(found.trained.trajectories.prompt_valid, 3)[0]
    ]
    assert prepared.policy.tokenizer.decode(ids) == drawn_prompts(prepared, (6,))[0]


def test_after_the_last_refill_it_goes_on_with_what_there_is(prepared):
    found = collect(prepared, [WRONG] * 4, [RIGHT, MIXED, WRONG, WRONG], [RIGHT] * 4)
    assert found.draws == 3
    assert prompts(found.trained) == drawn_prompts(prepared, (5, 0, 1, 2))
    assert found.kept.tolist() == [[True] * 4] + [[False] * 4] * 3


def test_a_group_with_an_error_and_a_right_answer_teaches(prepared):
    found = collect(prepared, ["RRRE", "EEWE", MIXED, MIXED], [MIXED] * 4)
    assert found.trained.rewards.tolist()[0] == [1, 1, 1, 0]


def test_the_entropy_is_of_all_draws(prepared):
    found = collect(prepared, [RIGHT] * 4, [MIXED] * 4)
    stats, mask = found.drawn.stats, np.asarray(found.drawn.trajectories.action)
    assert mask.shape[0] == 32
    np.testing.assert_allclose(
        found.drawn.entropy_totals, [np.asarray(stats.entropy)[mask].sum(), mask.sum()], rtol=1e-5
    )


def test_not_one_answer_judged_stops_the_run(prepared):
    with pytest.raises(
        TrainingStopped,
        match=r"not one of step 0's 16 answers could be judged \(the first: no luck\)",
    ):
        collect(prepared, ["EEEE"] * 4)


def test_truncated_answers_are_masked_by_the_samplers_own_flag(prepare):
    masked = {"method.refills": 0, "method.overlong_mask": True, "task.difficulty": 3}
    found = collect(prepare(masked), [MIXED] * 4)
    lengths = np.asarray(found.trained.completions.action).sum(axis=1)
    limit = int(np.unique(lengths)[-2])  # the longest answers are cut, and some end just in time
    found = collect(prepare({**masked, "rollout.max_new_tokens": limit}), [MIXED] * 4)
    np.testing.assert_array_equal(
        np.asarray(found.trained.completions.action).sum(axis=1), np.minimum(lengths, limit)
    )
    np.testing.assert_array_equal(
        found.trained.completions.truncated, lengths > limit
    )  # a full length is not yet a truncation
    np.testing.assert_array_equal(found.kept.reshape(-1), lengths <= limit)


def test_what_is_left_out_is_as_if_it_were_not_there(prepared):
    found = collect(prepared, [MIXED, RIGHT, MIXED, WRONG], [RIGHT] * 4, [WRONG] * 4)
    rollout = found.rollout._replace(entropy=np.float32(1.0))
    weighted, _ = compute_weighted_advantages(
        rollout,
        found.grades,
        prepared.initial.entropy_trajectory,
        key=make_key(0),
        method=prepared.settings.method,
        max_new_tokens=8,
    )
    batch = jax.device_get(
        UpdateBatch(
            trajectories=rollout.trajectories,
            old_logprob=rollout.stats.logprob,
            reference_logprob=rollout.stats.logprob,
            weighted_advantages=weighted.advantages,
            loss_mask=weighted.loss_mask,
            polarity=weighted.polarity,
            sequences=np.arange(16, dtype=np.int32),
            accuracy=np.zeros(16, np.float32),
        )
    )
    few = jax.tree.map(lambda leaf: leaf[:8], batch)
    assert few.loss_mask.sum() == batch.loss_mask.sum() == batch.trajectories.action[:8].sum()

    scorer = PolicyScorer(prepared.policy.graph, temperature=TEMPERATURE)
    for objective in ("dapo", "grpo"):
        method = presets.get(objective, kl_coefficient=0.0)
        loss = LossFunction(method, 8, prepared.initial.entropy_trajectory)
        gradient = jax.jit(
            functools.partial(compute_gradients, loss=loss),
            compiler_options={"xla_backend_optimization_level": 0},
        )
        params, key = prepared.initial.params, make_key(0)
        whole, sums = gradient(params, batch, key, scorer)
        part, same = gradient(params, few, key, scorer)

        def flat(tree):
            return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])

        assert np.linalg.norm(flat(part)) > 1e-3
        assert np.linalg.norm(flat(whole) - flat(part)) < 1e-5 * np.linalg.norm(flat(part))
        np.testing.assert_allclose(sums["loss"], same["loss"], rtol=1e-5, atol=1e-6)


def test_a_step_counts_the_prompts_it_drew_and_logs_all_of_them(prepared):
    script = [RIGHT, MIXED, "EETE", MIXED], [MIXED, WRONG, MIXED, MIXED]
    found = collect(prepared, *script)
    scripted = dataclasses.replace(prepared, pool=Scripted(*script))
    after, record = train_step(scripted, first_state(prepared), 0)
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
        row["entropy"], found.drawn.entropy_totals[0] / found.drawn.entropy_totals[1], rtol=1e-5
    )
    assert (
        row["tokens_per_second"] * 100 > np.asarray(found.drawn.trajectories.action).sum()
    )  # of 8 groups, in less than 100 s
    assert [failure["reason"] for failure in record.failures] == [
        "no luck",
        "no luck",
        "timeout",
        "no luck",
    ]
    assert {failure["problem"] for failure in record.failures} == {
        int(order.draw_epoch_identifiers(prepared.settings.seed, 0, 12, 64)[2])
    }
    assert [sample["completion"] for sample in record.samples] == found.trained.texts[::4]
    assert [sample["prompt"] for sample in record.samples] == prompts(found.trained)
    assert record.samples[0]["verdict"] == "right"


def test_a_step_without_anything_to_learn_from_changes_no_parameter(prepared):
    start = jax.tree.map(np.asarray, prepared.initial)
    pool = Scripted(*[[RIGHT, WRONG, RIGHT, WRONG]] * 3)
    after, record = train_step(dataclasses.replace(prepared, pool=pool), jax.device_put(start), 0)
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


def test_what_takes_part_is_dealt_out_evenly_and_reaches_the_update(prepared):
    """Two groups of four that teach: four of the eight rows of each of the two minibatches."""
    pool = Scripted([MIXED, RIGHT, WRONG, MIXED], [RIGHT] * 4, [WRONG] * 4)
    spied, outputs = spy_on_learning(prepared, pool)
    _, record = train_step(spied, first_state(prepared), 0)
    assert (record.row["rollout/kept"], record.row["update/made"]) == (0.5, 2)
    (output,) = outputs
    batches = [take_rows(output.batch, rows) for rows in output.plan.rows]
    assert [int(batch.loss_mask.any(axis=1).sum()) for batch in batches] == [4, 4]
    for batch in batches:
        kept = batch.loss_mask.any(axis=1)
        np.testing.assert_array_equal(batch.loss_mask, batch.trajectories.action & kept[:, None])
        assert (batch.weighted_advantages[~kept] == 0).all()
        assert (batch.weighted_advantages[kept] != 0).any()


def test_figures_are_of_the_updates_that_were_made(prepared, monkeypatch):
    """One answer in the loss, and so one of two minibatches; the other's zeros are no figures."""
    found = collect(prepared, [MIXED] * 4)
    alone = found._replace(kept=np.arange(16).reshape(4, 4) == 5)
    monkeypatch.setattr(training_step, "collect_rollouts", lambda *_: alone)
    spied, outputs = spy_on_learning(prepared, None)
    _, record = train_step(spied, first_state(prepared), 0)
    (output,), row = outputs, record.row
    (number,) = (number for number, rows in enumerate(output.plan.rows) if 5 in rows)
    assert row["update/made"] == 1 and row["update/skipped"] == 0
    assert row["grad_norm"] == float(output.updates["grad_norm"][number]) > 0
    assert row["loss"] == float(output.updates["loss"][number])


@pytest.mark.slow
def test_packed_minibatches_that_are_not_due_are_no_figures(prepare):
    """PSR learns from the right answers alone: five fill two of four minibatches."""
    prepared = prepare({"method.name": "psr", "training.minibatches": 4})
    spied, outputs = spy_on_learning(prepared, Scripted([RIGHT, "RWWW", WRONG, WRONG]))
    _, record = train_step(spied, first_state(prepared), 0)
    (output,), row = outputs, record.row
    assert output.updates["update/tried"].tolist() == [True, True, False, False]
    assert (row["update/made"], row["update/skipped"]) == (2, 0)
    for name in ("loss", "grad_norm", "clip/fraction", "kl/old_new"):
        assert row[name] == pytest.approx(output.updates[name][:2].mean()), name
    assert row["grad_norm"] > 0


def test_weights_are_as_if_what_is_left_out_were_not_there(prepare):
    for objective in (objectives.DAPO, objectives.GRPO):
        prepared = prepare({"method.name": "papo", "method.lam": 0.4, "method.phase": "fixed"})
        method = dataclasses.replace(prepared.settings.method, objective=objective, overlong=0.0)
        found = collect(prepared, [MIXED, RIGHT, MIXED, WRONG])
        kept = np.repeat([[True], [False], [True], [False]], 4, axis=1)
        rows = kept.reshape(-1)
        rollout = jax.device_get(found.rollout)._replace(entropy=np.float32(0.5))
        grades = found.grades._replace(kept=kept)

        def weigh(rollout, grades, method=method, prepared=prepared):
            return compute_weighted_advantages(
                rollout,
                grades,
                prepared.initial.entropy_trajectory,
                key=make_key(0),
                method=method,
                max_new_tokens=8,
            )[0]

        whole = weigh(rollout, grades)
        some, stats = jax.tree.map(
            lambda leaf, rows=rows: leaf[rows], (rollout.trajectories, rollout.stats)
        )
        few = weigh(
            rollout._replace(trajectories=some, stats=stats),
            jax.tree.map(lambda leaf: leaf[[0, 2]], grades),
        )
        assert len(np.unique(np.asarray(few.weights)[some.action])) > 1
        for name in ("advantages", "weights", "polarity", "loss_weights"):
            np.testing.assert_allclose(
                getattr(whole, name)[rows], getattr(few, name), rtol=1e-5, err_msg=name
            )
            assert not np.asarray(getattr(whole, name))[~rows].any(), name


def test_both_reasons_to_leave_out_add_up():
    right, truncated = (
        np.array([[True, False], [True, True]]),
        np.array([False, True, False, True]),
    )
    trained = types.SimpleNamespace(
        right=right, completions=types.SimpleNamespace(truncated=truncated)
    )
    kept = {
        mask: _mask_answers(trained, presets.get("dapo", refills=1, overlong_mask=mask)).tolist()
        for mask in (False, True)
    }
    assert kept == {False: [[True, True], [False, False]], True: [[True, False], [False, False]]}
    assert _mask_answers(trained, presets.get("dapo", refills=0, overlong_mask=False)).all()


def test_the_same_prompt_is_answered_anew_in_every_draw_and_step(prepare):
    prepared = prepare({"method.refills": 1, "task.train_size": 4, "rollout.temperature": 3.0})
    found = collect(prepared, [RIGHT] * 4, [RIGHT] * 4)
    scripted = dataclasses.replace(prepared, pool=Scripted([MIXED] * 4))
    later = collect_rollouts(scripted, prepared.initial, 1, Clock())

    def of(draw, first):
        return {
            problem.identifier: tuple(draw.texts[4 * (first + n) : 4 * (first + n) + 4])
            for n, problem in enumerate(draw.problems[first : first + 4])
        }

    first, second, next_step = of(found.drawn, 0), of(found.drawn, 4), of(later.drawn, 0)
    assert sorted(first) == sorted(second) == sorted(next_step) == [0, 1, 2, 3]
    assert all(first[n] != second[n] and first[n] != next_step[n] for n in range(4))


def test_prompts_are_padded_on_the_left_where_draws_differ_in_width(prepared):
    found = collect(prepared, [MIXED] * 4)
    trajectories = found.drawn.trajectories
    wide = _widen_prompts(trajectories, trajectories.prompt_tokens.shape[1] + 3)
    mask = np.asarray(wide.action)
    again = np.asarray(prepared.programs.score(prepared.initial.params, wide).logprob)
    np.testing.assert_allclose(
        again[mask], np.asarray(found.drawn.stats.logprob)[mask], atol=1e-3
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
        "papo_jax.training.problems.run_problems.check_graders",
        lambda problems, pool, **_: problems,
    )
    monkeypatch.setattr(grading.Pool, "judge", nothing)
    assert run.main(command_line(tmp_path / "run")) == 3
    said = capsys.readouterr().err
    assert (
        said.startswith("error: not one of step 0's 16 answers could be judged")
        and said.count("\n") == 1
    )


def test_a_policy_that_is_its_own_reference_has_no_kl_to_it(prepare):
    """Both come from one program here, so the log-ratio is exactly 0, also of chosen groups."""
    overrides = {"method.name": "grpo", "method.refills": 1, "rollout.statistics": "trainer"}
    prepared = prepare(overrides)
    batch = collect(prepared, [RIGHT, MIXED, MIXED, WRONG], [MIXED, MIXED, RIGHT, RIGHT])
    rollout = batch.rollout
    action = np.asarray(rollout.trajectories.action)
    logprob = np.asarray(rollout.stats.logprob)
    assert (logprob[action] < 0).any()
    np.testing.assert_array_equal(np.asarray(rollout.reference_logprob)[action], logprob[action])


def test_chosen_groups_are_moved_to_the_devices_once(prepared):
    """Every program that reads them takes the same arrays, and none uploads them again."""
    found = collect(prepared, [RIGHT, MIXED, WRONG, MIXED], [MIXED, WRONG, MIXED, MIXED])
    leaves = jax.tree.leaves((found.rollout.trajectories, found.rollout.stats))
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)


def test_groups_that_teach_by_their_lengths_alone_are_counted(prepare):
    """All right, of different lengths: the penalty parts them; a mixed group is none of these."""
    prepared = prepare(
        {"method.name": "papo", "method.overlong": 1.0, "task.difficulty": 3, "seed": 5}
    )
    scripted = dataclasses.replace(prepared, pool=Scripted([RIGHT, WRONG, MIXED, RIGHT]))
    _, record = train_step(scripted, first_state(prepared), 0)
    state, pool = first_state(prepared), Scripted([RIGHT, WRONG, MIXED, RIGHT])
    found = collect_rollouts(dataclasses.replace(prepared, pool=pool), state, 0, Clock())
    lengths = np.asarray(found.trained.trajectories.action).sum(axis=1).reshape(4, 4)
    parted = (np.ptp(lengths, axis=1) > 0) & [True, True, False, True]
    assert parted.any()
    assert record.row["rollout/informative_by_length"] == parted.mean()
    assert record.row["rollout/informative"] == 0.25

    # Without the penalty, none.
    plain = prepare({"method.name": "papo", "method.overlong": 0.0, "task.difficulty": 3})
    scripted = dataclasses.replace(plain, pool=Scripted([RIGHT, WRONG, MIXED, RIGHT]))
    _, record = train_step(scripted, first_state(plain), 0)
    assert record.row["rollout/informative_by_length"] == 0


def test_each_refill_answers_a_problem_anew(prepare):
    """Four problems, so that each of three draws asks them all: no two give the same tokens."""
    prepared = prepare({"method.refills": 2, "task.train_size": 4, "rollout.max_new_tokens": 8})
    drawn = collect(prepared, [RIGHT] * 4, [WRONG] * 4, [RIGHT] * 4).drawn
    found = {}
    for index, problem in enumerate(drawn.problems):
        tokens = np.asarray(drawn.completions.tokens)[4 * index : 4 * index + 4]
        found.setdefault(problem.identifier, []).append(tokens)
    assert len(found) == 4 and all(len(draws) == 3 for draws in found.values())
    for first, second in ((0, 1), (0, 2), (1, 2)):
        same = [(draws[first] == draws[second]).all(axis=1).mean() for draws in found.values()]
        assert np.mean(same) < 0.5, (first, second)
