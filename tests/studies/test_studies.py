"""Tests of the studies at a small size: known answers, and directions that theory guarantees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies import authority, authority_report
from experiments.studies.lab import (
    base_policies,
    benchmark,
    entropy_matching,
    policy_probe,
    probe_batches,
    run_metrics,
    seed_intervals,
    study_output,
    toy_tasks,
    trainer,
)
from experiments.studies.lab.agreement import bin_signs_by_size, measure_agreement
from experiments.studies.lab.benchmark_tables import endpoint_rows, summarize_rows
from experiments.studies.lab.logit_space import measure_logits
from experiments.studies.lab.runs import RunSpec
from papo_jax.learner.batches import Trajectories
from papo_jax.methods import presets


class TestToyTasks:
    @pytest.mark.parametrize("name", toy_tasks.TOY_TASKS)
    def test_splits_share_no_problem_and_eval_sets_are_distinct(self, name):
        # all that is ever trained on, and both eval sets, of the search and of the report
        task, sizes = (
            toy_tasks.TOY_TASKS[name],
            {"train": trainer.POOL, "held_out": 2 * trainer.EVAL_PROBLEMS},
        )
        train, held_out = (
            {row.tobytes() for row in toy_tasks.make_problems(task, split, size).prompts.tokens}
            for split, size in sizes.items()
        )
        assert len(held_out) == 2 * trainer.EVAL_PROBLEMS and not train & held_out

    def test_answers_are_judged_by_their_last_tokens(self):
        encode = toy_tasks.make_tokenizer()
        equals, stop = encode.convert_tokens_to_ids("="), encode.eos_token_id
        written = ["089", "88+1=089", "089=0", "1089", "88+1=088", "=089", "89"]
        tokens, action = np.zeros((7, 12), np.int32), np.zeros((7, 12), bool)
        for row, text in enumerate(written):
            ids = [*encode.encode(text), stop]
            tokens[row, : len(ids)], action[row, : len(ids)] = ids, True
        answers = np.repeat(np.array([encode.encode("089")]), 7, axis=0)

        def grade(truncated):
            return toy_tasks.grade_completions(
                tokens=jnp.asarray(tokens),
                action=jnp.asarray(action),
                truncated=truncated,
                reference_answers=jnp.asarray(answers),
                equals_token=equals,
            )

        assert grade(jnp.zeros(7, bool)).tolist() == [1, 1, 0, 0, 0, 1, 0]
        assert not grade(jnp.ones(7, bool)).any()

    @pytest.mark.parametrize("name, share", [("sums", 0.0), ("chains", 1.0)])
    def test_demonstrations_are_right(self, name, share):
        task = toy_tasks.TOY_TASKS[name]
        for index in range(20):
            prompt, text = toy_tasks.make_demonstration(task, index, share)
            assert ("=" in text) == (share == 1.0) and len(text) < task.max_new_tokens
            assert int(text.split("=")[-1]) == eval(
                prompt[:-1]
            )  # made by the test's own generator, not by a model


class TestAgreement:
    def test_figures_by_hand(self):
        # signs: equal, equal, unequal; the larger half (>= median 2) has 2 and 3: one of two equal
        found = measure_agreement(np.array([1.0, -1.0, -2.0]), np.array([1.0, -2.0, 3.0]))
        assert (
            found.sign == pytest.approx(2 / 3)
            and found.sign_large == pytest.approx(1 / 2)
            and found.silent == 0
        )
        # ranks of predicted 3, 2, 1 and of realized 2, 1, 3: 1 - 6 (1 + 1 + 4) / (3 x 8) = -0.5
        assert found.spearman == pytest.approx(-0.5)
        assert found.slope == pytest.approx((1 + 2 - 6) / 6)

    def test_a_prediction_of_0_is_no_wrong_sign_and_moves_no_other_predictors_half(self):
        # what did not move is left out; the half is 3 and 4 for both, though the second says
        # nothing of 3
        realized = np.array([0.0, 1.0, -2.0, 3.0, 4.0])
        all_said = measure_agreement(np.array([1.0, 1.0, 1.0, 1.0, -1.0]), realized)
        assert (all_said.silent, all_said.sign, all_said.sign_large) == (0, 2 / 4, 1 / 2)
        silent = measure_agreement(np.array([1.0, 1.0, 1.0, 0.0, -1.0]), realized)
        assert (silent.silent, silent.sign, silent.sign_large) == (
            1 / 4,
            pytest.approx(1 / 3),
            (0.5 + 0) / 2,
        )

    def test_bins_of_size(self):
        rows = bin_signs_by_size(
            np.array([1.0, -1.0, 1.0, 0.0, 7.0]), np.array([0.1, 0.2, 3.0, 5.0, 0.0]), bins=2
        )
        assert [row["realized"] for row in rows] == pytest.approx([0.15, 4.0])
        assert [(row["sign"], row["silent"]) for row in rows] == [(0.5, 0.0), (1.0, 0.5)]


def test_polarity_is_exact_in_logit_space():
    found = measure_logits(1e-4, 1500)
    kept = np.abs(found["realized"]) > 1e-9
    figures = measure_agreement(found["predicted/polarity P"][kept], found["realized"][kept])
    assert figures.sign >= 0.999 and abs(figures.slope - 1) < 0.01 and kept.mean() > 0.9


def test_authority_is_pooled_over_the_settings_of_a_seed_first():
    # in units of the exact signal's mean in each setting: 2 and 4 -> P has 1/2, 1/2 and 3/4, 1/4;
    # by seed 5/8 and 3/8
    exact, signal = {"easy": (2, 2), "hard": (4, 4)}, {"easy": (1, 1), "hard": (3, 1)}
    rows = [
        {
            "setting": f"tiny, {setting}",
            "optimizer": "sgd",
            "seed": seed,
            "signal": name,
            "authority": float(values[setting][seed]),
        }
        for setting in exact
        for name, values in (("parameter polarity", exact), ("polarity P", signal))
        for seed in (0, 1)
    ]
    shares = authority_report.add_exact_share(rows)
    assert authority_report.mean_share_by_seed(shares, "polarity P").tolist() == [5 / 8, 3 / 8]
    text = "\n".join(authority_report.verdict_lines(shares))
    assert (
        "| polarity P | 0.500 [-1.088, 2.088] |  | 0.500 | 0.500 |" in text
    )  # 0.5 -+ 12.706 x 0.1768 / sqrt 2


def test_first_order_ends_with_large_steps():
    figures = [measure_agreement(*measure_logits(step, 600).values()) for step in (1e-3, 1.0)]
    assert figures[0].spearman > 0.999 > 0.99 > figures[1].spearman


def test_equal_states_are_summed():
    # rows 0 and 1 share the prompt and their first token; row 2 has another prompt
    rows = Trajectories(
        prompt_tokens=np.array([[1, 2], [1, 2], [1, 3]]),
        prompt_valid=np.ones((3, 2), bool),
        tokens=np.array([[5, 6], [5, 7], [5, 6]]),
        valid=np.array([[True, True], [True, True], [True, False]]),
        action=np.array([[True, True], [True, True], [True, False]]),
    )
    found = policy_probe.sum_over_equal_states(
        rows, np.array([[1.0, 2.0], [10.0, 20.0], [100.0, 0.0]])
    )
    np.testing.assert_allclose(found, [[11.0, 22.0], [11.0, 22.0], [100.0, 0.0]])


class TestStored:
    def test_a_stored_run_is_not_made_again(self, tmp_path):
        (tmp_path / "runs").mkdir()
        made = []

        def make():
            return made.append(1) or {"x": np.arange(3)}

        first, second = (study_output.load_or_make(tmp_path, "run", make) for _ in range(2))
        np.testing.assert_array_equal(first["x"], second["x"])
        assert made == [1] and [path.name for path in (tmp_path / "runs").iterdir()] == ["run.npz"]

    def test_a_damaged_run_is_one_line_and_code_2(self, tmp_path, capsys):
        (tmp_path / "runs").mkdir()
        study_output.load_or_make(tmp_path, "run", lambda: {"x": np.arange(300.0)})
        path = tmp_path / "runs" / "run.npz"
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(SystemExit) as stopped:
            study_output.load_or_make(tmp_path, "run", dict)
        said = capsys.readouterr().err
        assert (
            stopped.value.code == 2
            and said.count("\n") == 1
            and "run.npz is damaged; remove it" in said
        )

    def test_an_output_that_is_a_file_is_refused(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "taken").write_text("")
        monkeypatch.setattr("sys.argv", ["direction", f"--output={tmp_path / 'taken'}"])
        with pytest.raises(SystemExit) as stopped:
            study_output.parse_arguments(None, "direction")
        assert stopped.value.code == 2 and "cannot hold results" in capsys.readouterr().err

    def test_names_tell_runs_apart(self):
        base = RunSpec(task="chains", method="papo", learning_rate=1e-4, seed=0, rollouts=150)
        other_rate = dataclasses.replace(base, learning_rate=3e-4)
        other_seed = dataclasses.replace(base, seed=1)
        other_number = dataclasses.replace(base, numbers=(("lam", 0.5),))
        specs = [
            base,
            other_rate,
            other_seed,
            other_number,
            dataclasses.replace(base, task="sums"),
            dataclasses.replace(base, method="dapo"),
            dataclasses.replace(base, rollouts=15),
            dataclasses.replace(base, eval_set="search"),
            dataclasses.replace(base, choices=(("phase", "trend"),)),
        ]
        assert len({spec.file_stem for spec in specs}) == len(specs)
        # rate and seed share a compiled step
        assert base.program_key == other_rate.program_key == other_seed.program_key
        assert base.program_key != other_number.program_key


class TestBenchmark:
    RUN = {
        "counts": np.array([[0, 16], [8, 16]], np.uint8),
        "evaluated": np.array([0, 20]),
        "reward/mean": np.repeat([0.0, 1.0], 10),
        "entropy": np.full(20, 0.5),
        "length/mean": np.full(20, 4.0),
    }

    def test_endpoints_by_hand(self):
        found = run_metrics.measure_endpoints(self.RUN)
        assert found["avg@16"] == 0.75 and found["pass@16"] == 1.0 and found["area"] == 0.5
        # pass@4 of 8 right among 16: 1 - C(8, 4) / C(16, 4) = 1 - 70 / 1820
        assert found["pass@4"] == pytest.approx((1 + 1 - 70 / 1820) / 2)
        # the running mean over 10 rollouts is 0.6 once six of them have reward 1, after rollout 16
        assert found["rollouts to reward 0.6"] == 16
        assert np.isnan(found["reward at 0.1 H0"])  # entropy never falls

    def test_entropy_of_an_answer_by_hand(self):
        # over the last ten rollouts: five answers' mean of 2 tokens at 0.5 nats, and five of 3 at
        # 0.2
        run = {
            **self.RUN,
            "entropy": np.repeat([9.0, 0.5, 0.2], (10, 5, 5)),
            "length/mean": np.repeat([9.0, 2.0, 3.0], (10, 5, 5)),
        }
        assert run_metrics.measure_endpoints(run)["entropy an answer"] == pytest.approx(
            (5 * 1.0 + 5 * 0.6) / 10
        )

    def test_reward_where_entropy_has_fallen_to_a_tenth_by_hand(self):
        # running means over 10: after rollout 19 entropy is 0.1, one 1 and nine 0, and reward 0.9
        falling = {**self.RUN, "entropy": np.repeat([1.0, 0.0], 10)}
        found = run_metrics.measure_endpoints(falling)
        assert found["rollouts to 0.1 H0"] == 19 and found["reward at 0.1 H0"] == pytest.approx(0.9)

    def ended_run(self, right, entropy):
        """A run that ends with so many right answers of 16 on one problem."""
        return {
            **self.RUN,
            "counts": np.array([[0], [right]], np.uint8),
            "entropy": np.full(20, entropy),
        }

    def test_the_search_takes_the_trial_with_the_best_mean_and_reports_other_seeds(
        self, tmp_path, monkeypatch
    ):
        asked = []
        right = {
            3e-5: (8, 8),
            1e-4: (16, 4),
            3e-4: (12, 0),
        }  # of the two seeds of the search: means 8, 10, 6 of 16

        def made_up_runs(directory, specs):
            asked.append(specs)
            return {
                spec: self.ended_run(right[spec.learning_rate][spec.seed % 2], 0.1)
                for spec in specs
            }

        monkeypatch.setattr(benchmark, "make_runs", made_up_runs)
        (found,) = benchmark.compare_entries(
            tmp_path,
            "chains",
            [benchmark.MethodEntry("one", "dapo")],
            benchmark.Scale(rollouts=20, seeds=3),
        )
        assert found.trial.rate == 1e-4 and len(found.runs) == 3
        searched, reported = ({(spec.seed, spec.eval_set) for spec in specs} for specs in asked)
        assert searched == {(100, "search"), (101, "search")} and reported == {
            (seed, "report") for seed in range(3)
        }
        table = (tmp_path / "search_chains.csv").read_text().splitlines()
        assert [line.split(",")[-2:] for line in table[1:]] == [
            ["0.5", "0"],
            ["0.625", "1"],
            ["0.375", "0"],
        ]

    def test_differences_are_paired_by_seed(self):
        # seeds differ by more than methods do, but the second is 1/16 better and 0.01 nats lower on
        # each
        compared = [
            benchmark.EntryResult(
                benchmark.MethodEntry(label, "dapo"),
                benchmark.Trial((), 1e-4),
                [self.ended_run(n + more, 0.1 * n - less) for n in (1, 8, 15)],
            )
            for label, more, less in (("base", 0, 0.0), ("better", 1, 0.01))
        ]
        *_, base, better = summarize_rows(endpoint_rows(compared), base="base")
        assert base.endswith("|  |  |  |  |")
        assert "| +0.062 [+0.062, +0.062] |" in better and better.endswith(
            "| -0.010 [-0.010, -0.010] | never |"
        )

    def test_a_comparator_is_matched_by_its_entropy_on_the_searchs_seeds(
        self, tmp_path, monkeypatch
    ):
        entropy = {0.2: 0.9, 0.4: 0.52, 0.8: 0.1}  # PAPO's is 0.5

        def made_up_runs(directory, specs):
            def end_entropy(spec):
                return 0.5 if spec.method == "papo" else entropy[dict(spec.numbers)["lam"]]

            return {spec: self.ended_run(8, end_entropy(spec)) for spec in specs}

        monkeypatch.setattr(entropy_matching, "make_runs", made_up_runs)
        monkeypatch.setattr(benchmark, "make_runs", made_up_runs)
        papo = benchmark.MethodEntry("papo", "papo")
        strengths = [
            benchmark.MethodEntry(f"signs {lam}", "sign_advantage", {"lam": lam}) for lam in entropy
        ]
        (found,) = entropy_matching.match_entropy(
            tmp_path,
            "chains",
            target=benchmark.EntryResult(papo, benchmark.Trial((), 3e-4), []),
            candidates={"signs": strengths},
            scale=benchmark.Scale(rollouts=20, seeds=3),
        )
        assert found.entry.label == "signs" and len(found.runs) == 3
        assert found.trial == benchmark.Trial((("lam", 0.4),), 3e-4)

    def test_what_was_never_reached_is_said(self):
        assert seed_intervals.format_interval([np.nan, np.nan]) == "never"
        assert seed_intervals.format_interval([10.0, np.nan], digits=0) == "10 (1 never)"


@pytest.fixture(scope="module")
def chains_trainer():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "EVAL_PROBLEMS", 16)
        patch.setattr(trainer, "POOL", 64)
        policy = base_policies.load_policy("chains")
        yield trainer.Trainer(toy_tasks.TOY_TASKS["chains"], policy, "papo")


@pytest.mark.slow
def test_a_run_is_its_seed_and_its_numbers(chains_trainer):
    def train(seed, **numbers):
        numbers = {"learning_rate": 1e-4, **numbers}
        return chains_trainer.train(seed, numbers, rollouts=2, evaluate_every=2)

    first, again, other = train(0), train(0), train(1)
    for name, values in first.metrics.items():
        np.testing.assert_array_equal(values, again.metrics[name], err_msg=name)
        assert np.isfinite(values).all(), name
    np.testing.assert_array_equal(first.counts, again.counts)
    assert not np.array_equal(first.metrics["entropy"], other.metrics["entropy"])
    last = chains_trainer.train(
        0, {"learning_rate": 1e-4}, rollouts=2, evaluate_every=2, curve=False
    )
    assert last.evaluated.tolist() == [2] and last.counts.shape == (1, 16)
    np.testing.assert_array_equal(last.metrics["reward/mean"], first.metrics["reward/mean"])
    still = train(0, learning_rate=0.0)
    start = jax.device_get(chains_trainer.policy.params)
    jax.tree.map(np.testing.assert_array_equal, still.params, start)
    np.testing.assert_array_equal(still.counts[0], still.counts[1])


@pytest.mark.slow
def test_search_and_report_see_other_problems():
    task, policy = toy_tasks.TOY_TASKS["sums"], base_policies.load_policy("sums")
    report, search = (
        trainer.Trainer(task, policy, "dapo", eval_set=name).eval_set.prompts.tokens
        for name in ("report", "search")
    )
    assert not {row.tobytes() for row in report} & {row.tobytes() for row in search}


@pytest.mark.slow
def test_no_signal_steers_harder_than_the_exact_one():
    policy = base_policies.load_policy("chains")
    probe = policy_probe.PolicyProbe(policy, parts=1, samples=16, max_new_tokens=20)

    def make_batch(seed):
        return probe_batches.sample_arithmetic(probe, seed, prompts=8, difficulty=2)

    found = authority.measure_signals(probe, make_batch, "sgd", 0)
    exact = float(found["parameter polarity"])
    assert exact > 0
    # To first order sum |P^theta| is the most that signs can have; the rest is curvature.
    assert all(np.abs(values).max() < 1.05 * exact for values in found.values())


def test_every_entry_of_the_studies_is_a_preset_with_these_numbers():
    from experiments.studies import baselines, branches, control

    for entry in [*control.ENTRIES, *branches.ENTRIES, *baselines.ENTRIES]:
        assert set(entry.numbers) | set(entry.choices) | set(entry.scaled or ()) <= set(
            presets.hyperparameters(entry.method)
        ), entry.label


def test_every_method_gets_as_many_trials():
    from experiments.studies import baselines

    scale = baselines.SCALES["full"]
    trials = {entry.label: benchmark.list_trials(entry, scale) for entry in baselines.ENTRIES}
    assert {
        len(set(trials[entry.label])) * len(benchmark.list_search_seeds(entry, scale))
        for entry in baselines.ENTRIES
    } == {12}
    # the published strength by name, so that both strengths share a compiled step; without one,
    # twice the seeds
    assert {trial.numbers for trial in trials["kl_cov"]} == {
        (("penalized_share", 2e-3),),
        (("penalized_share", 5e-2),),
    }
    assert {trial.rate for found in trials.values() for trial in found} == set(benchmark.RATES)


def test_every_preset_of_the_field_is_a_baseline():
    from experiments.studies import baselines

    ablations = {
        name for name in presets.PRESETS if name.startswith("papo_") or name.endswith("_branch")
    }
    assert {entry.method for entry in baselines.ENTRIES} | ablations >= set(presets.PRESETS)
