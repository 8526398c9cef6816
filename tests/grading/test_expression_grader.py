"""Grader "expression": arithmetic that comes to a target."""

import pytest

from papo_jax.grading import grade, judge

COUNTDOWN = "24 using 4, 6, 1, 1"


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (COUNTDOWN, "4*6*1*1"),
        (COUNTDOWN, "(4 + 1 - 1) * 6 = 24"),
        (COUNTDOWN, r"4 \times 6 \cdot \frac{1}{1}"),
        (COUNTDOWN, "4 × 6 ÷ 1 ÷ 1"),
        (COUNTDOWN, "4·6 − 1 + 1"),
        (COUNTDOWN, "4⋅6 ﹣ 1 ＋ 1"),
        (COUNTDOWN, "4 x 6 x (1 ∕ 1)"),
        (COUNTDOWN, r"\textcolor{red}{4 * 6} * 1 * 1"),
        (COUNTDOWN, r"\mathsf{4*6*1*1}"),
        (COUNTDOWN, r"\text{The answer is } 4*6*1*1"),
        (COUNTDOWN, "$(4)(6)(1)(1) = 24$."),
        (COUNTDOWN, "[4 * {6}] * 1 / 1"),
        ("24 using 3, 3, 8, 8", "8/(3 - 8/3)"),  # 8 / (1/3)
        ("24", "4*6 = 8*3 = 24"),
        ("3*8", "24"),
        ("0.3", "0.1 + 0.2"),
        ("1/3", r"\dfrac{1}{3}"),
        ("2**10", "1024.00"),
        ("24", "2^4 + 2^3"),
        ("-7", "-(3 + 4)"),
        ("24", "--24"),
    ],
)
def test_expressions_that_come_to_the_target(reference, answer):
    for text in (
        rf"so \boxed{{{answer}}}",
        f"<answer>{answer}</answer>",
        f"Let us see 4 + 4.\n{answer}\n",
    ):
        assert grade("expression", reference, text) == "right"


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (COUNTDOWN, "24"),  # the target is no expression
        (COUNTDOWN, "4*6"),
        (COUNTDOWN, "4*6*1*1*1"),
        (COUNTDOWN, "4*6+1-1+0"),
        (COUNTDOWN, "46/1/1 - 22"),
        (COUNTDOWN, "4*6*1**1"),  # of the given numbers, with + - * / alone
        (COUNTDOWN, "24 = 4*6*1*1"),
        (COUNTDOWN, "4*6*1*1 = 25"),
        (COUNTDOWN, "4*6*1 = 24, and 1"),
        ("24", "25"),
        ("24", "4*6 or 5*5"),
        ("24", "4*6 = 25 - 2"),
        ("24", "24 + 0.00000000000000000001"),
        ("24", "24/0"),
        ("24", "0**-1"),
        ("24", "9**9**9"),
        ("24", "2**65 - 2**65 + 24"),
        ("24", "__import__('os').getpid()"),
        ("24", "24 if 1 else 0"),
        ("24", "0x18"),
        ("24", "2_4"),
        ("24", "24j/1j"),
        ("24", "2.4e1"),
        ("24", "24 # 25"),
        ("24", "(24,)"),
        ("24", "'24'"),
        ("24", "\uff12\uff14"),
        ("24", "(" * 31 + "24" + ")" * 31),
        ("24", "1+" * 260 + "1"),
        ("24", "24 < 25"),
        ("24", "> 24"),
        ("24", "±24"),
        ("24", "24!"),
        ("24", "24 to 25"),
        ("24", "at least 24"),
        ("24", "24k"),
        ("24", "24 million"),
        ("24", "﹣24"),
        ("24", "－24"),
        ("24", "24 500"),
        ("24", "0x24"),
        ("24", ""),
    ],
)
def test_expressions_that_do_not(reference, answer):
    for text in (rf"\boxed{{{answer}}}", answer):
        assert grade("expression", reference, text) == "wrong"


@pytest.mark.parametrize("reference", ["", "x", "1/0", "24 using", "24 using 4, six", "9**9**9"])
def test_a_gold_that_is_no_arithmetic_is_an_error(reference):
    judgment = judge("expression", reference, "24")
    assert judgment.verdict == "error"
    assert judgment.reason.startswith("the reference answer")


def test_expression_puts_the_answer_to_the_vote():
    assert judge("expression", "24", r"\boxed{4 * 6 = 24}").answer == "4*6=24"
