"""Hostile answers through the pool; reference answers against those of the next problem."""

import pathlib
import time

import pytest

from experiments import grader_benchmark
from experiments.hostile_answers import ANSWERS, REFERENCE
from papo_jax import tasks
from papo_jax.grading import GRADERS, Pool

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def test_no_hostile_answer_is_paid_executed_or_waited_for():
    assert len(ANSWERS) >= 60
    grader_benchmark.EXECUTED.unlink(missing_ok=True)
    requests = [(grader, REFERENCE, text) for grader in GRADERS for text in ANSWERS.values()]
    with Pool(deadline=2.0) as pool:
        pool.grade([(grader, REFERENCE, REFERENCE) for grader in GRADERS])  # warms up
        started = time.monotonic()
        judgments = pool.judge(requests)
        seconds = time.monotonic() - started
        boxed = [(grader, REFERENCE, r"\boxed{42}") for grader in GRADERS]
        assert pool.grade(boxed) == ["right"] * len(GRADERS)

    paid = [
        request
        for request, judgment in zip(requests, judgments, strict=True)
        if judgment.verdict == "right"
    ]
    assert paid == []
    assert {judgment.verdict for judgment in judgments} == {"wrong"}  # and no deadline was needed
    assert seconds < 20.0
    assert not grader_benchmark.EXECUTED.exists()


@pytest.mark.parametrize(
    "reference", ["6\\sqrt{2}", "x^2-1", "(2,3)", "[2,\\infty)", "\\text{Evelyn}", "2\\pi"]
)
def test_hostile_answers_are_no_formula_either(reference):
    answers = [("math", reference, text) for text in ANSWERS.values()]
    with Pool(deadline=2.0) as pool:
        found = pool.judge(answers)
    assert {judgment.verdict for judgment in found} == {"wrong"}


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the GSM8K and MATH-500 files are not beside this checkout"
)
@pytest.mark.parametrize(
    "name, path, least", [("gsm8k", "gsm8k", 0.995), ("math_500", "math500/math500.jsonl", 0.98)]
)
def test_golds_are_right_and_those_of_the_next_problem_only_where_they_are_equal(
    name, path, least, tmp_path
):
    problems = list(tasks.load(name, path=str(DATA / path), cache=tmp_path).held_out)
    assert len(problems) == {"gsm8k": 1319, "math_500": 500}[name]
    written = [
        grader_benchmark.format_answer(problem.grader, problem.answer) for problem in problems
    ]
    shifted = [*written[1:], written[0]]
    with Pool() as pool:
        own = grader_benchmark.judge_all(pool, problems, written)
        other = grader_benchmark.judge_all(pool, problems, shifted)
    assert sum(judgment.is_right for judgment in own) >= least * len(problems)

    paid = {
        (problem.answer, text)
        for problem, text, judgment in zip(problems, shifted, other, strict=True)
        if judgment.is_right
    }
    unequal = {(reference, text) for reference, text in paid if reference not in text}
    assert unequal == set() and len(paid) < 20
    assert "error" not in {judgment.verdict for judgment in other}
