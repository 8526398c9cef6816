"""Check of graders on reference answers and on wrong neighbors of them."""

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import GRADERS, Judgment, judge
from papo_jax.tasks.problem import Problem
from papo_jax.training.problems.grader_check import (
    MATH_SAMPLE,
    check_reference_answers,
    perturb_answer,
)


def make_problems(grader, references, source=""):
    return [
        Problem(i, f"question {i}", reference, grader, source)
        for i, reference in enumerate(references)
    ]


@pytest.mark.parametrize(
    ("grader", "references"),
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
def test_good_golds(grader, references):
    found = check_reference_answers(make_problems(grader, references))
    assert (found.reference_counts, found.failures, found.summary_lines()) == (
        {grader: len(references)},
        (),
        [],
    )


@pytest.mark.parametrize(
    ("reference", "expected"),
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
def test_neighbor(reference, expected):
    assert perturb_answer(reference) == expected


@pytest.mark.parametrize(
    ("grader", "references", "message"),
    [
        (
            "integer",
            ["4", "four"],
            r"'error' to 'four' on problem 1 \('question 1', reference 'four'\); "
            "it should say 'right'.*no integer",
        ),
        ("integer", ["4", "3.5"], "problem 1 "),
        ("exact", ["a", " "], "problem 1 "),
        ("expression", ["24", "twenty"], "problem 1 "),
        ("expression", ["24 using 4, six"], "problem 0 "),
        ("approximate", ["high"], "problem 0 "),
        (
            "math",
            ["1"] * 9 + [""],
            "1 of the 10 reference answers of the task .* more than 2%, are beyond it:.*problem 9 ",
        ),
    ],
)
def test_bad_golds_are_named(grader, references, message):
    with pytest.raises(InputError, match=message) as caught:
        check_reference_answers(make_problems(grader, references))
    assert "\n" not in str(caught.value)


def test_a_grader_that_pays_for_a_neighbor_is_refused():
    def call_all_right(asked):
        return [Judgment("right", "42") for _ in asked]

    for grader in GRADERS:
        with pytest.raises(InputError, match="it should say 'wrong'"):
            check_reference_answers(make_problems(grader, ["42"]), call_all_right)


def test_a_few_formulas_may_be_beyond_math():
    references = [str(number) for number in range(98)] + [r"\binom{2n}{n}"] * 2
    found = check_reference_answers(make_problems("math", references, "hard"))
    assert len(found.failures) == 2
    assert found.summary_lines()[0].startswith(
        r"grader 'math' says 'error' to '\\boxed{\\binom{3n}{n}}' on problem 98"
    )
    with pytest.raises(InputError, match="3 of the 100 reference answers of hard"):
        check_reference_answers(make_problems("math", references[1:] + references[-1:], "hard"))
    assert check_reference_answers(
        make_problems("math", references * 5, "hard"), math_sample=50
    ).reference_counts == {"math": 50}


def test_math_is_tried_on_a_sample_of_every_source():
    asked = []

    def judge_all(questions):
        asked.extend(questions)
        return [judge(*question) for question in questions]

    many = (
        make_problems("math", map(str, range(2000)), "many")
        + make_problems("math", ["1", "2"], "few")
        + make_problems("integer", ["1"] * 600)
    )
    assert check_reference_answers(many, judge_all).reference_counts == {
        "integer": 600,
        "math": MATH_SAMPLE + 2,
    }
    tried = [reference for grader, reference, _ in asked if grader == "math"]
    assert tried[::2][:3] == ["0", "3", "7"]  # 2000 / 512 = 3.9 apart
    assert check_reference_answers(many, judge_all, math_sample=None).reference_counts == {
        "integer": 600,
        "math": 2002,
    }


def test_many_failures_are_cut_short():
    references = [str(number) for number in range(400)] + [r"\binom{2n}{n}"] * 5
    assert check_reference_answers(make_problems("math", references)).summary_lines()[3:] == [
        "and 2 more like these"
    ]


def test_nothing_to_test():
    assert check_reference_answers([]).reference_counts == {}


def test_a_deadline_that_is_too_short_is_said_to_be():
    def time_out_all(asked):
        return [Judgment("error", None, "timeout")] * len(asked)

    with pytest.raises(
        InputError,
        match=r"\(timeout\): mend that reference answer or choose another grader, "
        "or give it more time$",
    ):
        check_reference_answers([Problem(0, "1+1=", "2")], time_out_all)


def test_each_of_several_references_is_tried_by_itself():
    several = Problem(0, "a root?", ("1", "2"), "integer")  # 2 is 1's wrong neighbor
    assert check_reference_answers([several]).reference_counts == {"integer": 1}
    unusable = several._replace(answer=("1", "2", "two"))
    with pytest.raises(InputError, match="reference 'two'"):
        check_reference_answers([unusable])
