"""Every published dataset in every format of its authors, by tiny files with known answers."""

import json
import re
from pathlib import Path

import pytest

from papo_jax.errors import InputError
from papo_jax.tasks import load
from papo_jax.tasks.templates import BOXED, DAPO, fill_template

ROOT = Path(__file__).resolve().parents[2]
MATH_500 = ROOT.parent / "shared" / "data" / "math500" / "math500.jsonl"
INSTRUCTION = "\nPlease reason step by step, and put your final answer within \\boxed{}."


def write_rows(path, rows):
    """Writes rows in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def references_of(problems):
    return [(problem.answer, problem.grader) for problem in problems]


def load_held_out(tmp_path, name, rows, file="rows.jsonl"):
    """Loads a dataset that is only evaluated on."""
    task = load(name, path=write_rows(tmp_path / file, rows), cache=tmp_path / "cache")
    assert (len(task.train), task.parts[0].train_size) == (0, 0)
    return task


def refusal_of(tmp_path, name, row) -> str:
    """What is said of a file with this one row, behind its name and line."""
    with pytest.raises(InputError) as caught:
        load(name, path=write_rows(tmp_path / "bad.jsonl", [row]), cache=tmp_path / "cache")
    _, place, reason = str(caught.value).partition("bad.jsonl, line 1: ")
    assert place and "\n" not in reason
    return reason


# MATH


def math_row(number, reference):
    return {
        "problem": f"Problem {number}?",
        "level": "Level 3",
        "type": "Algebra",
        "solution": f"So \\boxed{{0}}, no, $\\boxed{{{reference}}}$.",
    }


def test_math_as_its_authors_publish_it(tmp_path):
    for split, subject, number, reference in (
        ("train", "algebra", 1, r"\frac{1}{2}"),
        ("train", "geometry", 1, "3"),
        ("test", "algebra", 2, r"\{1,2\}"),
    ):
        write_rows(
            tmp_path / "MATH" / split / subject / f"{number}.json",
            math_row(f"{split} {subject} {number}", reference),
        )
    task = load("math", path=str(tmp_path / "MATH"), cache=tmp_path / "cache")
    assert references_of(task.train) == [(r"\frac{1}{2}", "math"), ("3", "math")]
    assert references_of(task.held_out) == [(r"\{1,2\}", "math")]
    assert task.held_out[0].prompt == "Problem test algebra 2?" + INSTRUCTION
    assert task.held_out[0].source == "math"


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_math_as_it_is_republished(tmp_path, suffix):
    file = "algebra/{}-00000-of-00001.parquet" if suffix == "parquet" else "{}." + suffix
    write_rows(tmp_path / file.format("train"), [math_row(1, "x^2"), math_row(2, "7")])
    write_rows(tmp_path / file.format("test"), [math_row(3, r"\text{(A)}")])
    task = load("math", path=str(tmp_path), cache=tmp_path / "cache")
    assert references_of([*task.train, *task.held_out]) == [
        ("x^2", "math"),
        ("7", "math"),
        (r"\text{(A)}", "math"),
    ]


@pytest.mark.parametrize(
    ("solution", "reference"),
    [
        (r"\boxed{\frac{a}{b}}", r"\frac{a}{b}"),
        (r"is $\boxed 5$", "5"),
        (r"\fbox{ 4 }", "4"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{\left\{ 1 \right\}}", r"\left\{ 1 \right\}"),
    ],
)
def test_the_last_box_is_the_reference_answer(tmp_path, solution, reference):
    rows = [{"problem": f"p{n}", "solution": solution} for n in range(30)]
    task = load("math", path=write_rows(tmp_path / "a.jsonl", rows), cache=tmp_path / "cache")
    assert {problem.answer for problem in task.train} == {reference}


def test_math_refusals(tmp_path):
    assert re.search(
        "the solution has no .boxed",
        refusal_of(tmp_path, "math", {"problem": "p", "solution": "none"}),
    )
    assert re.search(
        "empty or not closed",
        refusal_of(tmp_path, "math", {"problem": "p", "solution": r"\boxed{1"}),
    )
    assert re.search(
        "the field 'problem' is missing, empty or not text; the row has question",
        refusal_of(tmp_path, "math", {"question": "p"}),
    )


# MATH-500


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_math_500_in_both_forms(tmp_path, suffix):
    row = {"solution": "...", "subject": "Algebra", "level": 2, "unique_id": "test/algebra/1.json"}
    published = load_held_out(
        tmp_path,
        "math_500",
        [{"problem": "Half of 5?", "answer": r"\frac52", **row}],
        f"a.{suffix}",
    )
    copied = load_held_out(
        tmp_path,
        "math_500",
        [{"prompt": "Half of 5?" + INSTRUCTION, "answer": r"\frac52"}],
        f"b.{suffix}",
    )
    assert list(published.held_out) == list(copied.held_out)
    assert published.held_out[0][1:] == ("Half of 5?" + INSTRUCTION, r"\frac52", "math", "math_500")


@pytest.mark.skipif(not MATH_500.is_file(), reason="the MATH-500 file is not beside this checkout")
def test_the_real_math_500(tmp_path):
    task = load("math_500", path=str(MATH_500), cache=tmp_path)
    assert (len(task.train), len(task.held_out), task.notes) == (0, 500, ())
    assert {problem.prompt.count("Please reason step by step") for problem in task.held_out} == {1}
    assert task.held_out[2].answer == r"\frac{14}{3}"


# Contests


def test_aime_2024_in_its_collections(tmp_path):
    rows = [
        {"ID": "2024-I-1", "Problem": "Walk?", "Solution": r"\boxed{204}", "Answer": 204},
        {
            "id": 60,
            "problem": "Base?",
            "solution": "...",
            "answer": "025",
            "url": "https://x/2024_AIME_I_Problems/2",
            "year": "2024",
        },
        {"id": 7, "problem": "Older?", "answer": "1", "url": "https://x/2023_AIME_II_Problems/3"},
        {
            "id": 0,
            "problem": "Boxed?",
            "solution": r"\boxed{33}",
            "url": "https://x/2024_AIME_II_Problems/3",
        },
    ]
    task = load_held_out(tmp_path, "aime_2024", rows)
    assert references_of(task.held_out) == [
        ("204", "integer"),
        ("25", "integer"),
        ("33", "integer"),
    ]
    assert task.held_out[0].prompt == "Walk?" + INSTRUCTION
    assert task.notes == ("aime_2024: rows left out because they are of another year: 1",)


def test_aime_2025_in_its_collections(tmp_path):
    write_rows(tmp_path / "d" / "aime2025-I.jsonl", [{"question": "Bases?", "answer": "70"}])
    write_rows(
        tmp_path / "d" / "aime2025-II.jsonl", [{"question": "Angle?", "answer": r"336^\circ"}]
    )
    task = load("aime_2025", path=str(tmp_path / "d"), cache=tmp_path / "cache")
    assert references_of(task.held_out) == [("70", "integer"), ("336", "integer")]
    arena = [
        {"problem_idx": 1, "problem": "Bases?", "answer": 70, "problem_type": ["Number Theory"]}
    ]
    assert references_of(load_held_out(tmp_path, "aime_2025", arena, "a.parquet").held_out) == [
        ("70", "integer")
    ]
    write_rows(tmp_path / "snapshot" / "data" / "train-00000-of-00001.parquet", arena)
    assert (
        len(load("aime_2025", path=str(tmp_path / "snapshot"), cache=tmp_path / "cache").held_out)
        == 1
    )
    assert re.search(
        "the answer should be an integer, not '1/2'",
        refusal_of(tmp_path, "aime_2025", {"problem": "p", "answer": "1/2"}),
    )
    assert re.search(
        "'problem' or 'Problem' or 'question' is missing",
        refusal_of(tmp_path, "aime_2025", {"text": "p", "answer": "1"}),
    )
    assert re.search(
        "'answer' or 'Answer' is missing, empty or not text",
        refusal_of(tmp_path, "aime_2025", {"problem": "p", "answer": True}),
    )


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_amc_2023_in_its_collections(tmp_path, suffix):
    rows = [
        {
            "id": 0,
            "problem": "Meet?",
            "answer": 27.0,
            "url": "https://x/2023_AMC_12A_Problems/Problem_1",
        },
        {
            "id": 1,
            "problem": "Old?",
            "answer": 3.0,
            "url": "https://x/2022_AMC_12A_Problems/Problem_1",
        },
    ]
    task = load_held_out(tmp_path, "amc_2023", rows, f"a.{suffix}")
    assert references_of(task.held_out) == [("27", "integer")]
    assert references_of(
        load_held_out(
            tmp_path, "amc_2023", [{"question": "Meet?", "answer": "-1.0"}], f"b.{suffix}"
        ).held_out
    ) == [("-1", "integer")]


# Minerva


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_minerva_in_both_forms(tmp_path, suffix):
    expected = {
        "4e33": "approximate",
        "-2.61": "approximate",
        ".5": "approximate",
        "1.6e-19": "approximate",
        "3": "math",
        r"\frac{1}{2}": "math",
        "x=2.5": "math",
        "10^{3.5}": "math",
        "E": "math",
    }
    boxed = [
        {"problem": f"p{n}", "solution": f"\\boxed{{{reference}}}", "type": "8.282J", "idx": n}
        for n, reference in enumerate(expected)
    ]
    plain = [
        {"question": f"p{n}", "answer": f"${reference}$"} for n, reference in enumerate(expected)
    ]
    for n, rows in enumerate((boxed, plain)):
        task = load_held_out(tmp_path, "minerva", rows, f"{n}.{suffix}")
        assert references_of(task.held_out) == list(expected.items())


# OlympiadBench


def olympiad_row(number, references, **more):
    row = {
        "id": number,
        "question": f"Find {number}.",
        "solution": ["..."],
        "final_answer": references,
        "context": None,
        "image_1": None,
        "is_multiple_answer": False,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
        "subject": "Math",
    }
    return {**row, **more}


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_olympiadbench(tmp_path, suffix):
    rows = [
        olympiad_row(1, ["$\\frac{1}{2 n+2}$"]),
        olympiad_row(2, ["$(8,8)$", "$9$"], is_multiple_answer=True),
        olympiad_row(3, ["4"], context="Let $x = 2$."),
        olympiad_row(4, ["1.54"], error="1e-1"),
        olympiad_row(5, ["5"], image_1="<image>"),
    ]
    task = load_held_out(tmp_path, "olympiadbench", rows, f"a.{suffix}")
    assert references_of(task.held_out) == [
        ("\\frac{1}{2 n+2}", "math"),
        ("(8,8), 9", "math"),
        ("4", "math"),
    ]
    assert task.held_out[2].prompt == "Let $x = 2$.\nFind 3." + INSTRUCTION
    assert task.notes == (
        "olympiadbench: rows left out because their answer has a tolerance of its own, "
        "which no grader here knows: 1",
        "olympiadbench: rows left out because they need their image: 1",
    )


def test_olympiadbench_refusals(tmp_path):
    assert re.search(
        "problems to prove have none", refusal_of(tmp_path, "olympiadbench", olympiad_row(1, None))
    )
    assert re.search(
        "'is_multiple_answer' is not true",
        refusal_of(tmp_path, "olympiadbench", olympiad_row(1, ["1", "2"])),
    )
    assert re.search(
        "'final_answer' is missing, empty or not text",
        refusal_of(tmp_path, "olympiadbench", olympiad_row(1, [""])),
    )


# DAPO-Math-17k


def dapo_row(question, reference):
    return {
        "data_source": "math_dapo",
        "prompt": [{"role": "user", "content": fill_template(DAPO, question)}],
        "ability": "MATH",
        "reward_model": {"ground_truth": reference, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": question},
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_dapo_as_published_has_every_problem_many_times(tmp_path, suffix):
    rows = [dapo_row(f"Problem {n}?", str(n)) for n in range(40)] * 3 + [
        dapo_row("Two answers?", "1"),
        dapo_row("Two answers?", "2"),
    ]
    task = load(
        "dapo_math_17k", path=write_rows(tmp_path / f"a.{suffix}", rows), cache=tmp_path / "cache"
    )
    problems = [*task.train, *task.held_out]
    assert {(problem.prompt, problem.answer) for problem in problems} == {
        (fill_template(BOXED, f"Problem {n}?"), str(n)) for n in range(40)
    }
    assert len(problems) == 40
    assert task.notes == (
        "dapo_math_17k: rows left out because they repeat a question: 81",
        "dapo_math_17k: questions left out because they have more than one answer: 1",
    )


def test_dapo_without_repetitions(tmp_path):
    rows = [
        {
            "prompt": f"Problem {n}?",
            "solution": f"0{n}",
            "data_source": "math_dapo",
            "ability": "MATH",
        }
        for n in range(40)
    ]
    published = load(
        "dapo_math_17k", path=write_rows(tmp_path / "a.parquet", rows), cache=tmp_path / "cache"
    )
    wrapped = load(
        "dapo_math_17k",
        path=write_rows(
            tmp_path / "b.parquet", [dapo_row(f"Problem {n}?", str(n)) for n in range(40)]
        ),
        cache=tmp_path / "cache",
    )
    assert list(published.train) == list(wrapped.train)
    assert re.search(
        "a text or a list of one message",
        refusal_of(tmp_path, "dapo_math_17k", {"prompt": ["text"], "solution": "1"}),
    )
    assert re.search(
        "the answer should be an integer, not 'x'",
        refusal_of(tmp_path, "dapo_math_17k", {"prompt": "p", "solution": "x"}),
    )
    assert re.search(
        "'prompt' is missing", refusal_of(tmp_path, "dapo_math_17k", {"solution": "1"})
    )


# Where files are looked for


def test_directories_without_files(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a directory without train.jsonl"):
        load("math", path=str(tmp_path / "empty"), cache=tmp_path)
    with pytest.raises(InputError, match="is a directory without test.jsonl"):
        load("math_500", path=str(tmp_path / "empty"), cache=tmp_path)
    write_rows(tmp_path / "all" / "test.jsonl", [{"problem": "a", "answer": "1"}])
    write_rows(tmp_path / "all" / "other.jsonl", [{"nothing": "here"}])
    assert (
        len(load("math_500", path=str(tmp_path / "all"), cache=tmp_path).held_out) == 1
    )  # a test file goes first
    with pytest.raises(InputError, match="leaves no problem for the split 'held_out' of amc_2023"):
        load(
            "amc_2023",
            path=write_rows(tmp_path / "old.jsonl", [{"problem": "p", "answer": 1, "year": 2022}]),
            cache=tmp_path,
        )
