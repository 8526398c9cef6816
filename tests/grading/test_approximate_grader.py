"""Grader "approximate": numbers within one per cent."""

import pytest

from papo_jax.grading import grade, judge
from papo_jax.grading.final_answer import TAIL_CHARACTERS


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
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
def test_approximate(reference, answer, verdict):
    assert grade("approximate", reference, rf"\boxed{{{answer}}}") == verdict
    assert len(answer) <= TAIL_CHARACTERS


def test_votes():
    assert (
        judge("approximate", "4.5", "Answer: 4.50 m").answer
        == judge("approximate", "4.5", "Answer: 9/2").answer
        == "9/2"
    )
