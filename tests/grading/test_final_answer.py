"""Where a text marks its final answer; the grader "exact"."""

import pytest

from papo_jax.grading import grade, judge
from papo_jax.grading.final_answer import boxed, last_line, marked, plain, tagged


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1} and \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{42}}", "42"),
        (r"\fbox{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"\boxed 7.", "7"),
        (r"\boxed B", "B"),
        (r"\boxed{}", ""),
        (r"\boxed{1} \boxed{2", None),
        (r"\boxed{1", None),
        (r"\boxedfoo{1}", None),
        ("no box", None),
    ],
)
def test_the_last_box(text, expected):
    assert boxed(text) == expected


def test_the_last_tags():
    assert tagged("<answer>1</answer> <answer>\n2\n3\n</answer>") == "2\n3"
    assert tagged("<answer>1") is None
    assert tagged("1</answer>") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # tags before a box, a box before ####, that before a phrase
        (r"\boxed{1} <answer>2</answer> \boxed{3}", "2"),
        (r"<answer>so \boxed{2}</answer>", "2"),
        (r"#### 1 \boxed{2} Answer: 3", "2"),
        ("Answer: 3\n#### 1", "1"),
        ("#### 1\nAnswer: 3", "1"),
        ("####\n\n7 eggs\nbye", "7 eggs"),
        ("Answer: 42", "42"),
        ("Answer:\n\n42\nbye", "42"),
        ("**Answer:** 42", "42"),
        ("Final answer = 42", "42"),
        ("Therefore, the final answer is: $42$.", "$42$."),
        ("so the answer is 5\nThe answer is 6", "6"),
        ("THE ANSWER IS no", "no"),
        ("I wonder what the answer is 5", None),
        ("5", None),
    ],
)
def test_marks(text, expected):
    assert marked(text) == expected


def test_plain_and_last_line():
    assert plain(" **_42_**. ") == "42"
    assert [last_line(text) for text in ("a\n b \n\n", "", "\n")] == ["b", "", ""]


GRID = "1 2\n3 4"


@pytest.mark.parametrize(
    ("gold", "text", "verdict"),
    [
        ("a b", "a b\n", "right"),
        ("a b", "a  b", "wrong"),
        ("a b", "", "wrong"),
        ("a b", r"hence \boxed{a b}", "right"),
        ("a b", r"hence \boxed{a c}, a b", "wrong"),
        ("a b", "The answer is **a b**.", "right"),
        ("a b", "#### a b", "right"),
        ("a b", "The answer is a b or a c", "wrong"),
        ("a b.", "Answer: a b.", "right"),
        (GRID, f"\n{GRID}\n", "right"),
        (GRID, f"So:\n<answer>\n{GRID}\n</answer>", "right"),
        (GRID, f"So:\n{GRID}", "wrong"),
        (GRID, "<answer>1 2 3 4</answer>", "wrong"),
        ("____", "____", "right"),
        ("banana", "b" * 20_000 + "banana", "wrong"),
        ("banana", "1" * 20_000 + "banana", "wrong"),
        (" ", "", "error"),
        ("b" * 10_001, "b", "error"),
    ],
)
def test_exact(gold, text, verdict):
    assert grade("exact", gold, text) == verdict


def test_exact_puts_the_answer_to_the_vote():
    assert judge("exact", "a", "<answer> b </answer>").answer == "b"
    assert judge("exact", "a", "").answer is None
    assert len(judge("exact", "a", "b" * 999).answer) == 200
