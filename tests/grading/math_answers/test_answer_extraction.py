"""Extraction of the final mathematical answer of a completion."""

import pytest

from papo_jax.grading.math_answers.answer_extraction import extract_math_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{41} \boxed{42}", "42"),
        ("<answer>42</answer>", "42"),
        ("The answer is $x=42$, the number of pupils.", "$x=42$"),
        ("The answer is $42$, not $41$", "$42$, not $41$"),
        ("So $x = 4$.\nHence $y = 5$ or $6$.", "y = 5$ or $6"),
        ("$x = 41$ gives $y = 42$", "y = 42"),
        ("$x = 42$ or 41", None),
        ("We get\n\\[x =\n42\\]", "x =\n42"),
        ("We get\n$$42$$", "42"),
        (r"that is \(42\).", r"\(42\)"),
        ("x = 42", "x = 42"),
        ("(3, 4)", "(3, 4)"),
        ("It is 42 apples.", "42"),
        ("They cost $1,234.50 each", "$1,234.50"),
        ("It is 1/2.", "1/2"),
        ("It is 41 or 42.", None),
        ("The values are 41, 42", None),
        ("It is 42!", None),
        ("It is x42.", None),
        ("def f(): return (lambda: 42)()", None),
        (r"The box \boxed{42 is not closed", None),
        ("", None),
    ],
)
def test_extract(text, expected):
    assert extract_math_answer(text) == expected
