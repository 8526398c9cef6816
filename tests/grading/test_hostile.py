"""Answers written to hang, crash or cheat a grader, through the pool; and golds against their
neighbors."""

import pathlib
import time

import pytest

from experiments import graders as table
from experiments import hostile
from papo_jax import tasks
from papo_jax.grading import GRADERS, Pool

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def test_no_hostile_answer_is_paid_executed_or_waited_for():
    assert len(hostile.ANSWERS) >= 60
    table.EXECUTED.unlink(missing_ok=True)
    answers = [
        (grader, hostile.GOLD, text) for grader in GRADERS for text in hostile.ANSWERS.values()
    ]
    with Pool(deadline=2.0) as pool:
        pool.grade([(grader, hostile.GOLD, hostile.GOLD) for grader in GRADERS])
        started = time.monotonic()
        found = pool.judge(answers)
        seconds = time.monotonic() - started
        assert pool.grade([(grader, hostile.GOLD, r"\boxed{42}") for grader in GRADERS]) == [
            "right"
        ] * len(GRADERS)
    assert [
        answer
        for answer, judgment in zip(answers, found, strict=True)
        if judgment.verdict == "right"
    ] == []
    assert {judgment.verdict for judgment in found} == {"wrong"}  # not even a deadline was needed
    assert seconds < 20.0
    assert not table.EXECUTED.exists()


@pytest.mark.parametrize(
    "gold", ["6\\sqrt{2}", "x^2-1", "(2,3)", "[2,\\infty)", "\\text{Evelyn}", "2\\pi"]
)
def test_hostile_answers_are_no_formula_either(gold):
    answers = [("math", gold, text) for text in hostile.ANSWERS.values()]
    with Pool(deadline=2.0) as pool:
        found = pool.judge(answers)
    assert {judgment.verdict for judgment in found} == {"wrong"}


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the GSM8K and MATH-500 files are not beside this checkout"
)
@pytest.mark.parametrize(
    "name, place, least", [("gsm8k", "gsm8k", 0.995), ("math_500", "math500/math500.jsonl", 0.98)]
)
def test_golds_are_right_and_those_of_the_next_problem_only_where_they_are_equal(
    name, place, least, tmp_path
):
    problems = list(tasks.load(name, path=str(DATA / place), cache=tmp_path).held_out)
    assert len(problems) == {"gsm8k": 1319, "math_500": 500}[name]
    written = [table.written(problem) for problem in problems]
    with Pool() as pool:
        own = pool.grade(
            [(p.grader, p.answer, text) for p, text in zip(problems, written, strict=True)]
        )
        following = [
            (p.grader, p.answer, text)
            for p, text in zip(problems, [*written[1:], written[0]], strict=True)
        ]
        other = pool.grade(following)
    assert own.count("right") >= least * len(problems)
    paid = {
        (gold, text)
        for (_, gold, text), verdict in zip(following, other, strict=True)
        if verdict == "right"
    }
    unequal = {(gold, text) for gold, text in paid if gold not in text}
    assert unequal == set() and len(paid) < 20
    assert "error" not in other
