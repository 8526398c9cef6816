"""Verdicts of the grader "math" by hand: right, wrong, and what it cannot judge."""

import pytest

from papo_jax.grading import grade, judge

# Answers that are as good as the reference, by reference.
RIGHT = {
    "42": ["x=42", "42 apples", "42%", "4.2e1", r"4.2 \times 10^1", r"\boxed{42}"]
    + [r"x \in \{42\}", r"\frac{42}{1}", "42.0", "42_{10}", "$42$", "42.", "042", r"4\big2"]
    + [r"\mathbf{42}", r"\bf 42", "forty-two", r"\text{forty-two}", r"\text{The answer is }42"]
    + [r"42^{\text{nd}}", "42nd"],
    "0.42": ["42%"],
    r"42\%": ["0.42", "42"],
    r"\frac13": ["0.333333"],
    r"5 \text{ cm}": ["5"],
    "5": [r"5 \text{ cm}", "5cm", r"\$5", "y=5", "€5"],
    r"15\mbox{ cm}^2": [r"15\text{ square centimeters}", "15"],
    r"1\frac{4}{5}": [r"\frac{9}{5}", "1.8"],
    r"\frac{9}{5}": [r"1 \frac45", "1 4/5"],
    r"\frac95": ["1.8"],
    "3, 5, 7": ["7,5,3", r"\{3,5,7\}"],
    "1,-2": [r"x=1 \text{ or } x=-2", "x=1, x=-2"],
    "(3,5)": ["3,5"],
    "(3,4]": ["(3,4]", r"3<x\le 4"],
    r"x \in [-2,7]": ["[-2,7]", r"-2 \le x \le 7"],
    r"(-\infty,0]": [r"x \leq 0"],
    r"(-\infty, 2) \cup (3, \infty)": [r"(3,\infty)\cup(-\infty,2)"],
    r"\text{Evelyn}": ["Evelyn", "evelyn", r"\textbf{Evelyn}"],
    r"\text{(C)}": ["C", "(C)", r"\textbf{(C)}", "c"],
    "C": [r"\text{(C)}"],
    "1010_2": ["1010_2", "1010", "1010_{2}"],
    r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}": []
    + [r"\begin{bmatrix} -1 & 0 \\ 0 & -1 \end{bmatrix}"],
    r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}": []
    + [r"\begin{pmatrix} 0.2 \\ -\frac{18}{5} \end{pmatrix}"],
    r"90^\circ": ["90", "90 degrees"],
    "90": [r"90^\circ"],
    "y = 2x + 3": ["2x+3", "y=3+2x"],
    "5x - 7y + 11z + 4 = 0": ["10x-14y+22z+8=0", "5x-7y+11z=-4"],
    r"1 \pm \sqrt{19}": [r"1+\sqrt{19}, 1-\sqrt{19}"],
    r"\{1\pm\sqrt{5},-2\}": [r"-2,1+\sqrt5,1-\sqrt5"],
    r"11\sqrt2": [r"\sqrt{242}"],
    r"\frac{\sqrt{3}}{3}": [r"\frac{1}{\sqrt3}"],
    r"\sqrt{51}": ["7.14142842"],
    r"\pi": ["3.14159"],
    "391": [r"17 \cdot 23 = 391"],
    "2^{10}": ["1024"],
    "1024": ["2^{10}", r"\frac{2048}{2}"],
    "3": [r"\sqrt{9}", r"\sqrt[3]{27}", r"\text{3 apples}"],
    "(a+5)(b+2)": ["(b+2)(a+5)", "ab+5b+2a+10"],
    "x^2+2x+1": ["(x+1)^2"],
    "x^2-1": ["(x-1)(x+1)"],
    "6r^2-4r-24": ["2(3r^2-2r-12)", "-4r+6r^2-24"],
    "58,500": ["58500"],
    r"10,\!080": ["10,080", "10{,}080"],
    r"\$18.90": ["18.9", r"\$18.90"],
    ".0000672": [r"6.72\times10^{-5}"],
    "4210_{5}": ["4210_5"],
    "1+274i": ["274i+1"],
    r"864 \mbox{ inches}^2": [r"864 \text{ in}^2"],
    "x=5": ["5"],
    "1,234": ["1234"],
    "1234": ["1,234"],
    r"\frac{1}{2}": [r"\frac{2}{4}", "0.5"],
    "0.5": [r"\frac12"],
    r"\frac12": ["1/2"],
    r"\frac{7}{2}": ["3.5"],
    r"-\frac{3}{8}": [r"\frac{-3}{8}"],
    r"\cot x": [r"\frac{1}{\tan x}", r"\cot(x)"],
    "p - q": ["-q+p"],
    "6 - 5i": ["6-5 i"],
    "2k": [r"k \cdot 2"],
    r"\frac{270}7\text{ degrees}": [r"\frac{270}{7}^\circ"],
    r"8 \pi": ["8π"],
    "f(x)=2x": ["f(x)=2x"],
    r"(2,\infty)": [r"(2,+\infty)", "x>2"],
    r"137 \frac{1}{2}": ["137.5", r"\frac{275}{2}"],
    "[0,1]": [r"0\le x\le1"],
    "2,3": ["(2,3)"],
    "(1,-16,-4,43)": ["1,-16,-4,43"],
    r"\frac{n(n+1)}{2}": ["n(n+1)/2", r"\frac{n^2+n}{2}"],
    "25": [r"25\text{ km/h}", "25 km/h", r"25 \text{ m/s}^2", r"25\text{ cm}^2"],
    "3:45": [r"3:45 \text{ p.m.}"],
    r"3:45 \text{ p.m.}": ["3:45"],
    "3.14": [r"\approx 3.14"],
    r"(-\infty,-2]\cup[2,\infty)": [r"x\leq-2\text{ or }x\geq2"],
    r"\mathbb{R}": [r"x\in\mathbb{R}"],
    r"i\sqrt{3}": [r"\sqrt{3}i"],
    r"\frac{1}{3}\ln 2": [r"\frac{\ln 2}{3}"],
    "30": [r"\angle A = 30^\circ"],
    "(2,3)": [r"x = 2 \text{ and } y = 3", "x=2, y=3"],
    "(3,2),(2,3)": ["(2,3), (3,2)"],
    "120": [r"\binom{10}{3} = 120"],
    r"6\pi": [r"6\pi \text{ square units}", r"6\pi\,\mathrm{cm}^2"],
    r"\frac{\pi}{6}": [r"\pi/6"],
    "2n+1": ["a_n = 2n+1"],
    "x^2(x+1)": ["x^3+x^2"],
    r"2\sqrt{2}": [r"\sqrt{8}", "2.828427"],
    r"\frac{x+1}{x-1}": [r"1+\frac{2}{x-1}"],
    r"\sin 2x": [r"2\sin x\cos x"],
    "e^{2x}": ["(e^x)^2"],
    r"\log_2 8": ["3"],
    r"5\sqrt{2} \text{ cm}": [r"5\sqrt2"],
    r"\tan\theta": [r"\frac{\sin\theta}{\cos\theta}"],
    "ab+bc+ca": ["bc + ca + ab"],
    "x = 5": ["x = 5.0"],
    "9!": ["362880"],
    r"\frac{a}{b}": ["a/b"],
    r"\frac{1}{1+\sqrt{2}}": [r"\sqrt{2}-1"],
    "(x-2)^2+(y+1)^2=9": ["(y+1)^2+(x-2)^2=9", "x^2-4x+y^2+2y-4=0"],
    "x^2+y^2": ["(x+y)^2-2xy"],
    r"\text{Monday}": ["Monday."],
    r"\text{no solution}": [r"\text{No solution}"],
    "1,2": ["1;2"],
    "[2,5)": [r"2 \leq x < 5"],
    r"\frac{3}{4}": [r"\frac{3}{4}\text{ of the cake}"],
    "0": ["-0"],
}

# Answers that are not: other values, two values, a reference that is hidden in a hedge, sums that
# are left to work out.
WRONG = {
    "0.42": ["42"],
    "42": ["0.42", "(41,42)", "{41,42}", r"\{41,42\}", "41,42", "[41,42]", r"42 \text{ or } 41"]
    + [r"\pm 42", "x>42", "42!", r"\infty", r"\text{42 or 43}", r"42\neq 41", ""]
    + ["42_8", "6*7", r"\frac{80}{2}+2", "42 million", "forty-three", r"\text{forty-two or so}"]
    + ["not 42", "42 is wrong", "41=42", "9^{9^{9^9}}", "４２", r"42\text{ or so}"]
    + [r"\phantom{41}42", r"42 \quad 41", r"\text{The answer is not }42", r"n=42\text{ or }41"]
    + [r"\text{The answer is 41, not }42", "forty-two or 41", r"42^{nd^2}"],
    "1": ["0.9999999999"],
    r"\frac13": ["0.33", "0.333332"],
    r"5 \text{ cm}": [r"5 \text{ m}"],
    "3, 5, 7": ["3,5", "3,5,7,9"],
    "3,5,7": ["3,5,5,7"],
    "(3,5)": ["(5,3)", "5,3", "[3,5]"],
    "(3,4]": ["3 < x < 4"],
    r"(-\infty, 2) \cup (3, \infty)": [r"(-\infty,2)"],
    r"\text{Evelyn}": [r"\text{Evelyn or Bob}", "Evelyn, Bob", "not Evelyn"],
    r"\text{(C)}": ["D", "B, C"],
    "1010_2": ["10", "1010_{3}"],
    r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}": []
    + [r"\begin{pmatrix} 0.2 & -\frac{18}{5} \end{pmatrix}"],
    r"90^\circ": [r"\frac{\pi}{2}"],
    "y = 2x + 3": ["x=2y+3"],
    "y=2x+3": ["y=2x", "2x-y+4=0"],
    "5x - 7y + 11z + 4 = 0": ["0=0", "5x-7y+11z+4"],
    r"1 \pm \sqrt{19}": [r"1+\sqrt{19}"],
    r"\{1\pm\sqrt{5},-2\}": [r"-2,1+\sqrt5"],
    r"\sqrt{51}": ["7.14"],
    r"\pi": ["3.14", r"\frac{22}{7}"],
    "391": ["17*23"],
    "1024": ["2^{11}", "2^{10}+0", r"2\cdot2^9", "32*32"],
    "(a+5)(b+2)": ["ab+5b+2a+11"],
    "58,500": ["58,5"],
    ".0000672": [".0000673"],
    "1+274i": ["1-274i"],
    r"5.4 \text{ cents}": [r"5.4 \text{ dollars}"],
    "3R^2": ["3r^2"],
    "x=5": ["y=5"],
    "1234": ["1 23 4", "12 34", "1 2345"],
    "12": ["1 2", "two dozen", r"1\,2", r"1 \text{ } 2"],
    "4142": ["41 42"],
    r"-\frac{3}{8}": [r"\frac{3}{8}"],
    r"\emptyset": [r"\{0\}", "0"],
    r"\text{ellipse}": ["an ellipse"],
    "0": ["10^{-12}", "0.0000001", r"\sin(\pi)"],
    r"(2,\infty)": ["(2,5)"],
    r"137 \frac{1}{2}": [r"\frac{137}{2}"],
    "25": ["25 m^2"],
    "3:45": ["3:46"],
    r"(-\infty,-2]\cup[2,\infty)": [r"x\leq-2"],
    r"\mathbb{R}": [r"(-\infty,0)", r"\mathbb{Q}", r"[-\infty,\infty]"],
    "(2,3)": ["x=3,y=2"],
    r"6\pi": [r"6\pi^2"],
    r"\frac{\pi}{6}": [r"30^\circ"],
    r"2\sqrt{2}": ["2.8284270"],
    r"\sin 2x": [r"2\sin x \cos y"],
    "3": [r"\log_2 8", r"3 \text{ and } 3"],
    r"-\sqrt{3}": [r"\sqrt{3}"],
    "xyz": ["zyx"],
    "AB": ["BA"],
    "2": [r"2\text{ or }3"],
    "10^{20}": ["10^{20}+1"],
    "-1": [r"\cos\pi"],
    r"\text{no solution}": [r"\text{one solution}", "no"],
    "2,2": ["2"],
    "42nd": ["43", "43rd"],
}


@pytest.mark.parametrize("reference", RIGHT)
def test_right(reference):
    for answer in [reference, *RIGHT[reference]]:
        assert judge("math", reference, rf"so it is $\boxed{{{answer}}}$.").verdict == "right", (
            answer
        )


@pytest.mark.parametrize("reference", WRONG)
def test_wrong(reference):
    for answer in WRONG[reference]:
        assert judge("math", reference, rf"so it is $\boxed{{{answer}}}$.").verdict == "wrong", (
            answer
        )


@pytest.mark.parametrize(
    "text",
    [
        "41 or 42",
        "answer: 41, no 42",
        "The answer is 41, not 42",
        "The answer is not 42",
        "It is 41, maybe 42",
    ],
)
def test_hedges_without_a_box(text):
    assert {grade("math", reference, text) for reference in ("41", "42")} == {"wrong"}


def test_golds_may_be_boxed_or_in_dollars():
    for reference in (r"\boxed{42}", "$42$", r"\(42\)", "42.", " 42 "):
        assert grade("math", reference, r"\boxed{42}") == "right"


def test_a_gold_beyond_the_parser_is_compared_as_text():
    reference = r"\binom{2n}{n}"
    assert grade("math", reference, r"\boxed{\binom{2n}{n}}") == "right"
    judgment = judge("math", reference, r"\boxed{2^n}")
    assert judgment.verdict == "error"
    assert judgment.reason.startswith("the reference answer: '\\\\binom{2n}{n}' is not handed")
    assert grade("math", reference, "") == "wrong"


def test_votes_count_equal_numbers_as_one():
    texts = (
        r"\boxed{\frac{1}{2}}",
        "Answer: 0.5",
        r"<answer>x = 2/4</answer>",
        r"\boxed{.50\text{ cm}}",
    )
    assert [judge("math", "7", text).answer for text in texts] == ["1/2", "1/2", "1/2", "1/200 m"]
    assert judge("math", "7", r"\boxed{2 \sqrt3}").answer == r"2\sqrt{3}"
    assert judge("math", "7", "").answer is None
    assert len(judge("math", "7", rf"\boxed{{{'x+' * 400}}}").answer) == 200


@pytest.mark.parametrize(
    "text",
    [
        "(((9^9)^9)^9)^9",
        "(x+1)^{999}",
        "2^{99999}",
        "300!",
        "(9!)!",
        r"e^{e^{e^{9}}}",
        r"\frac{1}{0}",
    ],
)
def test_what_is_read_but_not_worked_out(text):
    assert grade("math", r"\sqrt{2}", rf"\boxed{{{text}}}") == "wrong"


@pytest.mark.parametrize("reference", ["2^{99999}x", "300!x", "(x+1)^{99}(x+2)^{99}(y+1)^{99}"])
def test_a_formula_too_large_to_be_worked_out_is_said_to_be(reference):
    judgment = judge("math", reference, r"\boxed{x+1}")
    assert judgment.verdict == "error" and "too large" in judgment.reason


def test_a_huge_answer_is_wrong_and_no_error():
    assert judge("math", "x+1", r"\boxed{((x+1)^{99}+y)^{20}}") == (
        "wrong",
        "((x+1)^{99}+y)^{20}",
        "",
    )


@pytest.mark.parametrize(
    "reference, answer, verdict",
    [
        (r"6\sqrt2", r"3!\sqrt2", "wrong"),
        (r"16\pi", r"4^2\pi", "wrong"),
        ("x+y=2", "0=0", "wrong"),
        ("1.23456+i", "1.23456", "wrong"),
        (r"\sqrt2", "1.4142", "wrong"),
        ("0.1234567", "0.123457", "wrong"),
        ("42", r"42\text{ more}", "wrong"),
        ("42", r"42\approx60", "wrong"),
        ("x=1,x=2", "2,1", "right"),
        ("5.123456", "5.123,456", "wrong"),
        (r"\frac{\sqrt2}{100000000000000000000}", r"\frac{\sqrt3}{100000000000000000000}", "wrong"),
        ("2^{10}+3^{10}", "60073", "right"),
        (r"2^{12}-3^{2}\sqrt5", r"4096-9\sqrt5", "right"),
        ("-7", "- 7", "right"),
        (r"\text{No}", "No", "right"),
        ("(52)_8", "52_8", "right"),
        ("42", r"42=6\cdot7", "right"),
        ("42", "41=42", "wrong"),
    ],
)
def test_at_the_edges(reference, answer, verdict):
    assert judge("math", reference, rf"\boxed{{{answer}}}").verdict == verdict
