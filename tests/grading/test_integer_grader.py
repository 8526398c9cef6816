"""The integer that a text ends with, by hand; hostile texts."""

import time

import pytest

from papo_jax.grading import grade
from papo_jax.grading.final_answer import TAIL_CHARACTERS
from papo_jax.grading.integer_extraction import extract_integer
from papo_jax.grading.wording.numerals import canonical_integer

ANSWERS = [
    # the last number
    ("42", "42"),
    ("3*4=12", "12"),
    ("3 * 4 = 12.", "12"),
    ("It costs $1,080.00", "1080"),
    ("It costs $1,080.", "1080"),
    ("1, 2, 3", "3"),
    ("1,2,3", "3"),
    ("1\u202f234\u00a0567", "1234567"),
    ("12 apples, i.e. 007", "7"),
    ("**12**", "12"),
    ("the answer is...5", "5"),
    ("no digits", None),
    ("", None),
    # signs
    ("5-3", "3"),
    ("(5)-3", "3"),
    ("5 - 3", "3"),
    ("x=-3", "-3"),
    ("3 - 7 = - 4", "-4"),
    ("x = \u22127.", "-7"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("+5", "5"),
    ("-0", "0"),
    ("COVID-19", "19"),
    # no integers
    ("3.5", None),
    ("so 12, or 3.50", None),
    ("3.00", "3"),
    (".5", None),
    ("1/2", None),
    ("10^5", None),
    ("1e5", None),
    # digits that are not ASCII
    ("\uff11\uff12", None),
    ("\u0663", None),
    ("1\uff12", None),
    ("5\u00b2", None),
    ("3\u00bd", None),
    ("\u7b54\u6848\u662f-12", "-12"),
    # after ####
    ("5 #### 7", "7"),
    ("#### 1,234 apples\n\nQuestion: 5", "1234"),
    ("#### 3*4=12\nbye 5", "12"),
    ("#### **72**", "72"),
    (r"\boxed{5} #### 7", "7"),
    ("#### 5 #### $-7", "-7"),
    ("12 #### none", None),
    ("#### 3.5", None),
    ("#### Step 3: sum\n3*4 = 12", "12"),
    (r"#### Final step" + "\n" + r"so \boxed{12} in 3 days", "12"),
    # boxes
    (r"\boxed{12} after 3 days", "12"),
    (r"\boxed{5}, no \boxed{-7}", "-7"),
    (r"\boxed{x = 12}", "12"),
    (r"\boxed{1{,}234\text{ apples}}", "1234"),
    (r"\boxed{\$1,\!234}", "1234"),
    (r"\boxed{50\%}", "50"),
    (r"\boxed{90^\circ}", "90"),
    (r"\boxed{\frac{6}{2}}", None),
    (r"\boxed{3*4}", None),
    (r"\boxed{3^2}", None),
    (r"12 \boxed{}", None),
    (r"\boxed{12", "12"),
    (r"\boxed{3 = 3}", "3"),
    (r"\boxed{41 = 42}", None),
    # tags
    ("<answer>12</answer> after 3 days", "12"),
    (r"\boxed{5} <answer>#### 7</answer>", "7"),
    ("12 <answer>none</answer>", None),
    ("<answer>12", "12"),
    # two answers in one breath are none
    ("41 or 42", None),
    ("either 41 or 42.", None),
    ("41, no 42", None),
    ("answer: 41, no 42", None),
    ("42, not 41", None),
    ("41 / maybe 42", None),
    ("41 and 42", None),
    ("41 OR\n42", None),
    ("x = 41 or x = 42", None),
    ("#### 41 or 42", None),
    ("#### 42, not 41", None),
    (r"\boxed{41 \text{ or } 42}", None),
    (r"\boxed{41 \text{ or } x = 42}", None),
    (r"\boxed{\text{not } 42}", None),
    # and these are not
    ("3, no wait, the answer is 12", "12"),
    ("not 41 but 42", "42"),
    ("5 boys and 7 girls", "7"),
    ("3 or 4 make 7", "7"),
    ("#### 42\nor 41", "42"),
    ("x = 41, y = 42", "42"),
]


@pytest.mark.parametrize(("text", "expected"), ANSWERS)
def test_extract_integer_by_hand(text, expected):
    assert extract_integer(text) == expected


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("12", "3*4=12", "right"),
        ("1,080", "1080.00", "right"),
        ("-7", "\u22127", "right"),
        ("12", "13", "wrong"),
        ("12", "", "wrong"),
        ("12", "12.5", "wrong"),
        ("twelve", "twelve", "error"),
        ("", "", "error"),
        ("3.5", "3.5", "error"),
        ("\uff11", "1", "error"),
        ("1" * (TAIL_CHARACTERS + 1), "1", "error"),
    ],
)
def test_three_verdicts(reference, answer, verdict):
    assert grade("integer", reference, answer) == verdict


def test_integers_longer_than_int_accepts():
    long = "9" * 9000
    assert grade("integer", long, f"x = {long}") == "right"
    assert grade("integer", long, f"x = {long[:-1]}8") == "wrong"


def test_a_number_cut_by_the_tail_does_not_count():
    assert extract_integer("1" * (TAIL_CHARACTERS + 5)) is None
    assert extract_integer("1" * (TAIL_CHARACTERS + 5) + " 7") == "7"
    assert extract_integer("#### 5" + " " * TAIL_CHARACTERS) is None


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1,",
        "111,",
        ".",
        "-",
        "#",
        "#### ",
        "\\boxed{",
        "\\boxed{1}",
        "{",
        "\\text{",
        "$",
        "1.",
        "1e",
        "= - ",
    ]
    + [" ", "\x00", "\\text{\\", "^{", "1/", "\n", "\u0663", "\ud800", "{,}", "\\!"],
)
def test_hostile_texts_are_quick(piece):
    text = piece * (1_000_000 // len(piece))
    start = time.perf_counter()
    for end in ("", "x", "7"):
        extract_integer(text + end)
    assert (time.perf_counter() - start) / 3 < 0.2


@pytest.mark.parametrize(
    "answer", ["__import__('os').getpid()", "9**9**9", "int('1' * 10**9)", "10" + "0" * 10**6]
)
def test_nothing_is_evaluated(answer):
    assert grade("integer", "12", answer) == "wrong"


def test_canonical_integer_takes_the_whole_text():
    texts = ("1,080", " 5.00 ", "$3", "+4", "1,08", "5 apples", "5-3", "", "--5", "0x10")
    assert [canonical_integer(text) for text in texts] == ["1080", "5", "3", "4"] + [None] * 6


@pytest.mark.parametrize(
    "answer", [r"\boxed{- 7}", r"\boxed{-~7}", r"\boxed{x=- 7}", "#### - 7", "#### -7"]
)
def test_a_sign_may_stand_apart(answer):
    assert (grade("integer", "-7", answer), grade("integer", "7", answer)) == ("right", "wrong")


@pytest.mark.parametrize(
    "answer",
    [r"\boxed{7!}", r"\boxed{x>7}", r"\boxed{±7}", r"\boxed{7 or 8}", "It is minus 7", "7 million"],
)
def test_what_is_no_single_integer(answer):
    assert grade("integer", "7", answer) == "wrong"


@pytest.mark.parametrize(
    "answer", [r"\boxed{42\text{ cm}^2}", r"\boxed{42\ \mathrm{cm^2}}", r"\boxed{\displaystyle 42}"]
)
def test_units_and_sizes_do_not_matter(answer):
    assert grade("integer", "42", answer) == "right"
