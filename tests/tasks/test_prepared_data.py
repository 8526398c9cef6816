"""Prepared task files: whole directories only, whatever was damaged, killed or written twice."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from papo_jax.cache_directory import cache_directory
from papo_jax.errors import InputError
from papo_jax.tasks import Problem, load
from papo_jax.tasks.prepared_data import fingerprint_contents, open_prepared
from papo_jax.tasks.problem import ProblemSplits

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"train_size": 40, "held_out_size": 12}
PROBLEMS = [
    Problem(0, "1+1=", "2", "integer", "t"),
    Problem(1, "half of 1", r"\frac12", "math", "u"),
]


def test_rows_are_a_sequence(tmp_path):
    train = load("arithmetic", cache=tmp_path, **SMALL).train
    assert train[-1] == train[39] == train[np.int64(39)]
    assert train[3:6] == tuple(train[i] for i in (3, 4, 5))
    with pytest.raises(IndexError):
        train[40]


def test_every_field_and_the_notes_are_kept(tmp_path):
    made = ProblemSplits({"held_out": PROBLEMS}, ("two notes", "of a source"))
    for _ in range(2):  # made, then read
        prepared = open_prepared({"task": "t"}, lambda: made, tmp_path)
        assert list(prepared.splits) == ["held_out"]
        assert list(prepared.splits["held_out"]) == PROBLEMS
        assert prepared.notes == ("two notes", "of a source")


@pytest.mark.parametrize("answer", [("1", "-1"), ("1",), '\0["1"]', "\0", '["1", "2"]', ("\0",)])
def test_answers_are_kept_as_they_are(answer, tmp_path):
    made = ProblemSplits({"train": [Problem(0, "a root?", answer, "math", "t")]})
    prepared = open_prepared({"task": "t"}, lambda: made, tmp_path)
    assert prepared.splits["train"][0].answer == answer
    assert type(prepared.splits["train"][0].answer) is type(answer)


def test_a_second_load_reads_the_same(tmp_path):
    first, second = (load("arithmetic", cache=tmp_path, **SMALL) for _ in range(2))
    assert list(first.train) == list(second.train)
    assert (
        first.fingerprint
        == second.fingerprint
        == fingerprint_contents({"train": first.train, "held_out": first.held_out})
    )
    assert len(list(tmp_path.iterdir())) == 1


def test_parameters_change_the_fingerprint(tmp_path):
    variants = (
        {},
        {"seed": 1},
        {"difficulty": 4},
        {"train_size": 41},
        {"grader": "math"},
        {"template": "{question}?"},
    )
    assert (
        len(
            {
                load("arithmetic", cache=tmp_path, **{**SMALL, **more}).fingerprint
                for more in variants
            }
        )
        == 6
    )


def test_cache_directory(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/papo_jax")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == Path.home() / ".cache" / "papo_jax"


def test_the_default_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load("arithmetic", **SMALL)
    assert len(list((tmp_path / "papo_jax" / "tasks").iterdir())) == 1


def damage_shorten(directory):
    shard = next(directory.rglob("*train*"))
    shard.write_bytes(shard.read_bytes()[:100])


def damage_flip(directory):
    shard = next(directory.rglob("*train*"))
    content = bytearray(shard.read_bytes())
    content[70] ^= 1
    shard.write_bytes(content)


def damage_manifest(directory):
    (directory / "manifest.json").unlink()


def damage_everything(directory):
    for path in directory.rglob("*.json"):
        path.write_text("{")


@pytest.mark.parametrize(
    "damage", [damage_shorten, damage_flip, damage_manifest, damage_everything]
)
def test_a_damaged_directory_is_made_again(tmp_path, damage):
    first = load("arithmetic", cache=tmp_path, **SMALL)
    kept = list(first.train)
    damage(next(tmp_path.iterdir()))
    again = load("arithmetic", cache=tmp_path, **SMALL)
    assert (list(again.train), again.fingerprint) == (kept, first.fingerprint)
    assert len(list(tmp_path.iterdir())) == 1


class Broken(list):
    """Problems that end badly after the first."""

    def __iter__(self):
        yield self[0]
        raise KeyError("the second problem")


class Deadly(list):
    """Problems whose reader is killed after the first."""

    def __iter__(self):
        yield self[0]
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_failed_preparation_leaves_nothing(tmp_path):
    with pytest.raises(KeyError, match="the second problem"):
        open_prepared({"task": "t"}, lambda: ProblemSplits({"train": Broken(PROBLEMS)}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_preparation_is_not_trusted(tmp_path):
    child = multiprocessing.get_context("spawn").Process(target=prepare_and_die, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert [path.name[:11] for path in tmp_path.iterdir()] == [".preparing-"]
    assert (
        list(
            open_prepared(
                {"task": "t"}, lambda: ProblemSplits({"train": PROBLEMS}), tmp_path
            ).splits["train"]
        )
        == PROBLEMS
    )


def prepare_and_die(cache):
    open_prepared({"task": "t"}, lambda: ProblemSplits({"train": Deadly(PROBLEMS)}), cache)


def test_leftovers_of_killed_preparations_are_swept(tmp_path):
    (tmp_path / ".preparing-old" / "made").mkdir(parents=True)
    (tmp_path / ".preparing-new").mkdir()
    os.utime(tmp_path / ".preparing-old", (0, 0))
    load("arithmetic", cache=tmp_path, **SMALL)
    assert not (tmp_path / ".preparing-old").exists()
    assert (tmp_path / ".preparing-new").exists()  # its maker may be alive


def test_an_unusable_cache_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="XDG_CACHE_HOME"):
        load("arithmetic", cache=tmp_path / "file", **SMALL)


def test_two_processes_at_once_and_in_silence(tmp_path):
    code = (
        "from papo_jax.tasks import load; "
        f"load('arithmetic', cache={str(tmp_path)!r}, train_size=40)"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for run in runs:
        assert run.communicate(timeout=60) == (b"", b"")
        assert run.returncode == 0
    assert len(list(tmp_path.iterdir())) == 1
