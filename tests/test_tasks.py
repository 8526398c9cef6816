"""Tasks by name: splits, files, their mistakes, and a cache that serves whole data sets only."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from papo_jax.cache import cache_directory
from papo_jax.errors import InputError
from papo_jax.grading import self_test
from papo_jax.tasks import Problem, load
from papo_jax.tasks.builder import content_fingerprint, serve
from papo_jax.tasks.gsm8k import INSTRUCTION

ROOT = Path(__file__).resolve().parents[1]
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k"
SMALL = {"train_size": 40, "held_out_size": 12}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(number, gold=None):
    return {"question": f"What is {number} + 0?", "answer": f"It is {number}.\n#### {number if gold is None else gold}"}


def prompts(problems):
    return [problem.prompt for problem in problems]


# Arithmetic


def test_arithmetic_splits(tmp_path):
    task = load("arithmetic", cache=tmp_path, **SMALL)
    assert (task.name, task.grader, len(task.train), len(task.held_out)) == ("arithmetic", "integer", 40, 12)
    assert [problem.identifier for problem in task.train] == list(range(40))
    assert [task.held_out[i].identifier for i in range(12)] == list(range(12))
    assert len(set(prompts(task.held_out))) == 12
    assert not set(prompts(task.train)) & set(prompts(task.held_out))
    self_test(task.grader, [*task.train, *task.held_out])


def test_rows_are_a_sequence(tmp_path):
    train = load("arithmetic", cache=tmp_path, **SMALL).train
    assert train[-1] == train[39] == train[np.int64(39)]
    assert train[3:6] == tuple(train[i] for i in (3, 4, 5))
    with pytest.raises(IndexError):
        train[40]


def test_a_second_load_reads_the_same(tmp_path):
    first, second = (load("arithmetic", cache=tmp_path, **SMALL) for _ in range(2))
    assert list(first.train) == list(second.train)
    assert first.fingerprint == second.fingerprint == content_fingerprint(
        {"train": first.train, "held_out": first.held_out}
    )
    assert len(list(tmp_path.iterdir())) == 1



def test_parameters_change_the_fingerprint(tmp_path):
    variants = ({}, {"seed": 1}, {"difficulty": 4}, {"train_size": 41})
    assert len({load("arithmetic", cache=tmp_path, **{**SMALL, **more}).fingerprint for more in variants}) == 4


def test_small_held_out_universe_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="distinct held-out problems, not 5000"):
        load("arithmetic", cache=tmp_path, difficulty=1, train_size=1, held_out_size=5000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "arithmetics"}, "the nearest is 'arithmetic'"),
        ({"name": "gsm8"}, "the nearest is 'gsm8k'"),
        ({"name": ""}, "none of arithmetic, gsm8k, reasoning_gym/<family>"),
        ({"name": "gsm8k"}, "set task.path"),
        ({"name": "gsm8k", "path": "/nowhere.jsonl"}, "task.path /nowhere.jsonl does not exist"),
        ({"name": "arithmetic", "path": "x"}, "leave task.path empty"),
        ({"name": "arithmetic", "difficulty": 9}, "task.difficulty is 1 to 8, not 9"),
        ({"name": "arithmetic", "train_size": 0}, "at least 1, not 0"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        load(cache=tmp_path, **arguments)
    assert "\n" not in str(caught.value)


# GSM8K


def test_two_files(tmp_path):
    write(tmp_path / "train.jsonl", [row(1), row(2, "1,080"), row(3)])
    write(tmp_path / "test.jsonl", [row(3), row(4, "-7")])
    task = load("gsm8k", path=str(tmp_path), cache=tmp_path / "cache")
    assert list(task.train) == [
        Problem(0, f"What is 1 + 0?\n{INSTRUCTION}", "1"),
        Problem(1, f"What is 2 + 0?\n{INSTRUCTION}", "1080"),  # the third is in the test file too
    ]
    assert [problem.answer for problem in task.held_out] == ["3", "-7"]


def test_one_file_is_split_by_the_text_alone(tmp_path):
    rows = [row(number) for number in range(100)]
    task = load("gsm8k", path=write(tmp_path / "a.jsonl", rows), cache=tmp_path)
    turned = load("gsm8k", path=write(tmp_path / "b.jsonl", rows[::-1] + rows[:9]), cache=tmp_path)
    assert set(prompts(task.held_out)) == set(prompts(turned.held_out))
    assert not set(prompts(turned.held_out)) & set(prompts(turned.train))
    assert len(task.train) + len(task.held_out) == 100
    assert 3 <= len(task.held_out) <= 30  # one in eight, about


def test_a_changed_file_is_read_again(tmp_path):
    rows = [row(number) for number in range(50)]
    before = load("gsm8k", path=write(tmp_path / "a.jsonl", rows), cache=tmp_path)
    after = load("gsm8k", path=write(tmp_path / "a.jsonl", rows[:49]), cache=tmp_path)
    assert len(before.train) + len(before.held_out) == 50
    assert len(after.train) + len(after.held_out) == 49
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2: not JSON"),
        (b"[" * 100_000, "line 2"),
        (b"7", "line 2: not a JSON object"),
        (b'{"question": "q"}', "line 2: the field 'answer' is missing"),
        (b'{"question": 7, "answer": "#### 1"}', "line 2: the field 'question' is missing, empty or not text"),
        (b'{"question": "q", "answer": "1"}', "line 2: the answer has no '####'"),
        (b'{"question": "q", "answer": "#### 3.5"}', "line 2: what follows '####' should be an integer, not '3.5'"),
        (b'{"question": "\\ud800", "answer": "#### 1"}', "line 2: .*surrogate"),
        (b"\xff", "line 2: .*utf-8"),
    ],
)
def test_malformed_lines(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(json.dumps(row(1)).encode() + b"\n" + line + b"\n")
    with pytest.raises(InputError, match=f"bad.jsonl, {message}") as caught:
        load("gsm8k", path=str(path), cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_empty_files_and_splits(tmp_path):
    with pytest.raises(InputError, match="line 1: the file is empty"):
        load("gsm8k", path=write(tmp_path / "empty.jsonl", []), cache=tmp_path)
    with pytest.raises(InputError, match="leaves no problem for the split"):
        load("gsm8k", path=write(tmp_path / "one.jsonl", [row(1)]), cache=tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="without train.jsonl"):
        load("gsm8k", path=str(tmp_path / "folder"), cache=tmp_path)


@pytest.mark.skipif(not GSM8K.is_dir(), reason="the GSM8K files are not beside this checkout")
def test_the_real_gsm8k(tmp_path):
    task = load("gsm8k", path=str(GSM8K), cache=tmp_path)
    assert (len(task.train), len(task.held_out)) == (7473, 1319)
    assert task.train[0].answer == "72"  # 48 clips in April and half as many in May
    self_test(task.grader, [*task.train, *task.held_out])
    assert not set(prompts(task.train)) & set(prompts(task.held_out))


# reasoning-gym


def test_reasoning_gym_integers(tmp_path):
    pytest.importorskip("reasoning_gym")
    task = load("reasoning_gym/gcd", cache=tmp_path, **SMALL)
    self_test(task.grader, [*task.train, *task.held_out])
    assert not set(prompts(task.train)) & set(prompts(task.held_out))
    with pytest.raises(InputError, match="answers that are not integers"):
        load("reasoning_gym/spell_backward", cache=tmp_path, **SMALL)
    with pytest.raises(InputError, match="nearest are gcd"):
        load("reasoning_gym/gcdd", cache=tmp_path, **SMALL)
    with pytest.raises(InputError, match="cannot be made"):
        load("reasoning_gym/composite", cache=tmp_path, **SMALL)


def test_reasoning_gym_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(InputError, match="pip install -r requirements-tasks.txt"):
        load("reasoning_gym/gcd", cache=tmp_path)


# The cache


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


@pytest.mark.parametrize("damage", [damage_shorten, damage_flip, damage_manifest, damage_everything])
def test_a_damaged_data_set_is_made_again(tmp_path, damage):
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
    problems = [Problem(0, "1+1=", "2"), Problem(1, "1+2=", "3")]
    with pytest.raises(KeyError, match="the second problem"):
        serve({"task": "t"}, lambda: {"train": Broken(problems)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_preparation_is_not_trusted(tmp_path):
    problems = [Problem(0, "1+1=", "2"), Problem(1, "1+2=", "3")]
    child = multiprocessing.get_context("spawn").Process(target=prepare_and_die, args=(problems, tmp_path))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert [path.name[:11] for path in tmp_path.iterdir()] == [".preparing-"]
    assert list(serve({"task": "t"}, lambda: {"train": problems}, tmp_path).splits["train"]) == problems


def prepare_and_die(problems, cache):
    serve({"task": "t"}, lambda: {"train": Deadly(problems)}, cache)


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
    code = f"from papo_jax.tasks import load; load('arithmetic', cache={str(tmp_path)!r}, train_size=40)"
    runs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for run in runs:
        assert run.communicate(timeout=60) == (b"", b"")
        assert run.returncode == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_grading_and_names_stay_light():
    code = (
        "import sys, papo_jax.tasks, papo_jax.grading, papo_jax.tasks.task; "
        "print(sorted({'jax', 'numpy', 'tensorflow_datasets', 'reasoning_gym'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
