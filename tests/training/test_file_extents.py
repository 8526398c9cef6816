"""What a run's files have lost since a checkpoint was saved."""

import json

import pytest

from papo_jax.training.file_extents import describe_losses, measure_files


@pytest.fixture
def run_files(tmp_path):
    """A run of four steps and what was measured after them; a kill came in its sixth."""
    for name in ("metrics.jsonl", "samples.jsonl", "evaluation_samples.jsonl"):
        write_rows(tmp_path / name, range(4))
    measured = measure_files(tmp_path)
    assert set(measured) == {"metrics.jsonl", "samples.jsonl", "evaluation_samples.jsonl"}
    return tmp_path, measured


def write_rows(path, steps):
    rows = [{"step": step, "reward/mean": 0.5} for step in steps]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def losses(run_files, on_file=(0, 2)):
    workdir, measured = run_files
    return describe_losses(workdir, step=4, files=measured, evaluated=(0, 2), on_file=on_file)


def test_nothing_is_lost(run_files):
    assert losses(run_files) == []
    assert losses(run_files, on_file=(0, 2, 4)) == []


@pytest.mark.parametrize(
    "steps, said",
    [
        ([0, 1, 3], "metrics.jsonl lacks step 2;"),
        ([3], "metrics.jsonl lacks steps 0, 1, 2;"),
        ([], "metrics.jsonl lacks steps 0, 1, 2, 3;"),
        ([0, 1, "x", 3], "metrics.jsonl lacks step 2;"),
        ([0, 1, [2], 3], "metrics.jsonl lacks step 2;"),
    ],
)
def test_steps_without_a_row(run_files, steps, said):
    write_rows(run_files[0] / "metrics.jsonl", steps)
    (loss,) = losses(run_files)
    assert loss.startswith(said)


def test_rows_without_a_reward(run_files):
    path = run_files[0] / "metrics.jsonl"
    path.write_text(path.read_text().replace('"reward/mean": 0.5', '"reward/mean": null', 1))
    assert losses(run_files) == ["metrics.jsonl has no reward/mean of step 0"]
    path.write_text(path.read_text().replace('"reward/mean"', '"reward/spoilt"', 2))
    assert "metrics.jsonl has no reward/mean of steps 0, 1" in losses(run_files)


def test_a_file_that_is_gone(run_files):
    (run_files[0] / "metrics.jsonl").unlink()
    (run_files[0] / "samples.jsonl").unlink()
    metrics, samples = losses(run_files)
    assert metrics.startswith("metrics.jsonl lacks steps 0, 1, 2, 3;")
    assert samples == "samples.jsonl has lost rows: 0 bytes of it are left and there were 128"


def test_a_file_that_was_cut(run_files):
    write_rows(run_files[0] / "evaluation_samples.jsonl", range(3))
    (loss,) = losses(run_files)
    assert loss.startswith("evaluation_samples.jsonl has lost rows: 96 bytes")


def test_evaluations_that_are_gone(run_files):
    assert losses(run_files, on_file=()) == [
        "evaluation.json lacks the evaluation of steps 0, 2; it cannot be made again"
    ]
    assert "of step 0;" in losses(run_files, on_file=(2,))[0]
