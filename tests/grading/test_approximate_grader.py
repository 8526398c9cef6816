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


@pytest.mark.parametrize(
    "text",
    ["about 4.5 × 10^33 erg/s", "4.5 x 10^33 erg s^{-1}", "approximately 4.5e33 ergs per second"]
    + [r"roughly 4.5 \times 10^{33} erg/s", "4.5×10³³", "0.45 × 10**34 erg / s"],
)
@pytest.mark.parametrize(
    "frame", ["It is {}.", "The luminosity comes to {}", "#### {}", "Answer: {}", r"\boxed{{{}}}"]
)
def test_scientific_notation_is_read_wherever_it_stands(text, frame):
    assert grade("approximate", "4.5e33", frame.format(text)) == "right"
    assert grade("approximate", "4.5e32", frame.format(text)) == "wrong"
    assert grade("approximate", "-4.5e33", frame.format(text)) == "wrong"


@pytest.mark.parametrize(
    ("reference", "text", "verdict"),
    [
        ("0.25", "0.25k", "wrong"),
        ("250", "0.25k", "right"),
        ("5000000", "5 million", "right"),
        ("5", "5 million", "wrong"),
        ("5000000", "$5m", "right"),
        ("5", "$5 m$", "right"),
        ("4.5", "4.5 score", "wrong"),
        ("4.5", "4.5 pairs", "wrong"),
        ("4.5", "4.5 lakh", "wrong"),
        ("4.5", "4.5 dozen", "wrong"),
        ("54", "4.5 dozen", "right"),
        ("300", "300 K", "right"),
        ("4.5", "4.5 T", "right"),
        ("4.5", "4.5 km", "right"),
        ("12500", "12 500 J", "right"),
        ("12500", "12'500 J", "right"),
        ("1250000", "12,50,000", "right"),
        ("12", "12 500", "wrong"),
        ("-3.2", "\uff0d3.2", "right"),
        ("3.2", "\uff0d3.2", "wrong"),
        ("3.2", "\u20133.2", "wrong"),
        ("3.2", "\u2212 3.2", "wrong"),
        ("3.2", "minus 3.2", "wrong"),
        ("3.2", "\uff13.2", "wrong"),
        ("4.5", "> 4.5", "wrong"),
        ("4.5", "±4.5", "wrong"),
        ("4.5", "4.5 to 5.5", "wrong"),
        ("4.5", "at least 4.5", "wrong"),
        ("4.5", "4.5 or more", "wrong"),
        ("4.5", "4.5!", "wrong"),
        ("5", "five", "right"),
        ("5", "five or six", "wrong"),
        ("4.5", r"\textcolor{red}{4.5}", "right"),
        ("4.5", r"\mathsf{4.5}\,\mathrm{m}", "right"),
        ("5 million", "5e6", "right"),
    ],
)
def test_multipliers_signs_and_bounds(reference, text, verdict):
    for frame in ("#### {}", "Answer: {}", r"\boxed{{{}}}"):
        assert grade("approximate", reference, frame.format(text)) == verdict, frame


def test_running_text():
    assert grade("approximate", "5000000", "They need 5 million.") == "right"
    assert grade("approximate", "3.2", "It is －3.2.") == "wrong"
    assert grade("approximate", "-3.2", "It is －3.2.") == "right"
    assert grade("approximate", "4.5", "It is 3.5 or 4.5") == "wrong"
    assert grade("approximate", "4.5", "It is not 4.5") == "wrong"
    assert grade("approximate", "4.5", "It takes 4.5 seconds in all.") == "right"
    assert grade("approximate", "4.5", "It is 4.5 m/s^2.") == "right"


def test_votes():
    assert (
        judge("approximate", "4.5", "Answer: 4.50 m").answer
        == judge("approximate", "4.5", "Answer: 9/2").answer
        == "9/2"
    )
