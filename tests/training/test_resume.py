"""A run that was stopped, or killed, and goes on is the run that never stopped."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import warnings

import jax
import numpy as np
import pytest

import run
from papo_jax.training import step as training_step

ROOT = pathlib.Path(run.__file__).parent
SIX = {"training.steps": 6, "method.name": "papo"}

# A run that stands still in its step 4, between the updates and the row, until it is killed.
STAND_STILL = """
import sys, time
import run
from papo_jax.training import step as training_step

list_samples = training_step.list_samples

def stand_still(run, step, *arguments):
    if step == 3:
        print("in step 4", flush=True)
        time.sleep(600)
    return list_samples(run, step, *arguments)

training_step.list_samples = stand_still
sys.exit(run.main(sys.argv))
"""


# The program itself, standing still while it loads, or in its second step.
PROGRAM = """
import runpy, sys, time
from papo_jax.commands import train

function = sys.argv.pop(1)
before = getattr(train, function)

def stand_still(*arguments):
    if function == "prepare_run" or arguments[-1] == 1:
        print("here", flush=True)
        while True:
            time.sleep(0.01)
    return before(*arguments)

setattr(train, function, stand_still)
runpy.run_path("run.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def uninterrupted(small, train, tmp_path_factory):
    """Six steps: (rows, state, samples)."""
    workdir = tmp_path_factory.mktemp("whole")
    return *train(small(SIX), workdir), (workdir / "samples.jsonl").read_bytes()


@pytest.fixture
def assert_same(uninterrupted, small, train):
    """Resumes a work directory to the sixth step and compares all of it, bit for bit."""

    def check(workdir):
        rows, last = train(small(SIX), workdir)
        assert rows == uninterrupted[0]  # each step once, too
        jax.tree.map(np.testing.assert_array_equal, last, uninterrupted[1])
        assert (workdir / "samples.jsonl").read_bytes() == uninterrupted[2]

    return check


def test_three_and_three_are_six(small, train, tmp_path, assert_same):
    rows, _ = train(small({**SIX, "training.steps": 3}), tmp_path)
    assert len(rows) == 3
    assert_same(tmp_path)


@pytest.fixture(scope="module")
def stopped_at_four(small, train, tmp_path_factory):
    """Four steps of the six, evaluated every second step, to be copied."""
    workdir = tmp_path_factory.mktemp("four")
    train(small({**SIX, "training.steps": 4, "evaluation.every": 2}), workdir)
    return workdir


@pytest.mark.parametrize(
    "lose, said",
    [
        pytest.param(
            lambda d: (d / "evaluation.json").unlink(),
            "evaluation.json lacks .* steps 0, 2;",
            marks=pytest.mark.slow,
        ),
        (lambda d: (d / "metrics.jsonl").unlink(), "metrics.jsonl lacks steps 0, 1, 2, 3;"),
        (lambda d: (d / "samples.jsonl").unlink(), "samples.jsonl has lost rows"),
        (lambda d: cut_rows(d / "metrics.jsonl", 1), "metrics.jsonl lacks steps 1, 2, 3;"),
        (lambda d: shutil.rmtree(d / "checkpoints" / "4"), "checkpoint 4 is gone"),
        (lambda d: (d / "provenance.json").write_text("[]"), "provenance.json must hold"),
    ],
    ids=["evaluation", "metrics", "samples", "cut", "newest", "provenance"],
)
def test_what_was_lost_is_said_and_the_numbers_stay(
    small, train, uninterrupted, stopped_at_four, tmp_path, lose, said
):
    workdir = shutil.copytree(stopped_at_four, tmp_path / "run")
    lose(workdir)
    with pytest.warns(UserWarning, match=said):
        rows, last = train(small({**SIX, "evaluation.every": 2}), workdir)
    assert rows[-2:] == uninterrupted[0][-2:]
    jax.tree.map(np.testing.assert_array_equal, last, uninterrupted[1])


def cut_rows(path, count):
    """Keeps some rows and half of the next, as a power failure may."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:count]) + lines[count][:50])


def test_a_resume_without_a_loss_says_nothing(small, train, stopped_at_four, tmp_path):
    workdir = shutil.copytree(stopped_at_four, tmp_path / "run")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(small({**SIX, "evaluation.every": 2}), workdir)
    assert [str(one.message) for one in said if issubclass(one.category, UserWarning)] == []


def test_killed_in_the_middle_of_a_step(command_line, tmp_path, assert_same):
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_STILL, *command_line(tmp_path, SIX)[1:]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline() == "in step 4\n"
    finally:
        process.kill()
        process.communicate()
    rows = (tmp_path / "metrics.jsonl").read_bytes()
    assert rows.count(b"\n") == 3
    (tmp_path / "metrics.jsonl").write_bytes(
        rows + b'{"step": 3, "rew'
    )  # as a kill in the middle of a write leaves it
    assert_same(tmp_path)


@pytest.mark.parametrize("function", ["prepare_run", "train_step"])
def test_ctrl_c_while_loading_or_a_second_one_ends_it_at_once(
    command_line, tmp_path, assert_same, function
):
    every = {**SIX, "checkpoint.every": 1}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, function, *command_line(tmp_path, every)[1:]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "here\n"
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said == "interrupted; a run that has a checkpoint resumes from it\n"
    if function == "train_step":
        assert (tmp_path / "checkpoints" / "1").is_dir()
        assert_same(tmp_path)


def test_signal_finishes_the_step_and_says_how_to_go_on(
    command_line, tmp_path, capsys, monkeypatch, assert_same
):
    collect_rollouts = training_step.collect_rollouts

    def signaled(run, state, step, clock):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return collect_rollouts(run, state, step, clock)

    with monkeypatch.context() as patch:
        patch.setattr(training_step, "collect_rollouts", signaled)
        handler = signal.getsignal(signal.SIGTERM)
        assert run.main(command_line(tmp_path, {**SIX, "telemetry.progress": True})) == 0
        assert signal.getsignal(signal.SIGTERM) is handler
    assert "after step 3; the same command resumes" in capsys.readouterr().err
    assert (tmp_path / "checkpoints" / "3").is_dir()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    config = json.loads((tmp_path / "config.json").read_text())
    config["telemetry"]["progress"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_same(tmp_path)
