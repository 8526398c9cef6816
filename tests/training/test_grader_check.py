"""The self-test of graders on gold answers and their neighbors."""

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import Judgment, graders
from papo_jax.tasks.problem import Problem
from papo_jax.training.grader_check import LIMIT, neighbor, self_test


def problems(grader, golds, source=""):
    return [Problem(i, f"question {i}", gold, grader, source) for i, gold in enumerate(golds)]


@pytest.mark.parametrize(
    ("grader", "golds"),
    [
        ("integer", ["0", "9", "-9", "-1", "199", "1,080", "9" * 9000]),
        ("exact", ["a", "zebra", "1 2\n3 4", "[]", "Z"]),
        (
            "math",
            [
                r"\frac{1}{2}",
                r"15\mbox{ cm}^2",
                r"\text{(C)}",
                r"\frac{\pi}{6}",
                "(3,4]",
                "52_8",
                "x=5",
                r"1 \pm \sqrt{19}",
                "p - q",
                "42\\%",
            ],
        ),
        ("expression", ["24", "3*8", "24 using 4, 6, 1, 1", "1/3"]),
        ("approximate", ["4.5e33", "0", "-0.01", "1e-34", "9.99"]),
    ],
)
def test_good_golds(grader, golds):
    found = self_test(problems(grader, golds))
    assert (found.golds, found.failures, found.lines()) == ({grader: len(golds)}, (), [])


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        ("8", "9"),
        ("9", "1"),
        ("0", "1"),
        ("1,080", "1,180"),
        ("0.50", "1.50"),
        ("x^2", "x^3"),
        ("3R^2", "4R^2"),
        ("4210_{5}", "5210_{5}"),
        (r"\frac43", r"\frac53"),
        (r"15\mbox{ cm}^2", r"25\mbox{ cm}^2"),
        (r"\text{Evelyn}", r"\text{Evelyo}"),
        ("Zz", "Za"),
        (r"\frac{a}{b}\text{ cm}", r"\frac{a}{c}\text{ cm}"),
        ("[]", "[]1"),
        ("", "1"),
    ],
)
def test_neighbor(gold, expected):
    assert neighbor(gold) == expected


@pytest.mark.parametrize(
    ("grader", "golds", "message"),
    [
        (
            "integer",
            ["4", "four"],
            r"'error' to 'four' on problem 1 \('question 1', gold 'four'\); it should say 'right'.*no integer",
        ),
        ("integer", ["4", "3.5"], "problem 1 "),
        ("exact", ["a", " "], "problem 1 "),
        ("expression", ["24", "twenty"], "problem 1 "),
        ("expression", ["24 using 4, six"], "problem 0 "),
        ("approximate", ["high"], "problem 0 "),
        (
            "math",
            ["1"] * 9 + [""],
            "1 of the 10 gold answers of the task .* more than 2%, are beyond it: .*problem 9 ",
        ),
    ],
)
def test_bad_golds_are_named(grader, golds, message):
    with pytest.raises(InputError, match=message) as caught:
        self_test(problems(grader, golds))
    assert "\n" not in str(caught.value)


def test_a_grader_that_pays_for_a_neighbor_is_refused():
    def generous(asked):
        return [Judgment("right", "42") for _ in asked]

    for grader in graders.GRADERS:
        with pytest.raises(InputError, match="it should say 'wrong'"):
            self_test(problems(grader, ["42"]), generous)


def test_a_few_formulas_may_be_beyond_math():
    golds = [str(number) for number in range(98)] + [r"\binom{2n}{n}"] * 2
    found = self_test(problems("math", golds, "hard"))
    assert len(found.failures) == 2
    assert found.lines()[0].startswith(
        r"grader 'math' says 'error' to '\\boxed{\\binom{3n}{n}}' on problem 98"
    )
    with pytest.raises(InputError, match="3 of the 100 gold answers of hard"):
        self_test(problems("math", golds[1:] + golds[-1:], "hard"))
    assert self_test(problems("math", golds * 5, "hard"), limit=50).golds == {"math": 50}


def test_math_is_tried_on_a_sample_of_every_source():
    asked = []

    def judge_all(questions):
        asked.extend(questions)
        return [graders.judge(*question) for question in questions]

    many = (
        problems("math", map(str, range(2000)), "many")
        + problems("math", ["1", "2"], "few")
        + problems("integer", ["1"] * 600)
    )
    assert self_test(many, judge_all).golds == {"integer": 600, "math": LIMIT + 2}
    tried = [gold for grader, gold, _ in asked if grader == "math"]
    assert tried[::2][:3] == ["0", "3", "7"]  # 2000 / 512 = 3.9 apart
    assert self_test(many, judge_all, limit=None).golds == {"integer": 600, "math": 2002}


def test_many_failures_are_cut_short():
    golds = [str(number) for number in range(400)] + [r"\binom{2n}{n}"] * 5
    assert self_test(problems("math", golds)).lines()[3:] == ["and 2 more like these"]


def test_nothing_to_test():
    assert self_test([]).golds == {}


def test_a_deadline_that_is_too_short_is_said_to_be():
    def late(asked):
        return [Judgment("error", None, "timeout")] * len(asked)

    with pytest.raises(
        InputError,
        match=r"\(timeout\): mend that gold answer or choose another grader, or give it more time$",
    ):
        self_test([Problem(0, "1+1=", "2")], late)
