"""Final answers that a completion marks."""

import pytest

from papo_jax.grading.final_answer import (
    find_boxed_answer,
    find_marked_answer,
    find_tagged_answer,
    last_line,
    strip_decoration,
)


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
    assert find_boxed_answer(text) == expected


def test_the_last_tags():
    assert find_tagged_answer("<answer>1</answer> <answer>\n2\n3\n</answer>") == "2\n3"
    assert find_tagged_answer("<answer>1") is None
    assert find_tagged_answer("1</answer>") is None


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
    assert find_marked_answer(text) == expected


def test_plain_and_last_line():
    assert strip_decoration(" **_42_**. ") == "42"
    assert [last_line(text) for text in ("a\n b \n\n", "", "\n")] == ["b", "", ""]
