"""GSM8K from its files: reference answers, splits that share no question, and malformed rows."""

import json
from pathlib import Path

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import grade
from papo_jax.tasks import Problem, load
from papo_jax.tasks.templates import MARKED

ROOT = Path(__file__).resolve().parents[2]
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k"
INSTRUCTION = MARKED.removeprefix("{question}\n")


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def make_row(number, reference=None):
    return {
        "question": f"What is {number} + 0?",
        "answer": f"It is {number}.\n#### {number if reference is None else reference}",
    }


def prompts_of(problems):
    return [problem.prompt for problem in problems]


def test_two_files(tmp_path):
    write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(2, "1,080")])
    write_rows(tmp_path / "test.jsonl", [make_row(3), make_row(4, "-7")])
    task = load("gsm8k", path=str(tmp_path), cache=tmp_path / "cache")
    assert list(task.train) == [
        Problem(0, f"What is 1 + 0?\n{INSTRUCTION}", "1", "integer", "gsm8k"),
        Problem(1, f"What is 2 + 0?\n{INSTRUCTION}", "1080", "integer", "gsm8k"),
    ]
    assert [problem.answer for problem in task.held_out] == ["3", "-7"]


def test_two_files_that_overlap_are_refused(tmp_path):
    write_rows(tmp_path / "train.jsonl", [make_row(1), make_row(3)])
    write_rows(tmp_path / "test.jsonl", [make_row(2), {**make_row(3), "question": "what is  3+0"}])
    with pytest.raises(
        InputError,
        match="also evaluated on: 1; the first is 'what is 3.0.*train gsm8k 1, held out gsm8k 1",
    ):
        load("gsm8k", path=str(tmp_path), cache=tmp_path / "cache")


def test_one_file_is_split_by_the_text_alone(tmp_path):
    rows = [make_row(number) for number in range(100)]
    task = load("gsm8k", path=write_rows(tmp_path / "a.jsonl", rows), cache=tmp_path)
    turned = load(
        "gsm8k", path=write_rows(tmp_path / "b.jsonl", rows[::-1] + rows[:9]), cache=tmp_path
    )
    assert set(prompts_of(task.held_out)) == set(prompts_of(turned.held_out))
    assert not set(prompts_of(turned.held_out)) & set(prompts_of(turned.train))
    assert len(task.train) + len(task.held_out) == len(turned.train) + len(turned.held_out) == 100
    assert 3 <= len(task.held_out) <= 30  # one in eight, about
    assert turned.notes == ("gsm8k: rows left out because they repeat a question: 9",)


def test_a_changed_file_is_read_again(tmp_path):
    rows = [make_row(number) for number in range(50)]
    before = load("gsm8k", path=write_rows(tmp_path / "a.jsonl", rows), cache=tmp_path)
    after = load("gsm8k", path=write_rows(tmp_path / "a.jsonl", rows[:49]), cache=tmp_path)
    assert len(before.train) + len(before.held_out) == 50
    assert len(after.train) + len(after.held_out) == 49
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2: not JSON"),
        (b'{"question": "q"}', "line 2: the field 'answer' is missing"),
        (
            b'{"question": 7, "answer": "#### 1"}',
            "line 2: the field 'question' is missing, empty or not text",
        ),
        (b'{"question": "q", "answer": "1"}', "line 2: the answer has no '####'"),
        (
            b'{"question": "q", "answer": "#### 3.5"}',
            "line 2: what follows '####' should be an integer, not '3.5'",
        ),
        (b'{"question": "\\ud800", "answer": "#### 1"}', "line 2: .*surrogate"),
    ],
)
def test_malformed_lines(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(json.dumps(make_row(1)).encode() + b"\n" + line + b"\n")
    with pytest.raises(InputError, match=f"bad.jsonl, {message}") as caught:
        load("gsm8k", path=str(path), cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_empty_files_and_splits(tmp_path):
    with pytest.raises(InputError, match="line 1: the file is empty"):
        load("gsm8k", path=write_rows(tmp_path / "empty.jsonl", []), cache=tmp_path)
    with pytest.raises(InputError, match="leaves no problem for the split"):
        load("gsm8k", path=write_rows(tmp_path / "one.jsonl", [make_row(1)]), cache=tmp_path)


@pytest.mark.skipif(not GSM8K.is_dir(), reason="the GSM8K files are not beside this checkout")
def test_the_real_gsm8k(tmp_path):
    task = load("gsm8k", path=str(GSM8K), cache=tmp_path)
    assert (len(task.train), len(task.held_out), task.notes) == (7473, 1319, ())
    assert task.train[0].answer == "72"  # 48 clips in April and half as many in May
    assert {grade(one.grader, one.answer, one.answer) for one in (*task.train, *task.held_out)} == {
        "right"
    }
    assert not set(prompts_of(task.train)) & set(prompts_of(task.held_out))
