"""Wrong input is said in one line, with exit code 2, before anything is compiled or written."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from safetensors import safe_open

import run
from papo_jax.commands import train as train_command
from papo_jax.errors import TrainingStopped
from papo_jax.grading import Judgment, Pool
from papo_jax.telemetry import runfiles
from papo_jax.training import step as training_step
from papo_jax.training.training_run import prepare_run
from tests.support.seeds import SEED
from tests.support.verdicts import give_mixed_verdicts


@pytest.fixture
def complains(command_line, capsys, monkeypatch, tmp_path):
    """A function that runs a command line that must be refused, and returns the line it says."""

    def check(overrides=None, *more, workdir=tmp_path / "run", arguments=None, code=2):
        monkeypatch.setattr(train_command, "train_step", lambda *_: pytest.fail("training began"))
        before = snapshot(tmp_path)
        capsys.readouterr()
        assert run.main([*(arguments or command_line(workdir, overrides)), *more]) == code
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1, said
        assert snapshot(tmp_path) == before
        return said.err

    return check


def snapshot(directory: pathlib.Path) -> dict:
    """Every file below with its bytes and its time; folders too."""
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize(
    "overrides, said",
    [
        ({"training.minibatchs": 3}, "the nearest one is 'training.minibatches'"),
        ({"trainning.steps": 3}, "the nearest one is 'training.steps'"),
        ({"training.steps": "many"}, "training.steps=many"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"model.remat": "maybe"}, "none, dots, full"),
        ({"training.minibatches": 3}, "16 sequences cannot be cut into training.minibatches = 3"),
        ({"training.microbatch": 3}, "does not divide a minibatch of 8"),
        ({"rollout.prompts": 65}, "more than the 64 problems of arithmetic"),
        ({"evaluation.problems": 33}, "more than the 32 held-out problems"),
        ({"mesh.data": 4096}, "multiples of mesh.data"),
        ({"method.name": "papoo"}, "none of grpo, dapo, papo"),
        ({"method.lam": 0.7}, "min(1 - w_min, w_max - 1) = 0.5"),
        (
            {"method.name": "grpo", "method.covariance_share": 0.1},
            "method.covariance_share means nothing to 'grpo'",
        ),
        (
            {"method.name": "clip_cov", "method.covariance_share": 1.5},
            "method.covariance_share is 1.5; it must be in [0, 1]",
        ),
        ({"task.name": "arithmetics"}, "the nearest is 'arithmetic'"),
        ({"task.path": "somewhere"}, "reads no file"),
        ({"task.difficulty": 0}, "1 to 8"),
        ({"model.thinking": True}, "model.thinking is set but the model has no chat template"),
        ({"model.system": "Be brief."}, "model.system is set but the model has no chat template"),
        ({"model.path": "gs://bucket/policy"}, "model.path gs://bucket/policy is an address"),
        ({"model.path": "hf://owner/name"}, "model.path hf://owner/name is an address"),
        ({"task.name": "gsm8k", "task.path": "s3://b/x"}, "task.path s3://b/x is an address"),
        (
            {"evaluation.task": "gsm8k", "evaluation.path": "https://b/x"},
            "evaluation.path https://b/x is an address",
        ),
        ({"model.path": "no/such/place"}, "'no/such/place' is neither"),
        ({"model.dtype": "float8"}, "float32 or bfloat16"),
        ({"rollout.max_prompt_tokens": 3}, "more than rollout.max_prompt_tokens = 3"),
        ({"rollout.max_new_tokens": 60}, "4 tokens are left for a prompt"),
        ({"grading.max_errors": 1.1}, "grading.max_errors is 1.1; it is a share, from 0 to 1"),
        ({"grading.max_errors": -0.1}, "grading.max_errors is -0.1; it is a share, from 0 to 1"),
        ({"grading.max_errors": "nan"}, "grading.max_errors is nan; it is a share, from 0 to 1"),
    ],
)
def test_config_that_cannot_be(complains, overrides, said):
    assert said in complains(overrides)


def test_command_line_that_cannot_be(complains, command_line, tmp_path):
    assert "'wrkdir'" in complains(None, "--wrkdir=x")
    assert "'extra' is no flag" in complains(None, "extra")
    assert "missing.py" in complains(
        arguments=["run.py", "--config=missing.py", f"--workdir={tmp_path / 'run'}"]
    )
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config():\n    raise ValueError('no luck today')\n")
    assert "no luck today" in complains(
        arguments=["run.py", f"--config={broken}", f"--workdir={tmp_path / 'run'}"]
    )
    config = command_line(tmp_path)[1]
    line = complains(
        arguments=["run.py", f"{config}:papo,learnin_rate=3", f"--workdir={tmp_path / 'run'}"]
    )
    assert "'training.learning_rate'" in line


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3://b", "file:///tmp/run", "a/b://c"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--workdir={}"],
        ["--workdir", "{}"],
        ["-workdir={}"],
        ["--mode=export", "--output={}"],
        ["--mode=evaluate", "--output", "{}"],
        ["--config={}/config.py:papo"],
    ],
)
def test_addresses_are_no_paths(complains, monkeypatch, tmp_path, flags, address):
    monkeypatch.chdir(tmp_path)
    if "config" in flags[0] and address.startswith("a/"):
        address = address.removeprefix("a/")  # a colon after a slash begins the variant
    said = complains(arguments=["run.py", *(flag.format(address) for flag in flags)])
    assert f"{address}" in said and "is an address; it must be a local path" in said


def test_help_is_help(capsys):
    assert run.main(["run.py", "--help"]) == 0
    assert "--workdir" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda d: (d / "model.safetensors").unlink(), "model.safetensors does not exist"),
        (
            lambda d: (d / "model.safetensors").write_bytes(
                (d / "model.safetensors").read_bytes()[:-100]
            ),
            "cut short",
        ),
        (lambda d: (d / "model.safetensors").write_bytes(b""), "cut short"),
        (lambda d: (d / "config.json").unlink(), "config.json does not exist"),
        (lambda d: (d / "config.json").write_text("{"), "not valid JSON"),
        (
            lambda d: edit(d / "config.json", model_type="mamba"),
            "'mamba' is not supported; it must be one of",
        ),
        (lambda d: edit(d / "config.json", num_hidden_layers=3), "the weights have 2 layers"),
        (lambda d: edit(d / "config.json", hidden_size=64), "shape"),
        (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json does not exist"),
    ],
    ids=[
        "no weights",
        "truncated",
        "empty",
        "no config",
        "half a config",
        "architecture",
        "layers",
        "width",
        "no tokenizer",
    ],
)
def test_policy_that_cannot_be_loaded(complains, policy_directory, tmp_path, change, said):
    copy = shutil.copytree(policy_directory, tmp_path / "policy")
    change(copy)
    assert said in complains({"model.path": copy})


def edit(path: pathlib.Path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    "line, reason",
    [("{", "JSON"), ("", "empty"), ('{"question": "1+1?"}', "answer"), ("[1]", "object")],
)
def test_line_of_a_data_file_that_cannot_be_read(complains, tmp_path, line, reason):
    good = json.dumps({"question": "What is 1+1?", "answer": "It is 2. #### 2"})
    (tmp_path / "train.jsonl").write_text("\n".join([good, good, line, good]) + "\n")
    (tmp_path / "test.jsonl").write_text(good + "\n")
    said = complains({"task.name": "gsm8k", "task.path": tmp_path, "rollout.max_prompt_tokens": 40})
    assert "train.jsonl" in said and "3" in said and reason in said


def test_token_budget_below_the_longest_row(complains):
    said = complains({"training.microbatch_tokens": 9})
    assert "training.microbatch_tokens = 9 is below the longest row" in said
    assert "+ 8 tokens" in said and "make it at least" in said


def test_work_directory_that_cannot_be_written(complains, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a file" in complains(workdir=tmp_path / "file")
    assert "file" in complains(workdir=tmp_path / "file" / "run")
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        assert "closed" in complains(workdir=tmp_path / "closed" / "run")


def test_work_directory_of_another_run(complains, small, train, tmp_path):
    workdir = tmp_path / "run"
    train(small({"training.steps": 2}), workdir)
    assert "training.learning_rate = 0.001, not 0.002" in complains(
        {"training.learning_rate": 0.002}
    )
    assert "model.path" in complains({"model.path": "elsewhere"})
    said = complains({"seed": SEED + 1, "training.steps": 9})
    assert f"seed = {SEED}, not {SEED + 1}" in said
    assert "(and 1 more)" in complains({"seed": SEED + 1, "task.seed": 5})
    (workdir / "config.json").write_text("{")
    assert "config.json is not valid JSON" in complains()


def test_work_directory_whose_checkpoints_are_gone(complains, small, train, tmp_path):
    train(small({"training.steps": 2}), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    said = complains({"training.steps": 3})
    assert "a run of 2 step(s) whose checkpoints are gone" in said
    (tmp_path / "run" / "checkpoints").mkdir()
    assert complains({"training.steps": 3}) == said


def test_work_directory_with_a_damaged_row(complains, small, train, tmp_path):
    train(small({"training.steps": 2}), tmp_path / "run")
    rows = (tmp_path / "run" / "metrics.jsonl").read_text()
    (tmp_path / "run" / "metrics.jsonl").write_text("torn\n" + rows)
    assert "metrics.jsonl: line 1" in complains({"training.steps": 3})


def test_what_may_change_when_a_run_goes_on(small, train, tmp_path):
    train(small({"training.steps": 1}), tmp_path)
    changed = {
        "training.steps": 2,
        "checkpoint.every": 1,
        "evaluation.every": 1,
        "diagnostics.every": 1,
    }
    rows, _ = train(small(changed), tmp_path)
    assert [row["step"] for row in rows] == [0, 1]


def test_updates_that_are_not_finite_stop_the_run(command_line, small, train, tmp_path, capsys):
    workdir = tmp_path / "run"
    rate = {"training.learning_rate": 1e30, "training.warmup_steps": 0, "checkpoint.every": 1}
    with give_mixed_verdicts():
        assert run.main(command_line(workdir, rate)) == 3
    said = capsys.readouterr().err
    assert "3 updates in a row were not finite" in said and said.count("\n") == 1
    kept = sorted((workdir / "skipped").iterdir())
    rows = runfiles.read_rows(workdir / "metrics.jsonl")
    assert len(kept) == sum(row["update/skipped"] for row in rows) >= 3
    with np.load(kept[0]) as batch:
        names = {"tokens", "valid", "action", "prompt_tokens", "weighted_advantages", "old_logprob"}
        assert names <= set(batch)
        assert batch["tokens"].shape == (8, 8)
    spoilt = min(row["step"] for row in rows if row["update/skipped"])
    kept = [int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]
    assert (
        max(kept, default=0) <= spoilt < rows[-1]["step"] + 1
    )  # parameters that may be at fault are not kept


def test_a_step_whose_answers_are_mostly_errors_stops_the_run(command_line, tmp_path, capsys):
    steps = iter([1, 9, 9])  # of 16 answers a step that are errors, with the check of the end

    def judge(self, answers, **_):
        errors = next(steps)
        return [
            Judgment("error", None, "timeout") if number < errors else Judgment("wrong", None)
            for number in range(len(answers))
        ]

    workdir = tmp_path / "run"
    wanted = {"checkpoint.every": 1, "training.steps": 3, "evaluation.every": 0}
    wanted["telemetry.progress"] = True
    with give_mixed_verdicts(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "judge", judge)
        assert run.main(command_line(workdir, wanted)) == 3
    lines = capsys.readouterr().err.splitlines()
    warning = "step 0: 6.2 % of the answers could not be judged (the first: timeout); a run stops"
    assert [line.startswith(warning) for line in lines].count(True) == 1
    (error,) = [line for line in lines if line.startswith("error: ")]
    assert "step 1: 56.2 % of the answers" in error and "grading.max_errors = 0.5" in error
    rows = runfiles.read_rows(workdir / "metrics.jsonl")
    assert [row["grader/error"] for row in rows] == [1 / 16, 9 / 16]
    failures = runfiles.read_rows(workdir / "grader_errors.jsonl")
    assert [row["step"] for row in failures] == [0] + [1] * 8
    kept = {path.name for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()}
    assert kept == {"1"}  # the state before the step with the errors


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a disk of so many KiB."""
    mounted = []

    def make(kibibytes):
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(place)]
        if (
            os.geteuid()
            or not shutil.which("mount")
            or subprocess.run(mount, capture_output=True).returncode
        ):
            pytest.skip("only root may mount a small disk here")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_disk_too_small_for_the_checkpoints(complains, disk):
    place = disk(512)
    assert "free some or choose another --workdir" in complains(workdir=place / "run")
    assert not list(place.iterdir())


def test_read_only_disk(complains, disk):
    place = disk(8192)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    assert os.strerror(errno.EROFS) in complains(workdir=place / "run")


@pytest.mark.parametrize(
    "left",
    [pytest.param(0, marks=pytest.mark.slow), 100 * 1024],
    ids=["full for a row", "full for a checkpoint"],
)
def test_disk_that_fills_up_during_the_run(
    command_line, small, train, disk, capsys, monkeypatch, left
):
    workdir = disk(8192) / "run"
    collect_rollouts = training_step.collect_rollouts

    def filling(run, state, step, clock):
        if step == 3:
            free = shutil.disk_usage(workdir).free
            (workdir.parent / "filler").write_bytes(bytes(max(0, free - left)))
        return collect_rollouts(run, state, step, clock)

    with monkeypatch.context() as patch:
        patch.setattr(training_step, "collect_rollouts", filling)
        assert run.main(command_line(workdir)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "space" in said
    (workdir.parent / "filler").unlink()
    with contextlib.closing(prepare_run(small(), workdir)) as again:
        assert int(again.initial.step) == 2  # the older checkpoint is whole
    rows, state = train(small(), workdir)
    assert [row["step"] for row in rows] == [0, 1, 2, 3] and int(state.step) == 4


def _without_a_shard(directory):
    with safe_open(directory / "model.safetensors", "numpy") as file:
        names = list(file.keys())
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "model.safetensors").unlink()


MODELS = {
    "missing shard": (_without_a_shard, "model-00001-of-00001.safetensors"),
    "tokenizer larger than the embedding": (
        lambda d: edit(d / "config.json", vocab_size=80),
        "has shape (100, 32), the config asks for (80, 32)",
    ),
    "unknown field": (lambda d: edit(d / "config.json", attention_sinks=4), "'attention_sinks'"),
    "template that fails": (
        lambda d: (d / "chat_template.jinja").write_text("{{ raise_exception('no') }}"),
        "set model.chat=false",
    ),
}


@pytest.mark.parametrize("change, said", MODELS.values(), ids=MODELS.keys())
def test_models_whose_parts_do_not_fit(complains, policy_directory, tmp_path, change, said):
    copy = shutil.copytree(policy_directory, tmp_path / "policy")
    change(copy)
    assert said in complains({"model.path": str(copy)})


@pytest.mark.parametrize(
    "rows, said",
    [
        ([{"step": 0, "update/made": 0, "update/skipped": 2}] * 2, "4 were not finite"),
        ([{"step": 0, "update/made": 0, "update/skipped": 0}], "no answer took part in the loss"),
    ],
)
def test_a_run_that_never_made_an_update_does_not_end_as_done(tmp_path, rows, said):
    numbered = [{**row, "step": step} for step, row in enumerate(rows)]
    text = "".join(json.dumps(row) + "\n" for row in numbered)
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(TrainingStopped, match=f"not one update was made in .*{said}"):
        train_command._check_updates_made(tmp_path, steps=len(rows))
    train_command._check_updates_made(tmp_path, steps=len(rows) + 1)  # not over yet
    (tmp_path / "metrics.jsonl").write_text(text.replace('"update/made": 0', '"update/made": 1', 1))
    train_command._check_updates_made(tmp_path, steps=len(rows))
