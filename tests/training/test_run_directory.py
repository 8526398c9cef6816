"""Whose a work directory is: read from its files alone, before anything is loaded or written."""

import json
import subprocess
import sys

import numpy as np
import pytest

from papo_jax.errors import InputError
from papo_jax.training import run_directory
from papo_jax.training.file_extents import GROWING_FILES
from papo_jax.training.run_identity import check_identity
from tests.support import damages
from tests.support.seeds import SEED

CONFIG = {
    "seed": 0,
    "method": {"name": "papo", "lam": 0.2},
    "training": {"steps": 4, "learning_rate": 0.1},
    "mesh": {"data": 1},
}
MADE = {"data": {"fingerprint": "d"}, "model": {"fingerprint": "m"}}


@pytest.fixture
def claimed(tmp_path):
    """A directory that belongs to CONFIG, with three rows."""
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": step}) + "\n" for step in range(3))
    )
    run_directory.claim_directory(tmp_path, CONFIG, MADE, step=2)
    return tmp_path


def test_claiming_drops_the_rows_that_come_again(claimed):
    assert [
        json.loads(line)["step"] for line in (claimed / "metrics.jsonl").read_text().splitlines()
    ] == [0, 1]


def test_the_owner_may_change_what_changes_no_number(claimed):
    run_directory.check_owner(claimed, CONFIG)
    run_directory.check_owner(
        claimed, {**CONFIG, "training": {"steps": 9, "learning_rate": 0.1}, "mesh": {"data": 2}}
    )


@pytest.mark.parametrize(
    "change, key",
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"method": {"name": "papo", "lam": 0.4}}, "method.lam = 0.2, not 0.4"),
        (
            {"method": {"name": "cispo", "weight_high": 5.0}},
            r"method.name = 'papo', not 'cispo' \(and 2 more\)",
        ),
        ({"new": 2}, "another version of papo_jax: its config.json lacks new"),
        (
            {"method": {"name": "papo"}},
            "another version of papo_jax: its config.json has method.lam",
        ),
    ],
)
def test_another_config_is_refused(claimed, change, key):
    with pytest.raises(InputError, match=key):
        run_directory.check_owner(claimed, {**CONFIG, **change})


@pytest.mark.parametrize("section, what", [("data", "task.name"), ("model", "model.path")])
def test_other_data_or_weights_are_refused(claimed, section, what):
    check_identity(claimed, MADE, sections=("data", "model"))
    with pytest.raises(InputError, match=what):
        other = {**MADE, section: {"fingerprint": "x"}}
        check_identity(claimed, other, sections=("data", "model"))


def test_checkpoints_without_a_config_belong_to_nobody(claimed):
    (claimed / "config.json").unlink()
    (claimed / "metrics.jsonl").unlink()
    (claimed / "checkpoints").mkdir()
    run_directory.check_owner(claimed, CONFIG)  # an empty folder: killed before the first write
    (claimed / "checkpoints" / "3").mkdir()
    with pytest.raises(InputError, match="no config.json"):
        run_directory.check_owner(claimed, CONFIG)


@pytest.mark.parametrize("name", GROWING_FILES)
def test_rows_without_a_config_belong_to_nobody(tmp_path, name):
    (tmp_path / name).write_text("")
    run_directory.check_owner(tmp_path, CONFIG)
    (tmp_path / name).write_text('{"step": 0}\n')
    with pytest.raises(InputError, match=f"has {name} and no config.json"):
        run_directory.check_owner(tmp_path, CONFIG)


NESTED = "[" * 990 + "]" * 990
NESTED_OBJECTS = '{"seed": ' * 900 + "0" + "}" * 900


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"seed": ' + NESTED + "}", NESTED * 40, NESTED_OBJECTS]
)
def test_a_config_that_cannot_be_read_is_refused(claimed, content):
    (claimed / "config.json").write_text(content)
    with pytest.raises(InputError, match="config.json .*(valid JSON|JSON object|nested too deep)"):
        run_directory.check_owner(claimed, CONFIG)


def test_a_config_that_is_no_file_is_refused(claimed):
    for damage in (damages.swap_kind, damages.dangle, damages.loop):
        damage(claimed / "config.json", np.random.default_rng(SEED))
        with pytest.raises(InputError, match="config.json"):
            run_directory.check_owner(claimed, CONFIG)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b'{"model": [1], "data": 3}', b"[" * 10**5]
)
def test_a_damaged_provenance_is_said(claimed, content):
    (claimed / "provenance.json").write_bytes(content)
    with pytest.warns(UserWarning, match="provenance.json"):
        check_identity(claimed, MADE, sections=("data", "model"))


@pytest.mark.parametrize(
    "kind", ["file", "dangling", "loop", "long", "below a file", "below a loop"]
)
def test_a_work_directory_that_cannot_be_one_is_refused(tmp_path, kind):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    name = {"long": "x" * 5000, "below a file": "file/run", "below a loop": "loop/run"}.get(
        kind, kind
    )
    with pytest.raises(InputError, match="--workdir"):
        run_directory.check_owner(tmp_path / name, CONFIG)


def test_space_is_asked_for_the_checkpoints_that_are_missing(claimed, monkeypatch):
    monkeypatch.setattr(
        run_directory.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 250})()
    )
    run_directory.check_space(claimed, 100, checkpoints=2)
    with pytest.raises(InputError, match="free some"):
        run_directory.check_space(claimed, 100, checkpoints=4)
    for step in "12":
        (claimed / "checkpoints" / step).mkdir(parents=True)
    run_directory.check_space(claimed, 100, checkpoints=4)


def test_one_process_at_a_time(tmp_path):
    code = f"""
import fcntl, sys
file = open({str(tmp_path / ".lock")!r}, "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="in use by another process"):
            run_directory.lock_directory(tmp_path)
        other.kill()  # the lock goes with the process
        other.wait()
        run_directory.lock_directory(tmp_path).close()


def test_a_key_that_comes_twice_in_config_json_is_refused(claimed):
    """JSON's own reader takes the last, which may not be what trained."""
    path = claimed / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"seed":', '"seed": 7, "seed":', 1))
    assert path.read_text() != text
    with pytest.raises(InputError, match="config.json .*the key 'seed' comes twice"):
        run_directory.check_owner(claimed, CONFIG)
