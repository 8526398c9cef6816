"""Generated arithmetic: right answers, pure problems, splits that cannot overlap."""

import re

import pytest

from papo_jax.tasks.sources.arithmetic import MAX_DIFFICULTY, generate_problem, solution_steps
from papo_jax.tasks.splits import SPLITS, assign_split

DIFFICULTIES = range(1, MAX_DIFFICULTY + 1)


def value_by_python(prompt):
    """Evaluates a prompt by another route than `solution_steps`.

    Only digits, operators and parentheses ever reach `eval`.
    """
    assert re.fullmatch(r"[-+*()0-9]+=", prompt)
    return str(eval(prompt[:-1], {"__builtins__": {}}))


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_right(split, difficulty):
    for index in range(100):
        problem = generate_problem(1, split, index, difficulty=difficulty)
        assert problem.identifier == index
        assert problem.answer == value_by_python(problem.prompt)
        assert len(re.findall(r"[-+*]", problem.prompt)) == difficulty


def test_worked_by_hand():
    # 2*3 = 6 first, then 10-6 = 4, then 4+1 = 5
    assert solution_steps("10-2*3+1") == ["10-6+1", "4+1", "5"]
    assert solution_steps("(9-2)*3") == ["7*3", "21"]
    assert solution_steps("1-2+5") == []  # passes through -1


def test_every_step_keeps_the_value():
    for index in range(50):
        problem = generate_problem(2, "train", index, difficulty=5)
        assert {value_by_python(f"{step}=") for step in solution_steps(problem.prompt[:-1])} == {
            problem.answer
        }


def test_problems_are_pure_and_depend_on_every_argument():
    base = generate_problem(0, "train", 5, difficulty=3)
    assert base == generate_problem(0, "train", 5, difficulty=3)
    others = [
        generate_problem(1, "train", 5, difficulty=3),
        generate_problem(0, "train", 6, difficulty=3),
    ]
    others += [
        generate_problem(0, "held_out", 5, difficulty=3),
        generate_problem(0, "train", 5, difficulty=4),
    ]
    assert base.prompt not in {other.prompt for other in others}


def test_golden_problem():
    # The same on every machine and Python version, since files of runs refer to problems by number.
    assert tuple(generate_problem(0, "train", 0, difficulty=3)) == (
        0,
        "13+40+18+17=",
        "88",
        "integer",
        "arithmetic",
    )


def test_splits_share_no_prompt_at_any_seed():
    train = {
        generate_problem(seed, "train", i, difficulty=1).prompt
        for seed in (0, 1)
        for i in range(500)
    }
    held_out = {
        generate_problem(seed, "held_out", i, difficulty=1).prompt
        for seed in (0, 1)
        for i in range(100)
    }
    assert not train & held_out
    assert {assign_split(prompt) for prompt in train} == {"train"}


@pytest.mark.parametrize(
    ("split", "difficulty"), [("test", 3), ("train", 0), ("train", MAX_DIFFICULTY + 1)]
)
def test_what_does_not_exist_is_refused(split, difficulty):
    with pytest.raises(ValueError, match="is no"):
        generate_problem(0, split, 0, difficulty=difficulty)
