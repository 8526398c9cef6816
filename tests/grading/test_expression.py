"""Arithmetic that comes to a target, and numbers within one per cent."""

import pytest

from papo_jax.grading import grade, judge
from papo_jax.grading.final_answer import TAIL

COUNTDOWN = "24 using 4, 6, 1, 1"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (COUNTDOWN, "4*6*1*1"),
        (COUNTDOWN, "(4 + 1 - 1) * 6 = 24"),
        (COUNTDOWN, r"4 \times 6 \cdot \frac{1}{1}"),
        (COUNTDOWN, "4 × 6 ÷ 1 ÷ 1"),
        (COUNTDOWN, "4·6 − 1 + 1"),
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
def test_expressions_that_come_to_the_target(gold, answer):
    for text in (
        rf"so \boxed{{{answer}}}",
        f"<answer>{answer}</answer>",
        f"Let us see 4 + 4.\n{answer}\n",
    ):
        assert grade("expression", gold, text) == "right"


@pytest.mark.parametrize(
    ("gold", "answer"),
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
        ("24", ""),
    ],
)
def test_expressions_that_do_not(gold, answer):
    for text in (rf"\boxed{{{answer}}}", answer):
        assert grade("expression", gold, text) == "wrong"


@pytest.mark.parametrize("gold", ["", "x", "1/0", "24 using", "24 using 4, six", "9**9**9"])
def test_a_gold_that_is_no_arithmetic_is_an_error(gold):
    judgment = judge("expression", gold, "24")
    assert judgment.verdict == "error"
    assert judgment.reason.startswith("the gold answer")


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("4.5e33", "4.5e33", "right"),
        ("4.5e33", "4.544e33", "right"),  # 0.98 %
        ("4.5e33", "4.546e33", "wrong"),  # 1.02 %
        ("4.5e33", r"4.5 \times 10^{33}", "right"),
        ("4.5e33", r"L = 4.5 \times 10^{33} \text{ erg/s}", "right"),
        ("4.5e33", r"4.5 \cdot 10^{33}\,\mathrm{erg\,s^{-1}}", "right"),
        ("4.5e33", r"4.5 \times 10^{32}", "wrong"),
        ("1234.5", "1{,}234.5", "right"),
        ("1234.5", "1,234.5 m/s^2", "right"),
        ("0.045", r"4.5\%", "right"),
        (r"4.5\%", "0.045", "right"),
        ("4.5", "4.5%", "right"),
        ("4.5", "9/2", "right"),
        ("4.5", r"\frac{9}{2}", "right"),
        ("4.5", r"x \approx 4.52", "right"),
        ("4.5", "about 4.5", "right"),
        ("20", r"20 ^\circ C", "right"),
        ("-3.2", "-3.2", "right"),
        ("-3.2", "3.2", "wrong"),
        ("0", "0.0", "right"),
        ("0", "0.0001", "wrong"),
        ("4.5", "4.5 million", "wrong"),
        ("4.5", "4.5 or 5.5", "wrong"),
        ("4.5", "4.5, 5.5", "wrong"),
        ("4.5", "4.5 not 5.5", "wrong"),
        ("4.5", "5.5 = 4.5", "wrong"),
        ("4.5", "4.5^2", "wrong"),
        ("4.5", r"4.5\pi", "wrong"),
        ("4.5", "4.5i", "wrong"),
        ("4.5", "4.5(2)", "wrong"),
        ("4.5", r"4.5 \pm 0.1", "wrong"),
        ("4.5", "1.5 + 3", "wrong"),
        ("4.5", "inf", "wrong"),
        ("4.5", "nan", "wrong"),
        ("4.5", "1e99999", "wrong"),
        ("x", "4.5", "error"),
        ("", "", "error"),
    ],
)
def test_approximate(gold, answer, verdict):
    assert grade("approximate", gold, rf"\boxed{{{answer}}}") == verdict
    assert len(answer) <= TAIL


def test_votes():
    assert judge("expression", "24", r"\boxed{4 * 6 = 24}").answer == "4*6=24"
    assert (
        judge("approximate", "4.5", "Answer: 4.50 m").answer
        == judge("approximate", "4.5", "Answer: 9/2").answer
        == "9/2"
    )
