"""Tasks by name: what a load returns, what it refuses, and how little it imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import grade
from papo_jax.tasks import Part, choose_eval_set, load
from papo_jax.tasks.catalog import DATASETS
from papo_jax.tasks.templates import BOXED

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"train_size": 40, "held_out_size": 12}


def prompts_of(problems):
    return [problem.prompt for problem in problems]


def test_arithmetic_splits(tmp_path):
    task = load("arithmetic", cache=tmp_path, **SMALL)
    assert (task.name, task.notes) == ("arithmetic", ())
    assert task.parts == (Part("arithmetic", 1.0, 40, 12, "{question}"),)
    assert [problem.identifier for problem in task.train] == list(range(40))
    assert [task.held_out[i].identifier for i in range(12)] == list(range(12))
    assert len(set(prompts_of(task.held_out))) == 12
    assert not set(prompts_of(task.train)) & set(prompts_of(task.held_out))
    assert {(problem.grader, problem.source) for problem in task.train} == {
        ("integer", "arithmetic")
    }
    assert {grade(problem.grader, problem.answer, problem.answer) for problem in task.train} == {
        "right"
    }


def test_the_grader_and_the_template_can_be_chosen(tmp_path):
    plain = load("arithmetic", cache=tmp_path, **SMALL)
    task = load(
        "arithmetic", cache=tmp_path, grader="math", template="{x} {question} \\boxed{}", **SMALL
    )
    assert task.train[0].prompt == "{x} " + plain.train[0].prompt + " \\boxed{}"
    assert task.train[0].grader == task.held_out[0].grader == "math"
    assert task.parts[0].template == "{x} {question} \\boxed{}"


def test_the_eval_set_of_a_single_task_is_its_first_problems(tmp_path):
    task = load("arithmetic", cache=tmp_path, **SMALL)
    assert choose_eval_set(task, 5) == list(task.held_out[:5])
    with pytest.raises(
        InputError,
        match="evaluation.problems = 13 is more than the 12 held-out problems of arithmetic",
    ):
        choose_eval_set(task, 13)


def test_small_held_out_universe_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="distinct held-out problems, not 5000"):
        load("arithmetic", cache=tmp_path, difficulty=1, train_size=1, held_out_size=5000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "arithmetics"}, "the nearest is 'arithmetic'"),
        ({"name": "gsm8"}, "the nearest is 'gsm8k'"),
        ({"name": "aime_2023"}, "the nearest is 'aime_202"),
        ({"name": ""}, "none of arithmetic, aime_2024, .*, reasoning_gym/<dataset>"),
        ({"name": "gsm8k"}, "set task.path"),
        ({"name": "gsm8k", "path": "/nowhere.jsonl"}, "task.path /nowhere.jsonl does not exist"),
        ({"name": "arithmetic", "path": "x"}, "leave task.path empty"),
        ({"name": "arithmetic", "difficulty": 9}, "task.difficulty is 1 to 8, not 9"),
        ({"name": "arithmetic", "train_size": 0}, "at least 1, not 0"),
        ({"name": "arithmetic", "grader": "maths"}, "none of integer, .*; the nearest is 'math'"),
        ({"name": "arithmetic", "template": "no place"}, "exactly once, not 0 times"),
        ({"name": "arithmetic", "template": "{question} {question}"}, "exactly once, not 2 times"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        load(cache=tmp_path, **arguments)
    assert "\n" not in str(caught.value)


def test_every_dataset_has_one_place_for_the_question():
    assert {dataset.template.count("{question}") for dataset in DATASETS.values()} == {1}
    assert BOXED.endswith("Please reason step by step, and put your final answer within \\boxed{}.")


def test_grading_and_names_stay_light():
    heavy = "{'jax', 'numpy', 'tensorflow_datasets', 'reasoning_gym', 'pyarrow'}"
    code = (
        "import sys, papo_jax.tasks, papo_jax.grading; "
        "import papo_jax.tasks.task, papo_jax.tasks.loading; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
