"""Canonical values by hand: equal values are one vote, unequal ones are not."""

import time

import pytest

from papo_jax.evaluation.estimators import maj_at_k
from papo_jax.grading import judge
from papo_jax.grading.math_answers.canonical_value import write_canonical_value
from papo_jax.grading.math_answers.latex.canonical_latex import canonicalize_latex

EQUAL = [
    [
        r"50\%",
        "1/2",
        "0.5",
        r"\frac{2}{4}",
        ".50",
        "x = 0.5",
        r"\text{one half}",
        "5e-1",
        "50 percent",
    ],
    [
        "12500",
        "12,500",
        "12 500",
        r"1.25\times10^4",
        r"\mathbf{12500}",
        "12.5 thousand",
        "12500 apples",
    ],
    [r"\sqrt{12}", r"2\sqrt{3}", r"\frac{6}{\sqrt3}", r"2\sqrt 3"],
    [r"\frac{\pi}{2}", r"\pi/2", r"\frac12\pi", r"0.5\pi"],
    [r"\frac{1}{1+\sqrt2}", r"\sqrt2-1"],
    ["1024", "2^{10}", r"\frac{2048}{2}"],
    ["x^2-1", "(x-1)(x+1)", "-1+x^2", "(x+1)(x-1)"],
    [r"\frac{x+1}{x-1}", r"1+\frac{2}{x-1}"],
    [r"\sin 2x", r"2\sin x\cos x"],
    ["1,-2", "x=-2, x=1", r"\{-2,1\}", r"x=1\text{ or }x=-2"],
    [r"1\pm\sqrt2", r"1+\sqrt2, 1-\sqrt2"],
    ["x>2", r"(2,\infty)", r"(2,+\infty)"],
    ["|x|>1", r"(1,\infty)\cup(-\infty,-1)", r"x<-1\text{ or }x>1"],
    [r"50\text{ cm}", r"0.5\text{ m}", r"\frac12\text{ meters}"],
    [r"\$5", r"5\text{ dollars}", r"500\text{ cents}"],
    [r"x\equiv 5\pmod 7", "12 (mod 7)", r"5\bmod 7"],
    ["1+2i", "2i+1"],
    [r"\text{Evelyn}", "evelyn", r"\textbf{Evelyn}"],
    ["3:45 pm", "15:45"],
    [r"\emptyset", "no solution"],
    [r"\begin{pmatrix}1/2\\2\end{pmatrix}", r"\begin{bmatrix}0.5\\2\end{bmatrix}"],
    ["(0.5,2)", r"(\frac12,\frac42)"],
]


@pytest.mark.parametrize("answers", EQUAL)
def test_equal_values_are_one_vote(answers):
    judgments = [judge("math", "41", rf"\boxed{{{answer}}}") for answer in answers]
    assert {judgment.verdict for judgment in judgments} == {"wrong"}
    assert len({judgment.answer for judgment in judgments}) == 1, judgments


def test_unequal_values_are_not():
    values = [judge("math", "41", rf"\boxed{{{answers[0]}}}").answer for answers in EQUAL]
    assert len(set(values)) == len(EQUAL)
    others = [
        "50",
        "0.50001",
        "0.5,2",
        "(2,0.5)",
        "[2,3]",
        "[2,3)",
        "5",
        "x^2+1",
        "-x",
        "x",
        "y",
        "3:45",
    ]
    values += [judge("math", "41", rf"\boxed{{{other}}}").answer for other in others]
    assert len(set(values)) == len(EQUAL) + len(others)


def test_half_the_votes_are_a_majority_however_they_are_written():
    texts = [r"50\%", r"\frac12", "0.5", "3", "3", "4"]
    judgments = [judge("math", r"\frac12", rf"\boxed{{{text}}}") for text in texts]
    assert maj_at_k(judgments) == 1.0
    judgments = [judge("math", "4", rf"\boxed{{{text}}}") for text in texts]
    assert maj_at_k(judgments) == 0.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"2\sqrt{3}", r"2\sqrt{3}"),
        (r"-\frac{\sqrt{3}}{3}", r"-\frac{1}{3}\sqrt{3}"),
        (r"\sqrt{2}+\sqrt{3}", "3.14626436994"),
        (r"\frac{2}{3}\pi i", r"0+(\frac{2}{3}\pi)i"),
        (r"\sqrt[3]{2}", "1.25992104989"),
        (r"\frac{1}{0}", r"\frac{1}{0}"),
        ("9^{9^9}", "9^{9^9}"),
        ("((x+1)^{99}+y)^{20}", "((x+1)^{99}+y)^{20}"),
        (r"\int_0^1x", r"\int_0^1x"),
        ("«Evelyn»", "«evelyn»"),
        (r"x\equiv12\pmod7", r"5\pmod{7}"),
        (r"a\pmod7", r"a\pmod{7}"),
        (r"\frac{1}{2}\pmod7", r"\frac{1}{2}\pmod{7}"),
        ("3(4)", "12"),  # math-verify alone would read 3 + 4
        ("(5)(2)x", "10x"),
        ("|x|+|y|", "|x|+|y|"),
        ("", ""),
    ],
)
def test_canonical_values(text, value):
    assert write_canonical_value(text) == value


@pytest.mark.parametrize(
    "text",
    ["(x+y+z)^{20}(x-y)^{20}", "(x+1)^{63}", "x^{999}", "+x" * 140, r"\sqrt{" * 15 + "2" + "}" * 15]
    + ["-" * 200 + "1", "1" * 199 + "^2", r"\frac{999999937}{999999929}\sqrt{999999893}", "|x" * 6]
    + [r"\sin\sin\sin x" * 10, "(" * 20 + "x" + ")" * 20, "a«" * 90, "1«m»" * 100, "1:30" * 90],
)
def test_no_answer_takes_long(text):
    write_canonical_value("1+x")  # imports
    start = time.perf_counter()
    write_canonical_value(canonicalize_latex(text))
    assert time.perf_counter() - start < 1
