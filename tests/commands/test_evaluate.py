"""`--mode=evaluate`: checkpoints, a base policy, another evaluation set; and what is refused."""

import json
import shutil

import pytest

import run
from papo_jax.grading import Judgment, Pool
from papo_jax.tasks import load
from papo_jax.telemetry import runfiles
from tests.support.seeds import SEED


@pytest.fixture(scope="module")
def trained(command_line, tmp_path_factory):
    """Four steps with a checkpoint after each, evaluated before and after."""
    workdir = tmp_path_factory.mktemp("trained")
    more = {
        "checkpoint.every": 1,
        "checkpoint.keep": 1,
        "evaluation.every": 4,
        "training.learning_rate": 3e-3,
    }
    assert run.main(command_line(workdir, more)) == 0
    return workdir


def evaluate(workdir, *more) -> int:
    return run.main(["run.py", "--mode=evaluate", f"--workdir={workdir}", *more])


def read(path) -> dict:
    return json.loads(path.read_text())


def test_training_keeps_raw_verdicts_and_what_made_them(trained):
    document, rows = (
        read(trained / "evaluation.json"),
        runfiles.read_rows(trained / "evaluation_samples.jsonl"),
    )
    assert [entry["step"] for entry in document["entries"]] == [0, 4]
    assert document["sampling"] == {
        "samples": 4,
        "temperature": 1.0,
        "max_new_tokens": 8,
        "seed": SEED,
    }
    assert (
        document["graders"]["names"] == ["integer"]
        and document["graders"]["versions"]["papo_jax.grading"]
    )
    assert document["panel"]["sources"] == {"arithmetic": 16}
    provenance = read(trained / "provenance.json")
    first, last = document["entries"]
    assert first["model"] == provenance["model"]["fingerprint"] != last["model"]
    assert len(rows) == 2 * 16
    for entry in document["entries"]:
        mine = [row for row in rows if row["step"] == entry["step"]]
        assert [row["problem"] for row in mine] == document["panel"]["identifiers"]
        assert [row["verdicts"].count("right") for row in mine] == entry["right"]
        assert all(len(row["completions"]) == len(row["answers"]) == 4 for row in mine)
    assert document["last"]["step"] == 4 and document["best"]["step"] in (0, 4)


def test_last_and_best_checkpoint_join_the_record(trained, tmp_path, capsys):
    before = read(trained / "evaluation.json")
    output = tmp_path / "again.json"
    assert evaluate(trained, f"--output={output}") == 0
    document = read(output)
    kept = sorted(
        int(path.name) for path in (trained / "checkpoints").iterdir() if path.name.isdigit()
    )
    assert [entry["step"] for entry in document["entries"]] == kept and kept[-1] == 4
    again, last = document["entries"][-1], before["entries"][-1]
    assert {**again, "seconds": 0} == {
        **last,
        "seconds": 0,
    }  # the same parameters, keys and panel: the same answers
    assert f"step {kept[-1]}" in capsys.readouterr().out
    assert read(trained / "evaluation.json") == before
    assert evaluate(trained) == 0
    joined = read(trained / "evaluation.json")
    assert [entry["step"] for entry in joined["entries"]] == sorted({0, *kept})
    assert (
        evaluate(trained) == 0 and read(trained / "evaluation.json") == joined
    )  # nothing left to do


def test_another_panel_has_a_place_of_its_own(trained, tmp_path, capsys):
    wider = ("--config.evaluation.problems=20", "--config.evaluation.samples=2")
    assert evaluate(trained, *wider) == 2
    refusal = "holds an evaluation of another evaluation set; move it away, or give this one an"
    assert f"{refusal} --output of its own" in capsys.readouterr().err
    assert evaluate(trained, *wider, f"--output={tmp_path / 'wide.json'}") == 0
    assert read(tmp_path / "wide.json")["panel"]["problems"] == 20
    assert len(runfiles.read_rows(tmp_path / "wide_samples.jsonl")) % 20 == 0


def test_a_users_file_without_any_code(trained, tmp_path):
    lines = [{"prompt": f"{a}+1=", "answer": str(a + 1)} for a in range(5)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = (
        "--config.evaluation.task=jsonl",
        f"--config.evaluation.path={tmp_path / 'mine.jsonl'}",
        "--config.evaluation.problems=1",
    )
    assert evaluate(trained, *more, f"--output={tmp_path / 'mine.json'}") == 0
    panel = read(tmp_path / "mine.json")["panel"]
    assert panel["task"] == "jsonl" and panel["problems"] == 1


def test_a_base_policy_is_evaluated_where_there_is_no_run(command_line, trained, tmp_path):
    workdir = tmp_path / "base"
    arguments = command_line(workdir, {"checkpoint.every": 1, "evaluation.every": 4})
    assert run.main([*arguments, "--mode=evaluate"]) == 0
    document = read(workdir / "evaluation.json")
    assert [entry["step"] for entry in document["entries"]] == [0]
    first = read(trained / "evaluation.json")["entries"][0]
    assert {**document["entries"][0], "seconds": 0} == {**first, "seconds": 0}
    assert sorted(path.name for path in workdir.iterdir()) == [
        ".lock",
        "config.json",
        "evaluation.json",
        "evaluation_samples.jsonl",
        "provenance.json",
    ]


@pytest.mark.parametrize(
    "more, said",
    [
        (("--config.training.steps=9",), "leave --config.training.steps out"),
        (("--config.model.path=tiny",), "leave --config.model.path out"),
        (("--config.rollout.temperature=0.5",), "leave --config.rollout.temperature out"),
        (("--output=somewhere",), "must name a .json file"),
        (("--output=no/such/place.json",), "must name a .json file in a directory that is there"),
        (
            ("--config.evaluation.grader=math",),
            "evaluation.grader is set and evaluation.task is not",
        ),
        (("--config.evaluation.task=gsm8k",), "evaluation.path"),
        (("--dtype=float32",), "belongs to --mode=export"),
        (
            ("--config.evaluation.problems=99",),
            "evaluation.problems = 99 is more than the 32 held-out problems",
        ),
        (("--config.evaluation.task=aime_2024",), "evaluation.path"),
        (("--config.evaluation.samples=0",), "must be at least 1"),
    ],
)
def test_what_cannot_be_evaluated(trained, capsys, more, said):
    before = read(trained / "evaluation.json")
    assert evaluate(trained, *more) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert read(trained / "evaluation.json") == before


def test_weights_of_another_base_are_refused(trained, capsys):
    path = trained / "provenance.json"
    kept = path.read_text()
    changed = json.loads(kept)
    changed["model"]["fingerprint"] = "other"
    path.write_text(json.dumps(changed))
    try:
        assert evaluate(trained) == 2
        assert "other weights of model.path" in capsys.readouterr().err
    finally:
        path.write_text(kept)


def test_a_run_whose_panel_has_changed_does_not_go_on(command_line, tmp_path, capsys):
    lines = [{"prompt": f"{a}+1=", "answer": a + 1} for a in range(40)]
    path = tmp_path / "panel.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    panel = {
        "evaluation.task": "jsonl",
        "evaluation.path": path,
        "evaluation.problems": 1,
        "evaluation.every": 1,
    }
    assert run.main(command_line(tmp_path / "run", {**panel, "training.steps": 1})) == 0
    path.write_text(path.read_text().replace("+1=", "+1 ="))
    kept = {place: place.read_bytes() for place in (tmp_path / "run").glob("*.json*")}
    capsys.readouterr()
    assert run.main(command_line(tmp_path / "run", {**panel, "training.steps": 2})) == 2
    assert "holds an evaluation of another evaluation set" in capsys.readouterr().err
    assert {place: place.read_bytes() for place in (tmp_path / "run").glob("*.json*")} == kept
    document = read(tmp_path / "run" / "evaluation.json")
    (tmp_path / "run" / "evaluation.json").write_text(json.dumps({**document, "entries": [{}]}))
    assert run.main(command_line(tmp_path / "run", {**panel, "training.steps": 2})) == 2


def test_a_base_policys_evaluation_can_be_repeated_and_made_wider(command_line, tmp_path, capsys):
    arguments = [*command_line(tmp_path / "base", {"evaluation.problems": 4}), "--mode=evaluate"]
    assert run.main(arguments) == 0
    kept = read(tmp_path / "base" / "evaluation.json")
    assert run.main(arguments) == 0 and read(tmp_path / "base" / "evaluation.json") == kept
    capsys.readouterr()
    assert (
        run.main([*arguments, "--config.model.path=tiny", f"--output={tmp_path / 'other.json'}"])
        == 2
    )
    assert "other weights of model.path" in capsys.readouterr().err


def test_what_the_command_names_may_be_what_the_run_has(trained):
    assert evaluate(trained, "--config.training.steps=4", "--config.evaluation.samples=4") == 0


def test_an_evaluation_writes_nothing_over_a_run(command_line, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert run.main(command_line(workdir, {"training.steps": 2})) == 0
    config = (workdir / "config.json").read_text()
    (workdir / "config.json").unlink()
    kept = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert evaluate(workdir, f"--output={tmp_path / 'x.json'}") == 2
    assert "has a run's files and no config.json; put it back" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == kept
    (workdir / "config.json").write_text(config)
    assert evaluate(workdir, "--noconfig.model.chat") == 2
    assert "leave --config.model.chat out" in capsys.readouterr().err


def test_an_evaluation_without_a_verdict_is_none(command_line, monkeypatch, capsys, tmp_path):
    def nothing(self, answers, **_):
        return [Judgment("error", None, "no luck")] * len(answers)

    monkeypatch.setattr(
        "papo_jax.training.problems.run_problems.check_graders",
        lambda problems, pool, **_: problems,
    )
    monkeypatch.setattr(Pool, "judge", nothing)
    assert run.main([*command_line(tmp_path / "base"), "--mode=evaluate"]) == 3
    assert (
        "not one of the evaluation set's 64 answers could be judged (the first: no luck)"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "base" / "evaluation.json").exists()


def test_problems_that_a_run_was_trained_on_are_no_evaluation_of_it(trained, tmp_path, capsys):
    prompts = [
        problem.prompt
        for problem in load("arithmetic", difficulty=1, train_size=64, held_out_size=32).train[:3]
    ]
    path = tmp_path / "seen.jsonl"
    path.write_text(
        "".join(
            json.dumps({"prompt": prompt, "answer": 1}) + "\n" for prompt in dict.fromkeys(prompts)
        )
        + '{"prompt": "7+9+1=", "answer": 17}\n'
    )
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        text = path.read_text() if name == "test" else '{"prompt": "1+1+1+1=", "answer": 4}\n'
        (tmp_path / "data" / f"{name}.jsonl").write_text(text)
    more = (
        "--config.evaluation.task=jsonl",
        f"--config.evaluation.path={tmp_path / 'data'}",
        "--config.evaluation.problems=2",
    )
    assert evaluate(trained, *more, f"--output={tmp_path / 'seen.json'}") == 2
    assert (
        "questions to train on that are also evaluated on: " in capsys.readouterr().err
        and not (tmp_path / "seen.json").exists()
    )


def test_a_kill_in_the_middle_of_an_evaluation_leaves_no_row_twice(trained, tmp_path):
    output = tmp_path / "killed.json"
    assert evaluate(trained, f"--output={output}") == 0
    document, rows = read(output), runfiles.read_rows(tmp_path / "killed_samples.jsonl")
    output.write_text(
        json.dumps({**document, "entries": document["entries"][:1]})
    )  # as before the last entry was written
    assert evaluate(trained, f"--output={output}") == 0
    again = runfiles.read_rows(tmp_path / "killed_samples.jsonl")

    def key(row):
        return (row["step"], row["problem"])

    assert sorted(map(key, again)) == sorted(map(key, rows)) and len(set(map(key, again))) == len(
        again
    )


def test_what_went_before_and_after_a_resume_is_on_record_once(command_line, tmp_path):
    workdir = tmp_path / "run"
    more = {"evaluation.every": 1, "checkpoint.every": 2, "checkpoint.keep": 3}
    assert run.main(command_line(workdir, {**more, "training.steps": 4})) == 0
    whole, rows = (
        read(workdir / "evaluation.json"),
        runfiles.read_rows(workdir / "evaluation_samples.jsonl"),
    )
    shutil.rmtree(workdir / "checkpoints" / "4")
    assert run.main(command_line(workdir, {**more, "training.steps": 4})) == 0
    again = read(workdir / "evaluation.json")

    def strip(document):
        return [{**entry, "seconds": 0} for entry in document["entries"]]

    assert [entry["step"] for entry in again["entries"]] == [0, 1, 2, 3, 4] and strip(
        again
    ) == strip(whole)
    assert runfiles.read_rows(workdir / "evaluation_samples.jsonl") == rows
    change = (sum(whole["entries"][-1]["right"]) - sum(whole["entries"][0]["right"])) / 64
    assert whole["paired_difference"]["avg_at_k"]["value"] == pytest.approx(change)
    shutil.rmtree(workdir / "checkpoints" / "4")
    assert (
        run.main(command_line(workdir, {**more, "training.steps": 2, "evaluation.every": 2})) == 0
    )
    assert [entry["step"] for entry in read(workdir / "evaluation.json")["entries"]] == [0, 1, 2]
    assert {row["step"] for row in runfiles.read_rows(workdir / "evaluation_samples.jsonl")} == {
        0,
        1,
        2,
    }


def test_a_panel_with_a_gold_that_its_grader_cannot_use_or_with_training_questions_is_refused(
    command_line, tmp_path, capsys
):
    seen = load("arithmetic", difficulty=1, train_size=64, held_out_size=32).train[0]
    for name, lines, said in (
        (
            "bad",
            [{"prompt": f"{n}?", "answer": "abc"} for n in range(40)],
            "grader 'approximate' says 'error'",
        ),
        (
            "seen",
            [
                {"prompt": seen.prompt, "answer": 1},
                *({"prompt": f"{n}+1+{n}+1=", "answer": 1} for n in range(40)),
            ],
            "also evaluated on",
        ),
    ):
        (tmp_path / name).mkdir()
        for split, rows in (("train", [{"prompt": "Why?", "answer": "1"}]), ("test", lines)):
            (tmp_path / name / f"{split}.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in rows)
            )
        panel = {
            "evaluation.task": "jsonl",
            "evaluation.path": tmp_path / name,
            "evaluation.problems": 4,
            "evaluation.grader": "approximate",
        }
        assert run.main(command_line(tmp_path / "run", panel)) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "run").exists()
