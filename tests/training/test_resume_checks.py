"""What a run must not go on from, read from names and rows alone."""

import json
import warnings

import pytest

from papo_jax.errors import InputError
from papo_jax.training.resume_checks import check_checkpoints, check_rows


@pytest.fixture
def make_run(tmp_path):
    """A function that makes a work directory: steps with rows, with checkpoints, in the journal."""

    def make(rows=0, checkpoints=(), saved=(), every=2):
        (tmp_path / "config.json").write_text(json.dumps({"checkpoint": {"every": every}}))
        (tmp_path / "metrics.jsonl").write_text(
            "".join(json.dumps({"step": step}) + "\n" for step in range(rows))
        )
        for step in checkpoints:
            (tmp_path / "checkpoints" / str(step)).mkdir(parents=True)
        (tmp_path / "checkpoint_scores.json").write_text(json.dumps(dict.fromkeys(saved, 0.5)))
        return tmp_path

    return make


@pytest.mark.parametrize("rows, saved", [(0, ()), (1, ()), (4, ()), (4, (2, 4)), (9, (2, 4, 6, 8))])
def test_nothing_is_said_of_a_run_as_a_kill_leaves_it(make_run, rows, saved):
    workdir = make_run(rows, checkpoints=saved[-2:], saved=saved)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_checkpoints(workdir)


@pytest.mark.parametrize("rows, saved", [(4, (2, 4)), (3, (3,)), (0, (2,)), (5, ()), (100, ())])
def test_checkpoints_that_are_gone_are_no_beginning(make_run, rows, saved):
    workdir = make_run(rows, saved=saved)
    said = f"holds a run of {rows} step.s. whose checkpoints are gone"
    with pytest.raises(InputError, match=said):
        check_checkpoints(workdir)
    (workdir / "checkpoints").mkdir()  # empty, as rm checkpoints/* leaves it
    with pytest.raises(InputError, match=said):
        check_checkpoints(workdir)


def test_a_newest_checkpoint_that_is_gone_is_said(make_run):
    workdir = make_run(6, checkpoints=(2, 4), saved=(2, 4, 6))
    with pytest.warns(UserWarning, match="checkpoint 6 is gone"):
        check_checkpoints(workdir)


@pytest.mark.parametrize("kind", ["file", "link", "loop"])
def test_a_place_of_checkpoints_that_is_none(make_run, kind):
    place = make_run(6) / "checkpoints"
    if kind == "file":
        place.write_text("")
    else:
        place.symlink_to("checkpoints" if kind == "loop" else "nowhere")
    with pytest.raises(InputError, match="is no directory"):
        check_checkpoints(place.parent)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "evaluation_samples.jsonl"])
def test_damaged_rows_are_refused_before_anything_is_loaded(make_run, name):
    workdir = make_run(3)
    check_rows(workdir)
    (workdir / name).write_text('{"step": 0}\n{"step"')  # torn by a kill
    check_rows(workdir)
    (workdir / name).write_text('{"step": 0}\n[]\n{"step": 2}\n')
    with pytest.raises(InputError, match=f"{name}: line 2 holds no JSON object"):
        check_rows(workdir)
    (workdir / name).unlink()
    (workdir / name).mkdir()
    with pytest.raises(InputError, match=f"{name} cannot be read: Is a directory"):
        check_rows(workdir)
