"""A user's own file of prompts and answers: used as it stands, graded by what its answers are."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from papo_jax.errors import InputError
from papo_jax.grading import grade
from papo_jax.tasks import load


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def load_own(tmp_path, answers, **options):
    """Loads a file whose prompt n is "Prompt n: ", with a space at its end, and its answers."""
    rows = [
        {"prompt": f"Prompt {n}: ", "answer": answer, "difficulty": n}
        for n, answer in enumerate(answers)
    ]
    return load(
        "jsonl", path=write_rows(tmp_path / "own.jsonl", rows), cache=tmp_path / "cache", **options
    )


def test_prompts_stand_as_they_are(tmp_path):
    task = load_own(tmp_path, map(str, range(50)))
    problems = [*task.train, *task.held_out]
    assert {(one.prompt, one.answer, one.grader, one.source) for one in problems} == {
        (f"Prompt {n}: ", str(n), "integer", "jsonl") for n in range(50)
    }
    assert 0 < len(task.held_out) < 25


@pytest.mark.parametrize(
    ("answer", "text", "grader"),
    [
        (7, "7", "integer"),
        (-3, "-3", "integer"),
        ("1,080", "1,080", "integer"),
        (27.0, "27.0", "integer"),
        (0.5, "0.5", "math"),
        (r"\frac12", r"\frac12", "math"),
        ("Paris", "Paris", "math"),
        (12345678901234567890123, "12345678901234567890123", "integer"),
    ],
)
def test_one_answer_decides_the_grader_of_all(tmp_path, answer, text, grader):
    task = load_own(tmp_path, [*range(30), answer])
    problems = {problem.prompt: problem for problem in (*task.train, *task.held_out)}
    assert problems["Prompt 30: "].answer == text
    assert {problem.grader for problem in problems.values()} == {grader}


def test_the_grader_and_the_template_can_be_chosen(tmp_path):
    task = load_own(tmp_path, ["007"] * 30, grader="exact", template="{question}<answer>")
    assert {(problem.answer, problem.grader) for problem in task.train} == {("007", "exact")}
    assert all(problem.prompt.endswith(": <answer>") for problem in task.train)


def test_two_files_are_used_whole(tmp_path):
    write_rows(tmp_path / "train.jsonl", [{"prompt": "a", "answer": 1}])
    write_rows(
        tmp_path / "test.jsonl", [{"prompt": "b", "answer": 2}, {"prompt": "b", "answer": 2}]
    )
    task = load("jsonl", path=str(tmp_path), cache=tmp_path / "cache")
    assert ([one.prompt for one in task.train], [one.prompt for one in task.held_out]) == (
        ["a"],
        ["b"],
    )
    assert task.notes == ("jsonl: rows left out because they repeat a question: 1",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "Prompt 0: ", "answer": 5},
            "line 31: the question of .*own.jsonl, line 1 again, "
            "with the answer '5' instead of '0'",
        ),
        ({"prompt": "", "answer": 5}, "line 31: the field 'prompt' is missing, empty or not text"),
        (
            {"prompt": ["p"], "answer": 5},
            "line 31: the field 'prompt' is missing, empty or not text",
        ),
        (
            {"prompt": "p", "answer": " "},
            "line 31: the field 'answer' is missing, empty or not text",
        ),
        (
            {"prompt": "p", "answer": None},
            "line 31: the field 'answer' is missing, empty or not text",
        ),
        (
            {"prompt": "p", "answer": {"a": 5}},
            "line 31: the field 'answer' is missing, empty or not text",
        ),
        (
            {"question": "p", "answer": 5},
            "line 31: the field 'prompt' is missing, .* the row has question, answer",
        ),
        ({"prompt": "p", "answer": "\ud800"}, "line 31: .*surrogate"),
    ],
)
def test_wrong_rows(tmp_path, row, message):
    rows = [{"prompt": f"Prompt {n}: ", "answer": n} for n in range(30)] + [row]
    with pytest.raises(InputError, match=f"own.jsonl, {message}") as caught:
        load("jsonl", path=write_rows(tmp_path / "own.jsonl", rows), cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_several_answers_are_each_right(tmp_path, suffix):
    rows = [{"prompt": f"Prompt {n}", "answer": [str(n), f"{n + 100}"]} for n in range(40)]
    path = tmp_path / f"own{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        write_rows(path, rows)
    task = load("jsonl", path=str(path), cache=tmp_path / "cache")
    for problem in (*task.train, *task.held_out):
        number = int(problem.prompt.split()[1])
        assert problem.references == (str(number), str(number + 100))
        assert problem.answer_text == f"{number} or {number + 100}"
        verdicts = [
            grade(problem.grader, problem.answer, f"#### {answer}")
            for answer in (number, number + 100, number + 1)
        ]
        assert verdicts == ["right", "right", "wrong"]


def test_several_answers_decide_the_grader_and_lose_their_repetitions(tmp_path):
    task = load_own(tmp_path, [*range(30), [5, "five", 5]])
    problems = {problem.prompt: problem for problem in (*task.train, *task.held_out)}
    assert problems["Prompt 30: "].references == ("5", "five")
    assert problems["Prompt 3: "].answer == "3"
    assert {problem.grader for problem in problems.values()} == {"math"}
    whole = load_own(tmp_path, [*range(30), [5, -5]])
    assert {problem.grader for problem in whole.train} == {"integer"}


@pytest.mark.parametrize("answer", [[], [""], [None], [[1]], ["a", {}], [True]])
def test_a_list_that_holds_no_answers_is_refused_with_its_line(tmp_path, answer):
    with pytest.raises(InputError, match="own.jsonl, line 31: the field 'answer'"):
        load_own(tmp_path, [*range(30), answer])


def test_one_question_with_other_answers_is_refused(tmp_path):
    rows = [{"prompt": "a", "answer": answer} for answer in ([1, 2], [1, 2], [1, 3])]
    with pytest.raises(InputError, match="line 3: the question of .*line 1 again"):
        load("jsonl", path=write_rows(tmp_path / "own.jsonl", rows), cache=tmp_path / "cache")
