"""A run that was stopped, or killed, and goes on is the run that never stopped."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import run
from papo_jax.errors import InputError
from papo_jax.learner import state
from papo_jax.training import step as training_step
from papo_jax.training.checkpoint import Checkpoints, abstract_state, best_step, newest_step

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


@pytest.fixture
def saved(tmp_path):
    """(folder, a function from a step to a small state) for checkpoints without a model."""
    optimizer = optax.adam(0.1)

    def of(step):
        made = state.init_state({"w": jnp.full((4,), float(step))}, optimizer, 0)
        return made._replace(step=jnp.int32(step))

    return tmp_path / "checkpoints", of


def example(of):
    shapes = jax.eval_shape(lambda: of(0))
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return abstract_state(shapes, jax.tree.map(lambda _: here, shapes))


def save_all(folder, of, scores, keep=2):
    checkpoints = Checkpoints(folder, keep=keep)
    for step, score in enumerate(scores, start=1):
        checkpoints.save(of(step), score)
    checkpoints.close()


def spoil(folder, step):
    """Cuts every file of a checkpoint that holds arrays to half its length."""
    files = [
        path
        for path in (folder / str(step)).rglob("*")
        if path.is_file() and path.stat().st_size > 0
    ]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_falling_reward_keeps_the_newest_and_the_best(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.9, 0.7, 0.5, 0.3, 0.1])
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["1", "4", "5"]
    assert float(Checkpoints(folder, keep=2).restore(example(of)).params["w"][0]) == 5.0


def test_the_best_is_remembered_by_a_run_that_goes_on(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.9, 0.7, 0.5], keep=1)
    assert (best_step(folder), newest_step(folder)) == (1, 3)
    checkpoints = Checkpoints(folder, keep=1)
    for step, score in ((4, 0.6), (5, 0.8)):
        checkpoints.save(of(step), score)
    checkpoints.close()
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["1", "5"]
    assert (best_step(folder), newest_step(folder)) == (1, 5)


def test_rising_reward_keeps_the_newest(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.3, 0.5, 0.7])
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["3", "4"]


def test_broken_checkpoint_is_passed_over_and_set_aside(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.2, 0.3])
    spoil(folder, 3)
    checkpoints = Checkpoints(folder, keep=2)
    with pytest.warns(UserWarning, match="checkpoint 3 cannot be read and is passed over"):
        assert int(checkpoints.restore(example(of)).step) == 2
    assert not (folder / "3").exists() and any((folder.parent / "broken_checkpoints").iterdir())
    checkpoints.save(of(3), 0.3)  # the step is made again
    assert int(checkpoints.restore(example(of)).step) == 3


def test_all_broken_is_an_input_error_and_nothing_moves(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1, 0.2])
    spoil(folder, 1), spoil(folder, 2)
    with (
        pytest.warns(UserWarning),
        pytest.raises(InputError, match=r"none of the checkpoints \[2, 1\]"),
    ):
        Checkpoints(folder, keep=2).restore(example(of))
    assert (folder / "1").exists() and (folder / "2").exists()


def test_half_written_checkpoint_is_not_seen(saved):
    folder, of = saved
    save_all(folder, of, scores=[0.1])
    (folder / "2.orbax-checkpoint-tmp").mkdir()
    assert int(Checkpoints(folder, keep=2).restore(example(of)).step) == 1


def test_without_a_checkpoint_there_is_nothing_to_restore(saved):
    folder, of = saved
    assert Checkpoints(folder, keep=2).restore(example(of)) is None
