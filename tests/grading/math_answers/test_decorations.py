"""Every reference answer of MATH-500 and GSM8K in every decoration that language models use."""

import json
import pathlib

import pytest

from papo_jax.grading import judge
from tests.support.answer_decorations import decorate_answer

DATA = pathlib.Path(__file__).resolve().parents[4] / "shared" / "data"
SAMPLES = (
    [r"\frac{14}{3}", "p - q", "-50", r"\text{Evelyn}", r"\left( 3, \frac{\pi}{2} \right)", "52_8"]
    + [r"90^\circ", r"\$18.90", "58,500", r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", r"(3,4]"]
    + [r"(-\infty, 2) \cup (3, \infty)", r"\{1\pm\sqrt{5},-2\}", "y = 2x + 3", r"15\mbox{ cm}^2"]
)
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the GSM8K and MATH-500 files are not beside this checkout"
)


def find_failures(answers, grader="math"):
    return [
        (answer, decorated)
        for answer in answers
        for decorated in decorate_answer(answer)
        if judge(grader, answer, rf"\boxed{{{decorated}}}").verdict != "right"
    ]


def read_answers(path):
    with path.open() as lines:
        return list(dict.fromkeys(json.loads(line)["answer"] for line in lines))


@pytest.mark.parametrize("answer", SAMPLES)
def test_an_answer_in_every_decoration(answer):
    assert find_failures([answer]) == []


@needs_data
def test_every_answer_of_math_500_in_every_decoration():
    answers = read_answers(DATA / "math500" / "math500.jsonl")
    assert len(answers) == 301
    assert find_failures(answers) == []


@pytest.mark.parametrize("answer", ["18", "-3", "70000", "1,080"])
def test_an_integer_in_every_decoration(answer):
    assert [text for _, text in find_failures([answer], "integer")] == [rf"\framebox{{{answer}}}"]


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("grader", ["math", "integer"])
def test_every_answer_of_gsm8k_in_every_decoration(grader):
    rows = [
        row for name in ("train", "test") for row in read_answers(DATA / "gsm8k" / f"{name}.jsonl")
    ]
    answers = list(dict.fromkeys(row.rpartition("####")[2].strip() for row in rows))
    assert len(answers) == 983
    failures = [text for _, text in find_failures(answers, grader)]
    assert [text for text in failures if not text.startswith(r"\framebox")] == []


def test_a_wrong_answer_in_every_decoration():
    for decorated in decorate_answer("43"):
        assert judge("math", "42", rf"\boxed{{{decorated}}}").verdict == "wrong"
