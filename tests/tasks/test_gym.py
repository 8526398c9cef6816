"""Families of reasoning-gym: graders, reference answers, and the same problems in every process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import grade
from papo_jax.tasks import load
from papo_jax.tasks.sources.gym_table import (
    GRADERS,
    MANY_FORMS,
    ONE_OF_MANY,
    WITH_SETTINGS,
    WITHOUT_REFERENCE,
)

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"train_size": 20, "held_out_size": 5}


def prompts_of(problems):
    return [problem.prompt for problem in problems]


def test_the_table_covers_every_family():
    factory = pytest.importorskip("reasoning_gym.factory")
    assert sorted(factory.DATASETS) == sorted([*GRADERS, *WITHOUT_REFERENCE, *WITH_SETTINGS])
    assert len(factory.DATASETS) == 106
    assert {GRADERS[family] for family in ONE_OF_MANY | MANY_FORMS} == {"exact"}


def test_integers(tmp_path):
    pytest.importorskip("reasoning_gym")
    task = load("reasoning_gym/gcd", cache=tmp_path, **SMALL)
    problems = [*task.train, *task.held_out]
    assert {(one.grader, one.source) for one in problems} == {("integer", "reasoning_gym/gcd")}
    assert {grade("integer", one.answer, one.answer) for one in problems} == {"right"}
    assert len(set(prompts_of(task.held_out))) == 5
    assert not set(prompts_of(task.train)) & set(prompts_of(task.held_out))
    assert task.notes == ()


def test_texts_that_go_over_lines(tmp_path):
    pytest.importorskip("reasoning_gym")
    task = load("reasoning_gym/n_queens", cache=tmp_path, **SMALL)
    first = task.train[0]
    assert first.prompt.endswith("put your final answer between <answer> and </answer>.")
    assert first.answer.count("\n") >= 3
    assert (
        grade(first.grader, first.answer, f"Here.\n<answer>\n{first.answer}\n</answer>") == "right"
    )
    assert task.notes == (
        "reasoning_gym/n_queens: the reference answer is one of many valid ones; "
        "exact comparison undercounts",
    )


def test_expressions_get_their_target_and_numbers(tmp_path):
    pytest.importorskip("reasoning_gym")
    for family in ("countdown", "puzzle24"):
        for one in load(f"reasoning_gym/{family}", cache=tmp_path, **SMALL).train:
            target, _, numbers = one.answer.partition(" using ")
            assert one.grader == "expression"
            assert target in one.prompt and numbers in one.prompt
            assert family == "countdown" or target == "24"


def test_a_grader_of_ones_own_choice(tmp_path):
    pytest.importorskip("reasoning_gym")
    task = load("reasoning_gym/gcd", cache=tmp_path, grader="exact", **SMALL)
    assert {one.grader for one in task.train} == {"exact"}
    assert task.train[0].prompt.endswith("</answer>.")
    with pytest.raises(
        InputError, match="answers that are not integers .*; choose another family or task.grader"
    ):
        load("reasoning_gym/spell_backward", cache=tmp_path, grader="integer", **SMALL)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("gcdd", "has no family 'gcdd'; the nearest are gcd"),
        ("composite", "cannot be made without settings"),
        ("rush_hour", "has no reference answers"),
        ("mini_sudokus", "the nearest are mini_sudoku"),
    ],
)
def test_what_cannot_be_loaded(tmp_path, family, message):
    pytest.importorskip("reasoning_gym")
    with pytest.raises(InputError, match=message) as caught:
        load(f"reasoning_gym/{family}", cache=tmp_path, **SMALL)
    assert "\n" not in str(caught.value)


def test_too_small_a_family(tmp_path):
    pytest.importorskip("reasoning_gym")
    with pytest.raises(InputError, match="distinct ones to hold out, not 1 and 50; ask for fewer"):
        load("reasoning_gym/tower_of_hanoi", cache=tmp_path, train_size=1, held_out_size=50)


@pytest.mark.parametrize("family", ["isomorphic_strings", "list_functions"])
def test_the_same_problems_in_every_process(tmp_path, family):
    # Left to themselves, the first follows the order of a set and the second draws from the global
    # generator.
    pytest.importorskip("reasoning_gym")
    code = (
        "import sys; from papo_jax.tasks import load; "
        "task = load(sys.argv[1], cache=sys.argv[2], train_size=20, held_out_size=5); "
        "print(task.fingerprint)"
    )
    found = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code, f"reasoning_gym/{family}", str(tmp_path / seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout)
    assert len(found) == 1


def test_reasoning_gym_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(InputError, match="pip install -r requirements-tasks.txt"):
        load("reasoning_gym/gcd", cache=tmp_path)
