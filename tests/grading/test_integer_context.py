"""Integers whose signs, multipliers, groups and context make another number, or none."""

import pathlib

import pytest

from papo_jax import tasks
from papo_jax.grading import extract_integer, grade
from papo_jax.grading.wording.characters import DASHES, MINUS_SIGNS
from papo_jax.grading.wording.numerals import canonical_integer

DATA = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "gsm8k"


@pytest.mark.parametrize("frame", ["#### {}", r"\boxed{{{}}}", "<answer>{}</answer>", "It is {}."])
def test_no_dash_of_unicode_is_dropped(frame):
    for dash in DASHES:
        assert extract_integer(frame.format(f"{dash}37")) == "-37", hex(ord(dash))
        assert extract_integer(frame.format(f"{dash}$37")) == "-37", hex(ord(dash))
        assert extract_integer(frame.format(f"{dash}\u200b37")) == "-37", hex(ord(dash))
        assert extract_integer(frame.format(f"{dash}\uff13\uff17")) is None, hex(ord(dash))
    for sign in "⁻₋":
        assert extract_integer(frame.format(f"{sign}37")) is None


@pytest.mark.parametrize(
    "text",
    ["#### − 37", "#### ﹣ 37", r"\boxed{－ 37}", "x = − 37", "It is − 37.", "The answer is: - 37"]
    + ["It is $- 37$.", r"\boxed{-(37)}", r"\boxed{-\text{37}}", r"\boxed{{-}37}", "It is -€37"]
    + [r"\boxed{\textminus 37}", r"\boxed{-\$37}", "It is -US$37", "It is -**37**.", "#### -$ 37"]
    + [
        r"\boxed{\text{minus }37}",
        "#### negative 37",
        "It is minus 37.",
        "#### -+37",
        "#### minus 37",
    ]
    + ["#### negative thirty-seven", r"\boxed{\text{minus } 37\text{ cm}}", "Answer: negative 37"],
)
def test_a_sign_in_another_form_is_a_sign(text):
    assert extract_integer(text) == "-37"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a — 37", "37"), ("the total—37", "37"), ("x − 37", "37"), ("5−3", "3"), ("- 37", "37")]
    + [("5 minus 3", None), ("not -3", None), ("#### ３７ (5 boxes)", None), ("5, so ３", None)]
    + [("1 of 2 is ½", None), ("#### ½ million", None), ("It is 4\u200b2", None)]
    + [("It is not 42.", None), (r"\boxed{|-8|}", None), (r"\boxed{8 \frac12}", None)],
)
def test_dashes_between_words_and_numerals_of_other_scripts(text, expected):
    assert extract_integer(text) == expected


MULTIPLIED = [
    ("7 billion", "7000000000"),
    ("7k", "7000"),
    ("7 score", "140"),
    ("7K", "7000"),
    ("7 hundred", "700"),
    ("7 lakh", "700000"),
    ("7 crore", "70000000"),
    ("7M", "7000000"),
    ("$7m", "7000000"),
    ("USD 7m", "7000000"),
    ("7 thousand 5 hundred", None),
    ("7 hundred thirty", None),
    ("7 dozen eggs", "84"),
    ("7 pairs", "14"),
    ("7 gross", "1008"),
    ("1.5 million", "1500000"),
    (".5 million", "500000"),
    ("7 halves", None),
    ("8 halves", "4"),
    ("7万", "70000"),
    ("2 hundred thousand", "200000"),
    ("7 km", "7"),
    ("7m", "7"),
    ("7 scores", "7"),
    ("7 (B)", "7"),
    ("7 M&M's", "7"),
]


@pytest.mark.parametrize(("text", "expected"), MULTIPLIED)
def test_a_multiplier_belongs_to_the_number(text, expected):
    assert extract_integer(f"#### {text}") == expected
    assert extract_integer(f"<answer>{text}</answer>") in (expected, None)
    if "(" not in text and "&" not in text and "$" not in text:
        assert extract_integer(rf"\boxed{{{text}}}") == expected
        number, _, word = text.partition(" ")
        if word:
            assert extract_integer(rf"\boxed{{{number}\text{{ {word}}}}}") == expected


def test_running_text_counts_pairs_and_scales_millions():
    assert extract_integer("He has 7 pairs of shoes.") == "7"
    assert extract_integer("He has 7 million.") == "7000000"
    assert extract_integer("9" * 5000 + " million") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 500", "12500"),
        ("12,50,000", "1250000"),
        ("12'500", "12500"),
        ("12’500", "12500"),
        ("12_500", "12500"),
        ("1 234 567", "1234567"),
        ("1.234.567", "1234567"),
        (r"12\ 345", "12345"),
        ("12~345", "12345"),
        (r"12\;345", "12345"),
        (r"12\,345", "12345"),
        ("12{,}345", "12345"),
        ("12\u2007345", "12345"),
        ("12,500.00", "12500"),
        ("12 50", None),
        ("12,5000", None),
        ("12,50,00", None),
        ("12'50", None),
        ("12_50", None),
        ("1.080,00", None),
        ("12，500", None),
        ("12,500,00", None),
        (r"12\quad 345", None),
    ],
)
def test_groups_of_digits(text, expected):
    assert extract_integer(f"#### {text}") == expected
    assert extract_integer(rf"\boxed{{{text}}}") == expected
    if " " not in text:
        assert extract_integer(f"That makes {text}") in (expected, None)


CHANGED = """±8; > 8; at least 8; 8!; 8 to 9; < 8; ≥ 8; >= 8; != 8; ≠ 8; x > 8; at most 8;
    more than 8;
    no more than 8; less than 8; fewer than 8; up to 8; over 8; between 8 and 9; from 8 to 9;
    not 8; 8-9; 8–9; 8 - 9; 8~9; 8...9; 8 or 9; 8 and 9; 8, 9; 8 & 9; (8, 9); 8/9; 8:9; 8:30; 8
    or more; 8+; 8 at least; 8 squared; 8 factorial; 8²; 8^2; 8**2; 8½; 8 ½; 8 1/2; 8 and a
    half; 8.5; 8e3; 8π; 8 pi; 8√2; √8; sqrt(8); |8|; 8x3; 8 x 10^3; 8 × 10^3; 8 times 3; 8
    divided by 2; 8 mod 3; 8 choose 2; 8 point 5; 8_9; ∓8; +/-8; +/- 8; plus or minus 8; 8i; 8‰;
    x + 8; 8 + x; 8n + 1; 8 vs 9; minimum 8; 3*8;
    half of 8; twice 8; double 8; 50% of 8; 8% of 9; 8 hours 30 minutes; 8h30; 8 ft 9 in; 8__000;
    8 thousand 5 hundred""".split(";")


@pytest.mark.parametrize("text", [" ".join(text.split()) for text in CHANGED])
def test_what_is_marked_is_read_strictly(text):
    for frame in ("#### {}", r"\boxed{{{}}}", "<answer>{}</answer>"):
        assert extract_integer(frame.format(text)) not in ("8", "9"), frame


@pytest.mark.parametrize(
    "text",
    [
        r"\pm 8",
        r"$\geq 8$",
        r"\sqrt{8}",
        r"\text{at least } 8",
        r"8\text{ to }9",
        r"8\pi",
        r"8\times 3",
    ],
)
def test_latex_is_read_strictly_too(text):
    assert extract_integer(f"#### {text}") is None
    assert extract_integer(rf"\boxed{{{text}}}") is None


@pytest.mark.parametrize("text", ["The answer is at least 8.", "Answer: > 8", "It is ±8."])
def test_a_phrase_is_a_mark(text):
    assert extract_integer(text) is None


HONEST = """8; 8 apples; about 8; ≈ 8; => 8; -> 8; → 8; = 8; 8.; 8.00; **8**; **8** apples; `8`;
    $8$;
    \\(8\\); \\$8; €8; 8€; 8%; 8°; 8 km; 8m; 8 kg; 8 cm²; 8 cm^2; 8 min; 8 times; 8 a day; 8 - a
    lot; 8 (since 4*2=8); 8 (B); 8 because 4+4=8; 8 apples for 3 days; 8 apples!; 8 to the
    nearest dollar; 8-year-old; 8th; $8/day; <b>8</b>; "8"; (8); #8; No. 8; USD 8; 8, which is 3
    more than 5; 4*2=8; 4 x 2 = 8; x = 8; The answer is 8; 8 ####; 8:00 PM; eight; eight apples;
    the eighth; \\textbf{8}; \\boxed{8}; \\mathrm{8}; {\\bf 8}; <<4*2=8>>8""".split(";")


@pytest.mark.parametrize("text", [" ".join(text.split()) for text in HONEST])
def test_honest_answers_stay_right(text):
    assert extract_integer(f"3 + 5 gives it.\n#### {text}") == "8"


@pytest.mark.parametrize(
    "text",
    [
        "{\\bf 8}",
        r"\textrm{8}",
        r"\color{red}{8}",
        r"\color{red} 8",
        r"\textcolor{red}{8}",
        r"\mathsf{8}",
    ]
    + [
        r"\underline{8}",
        r"\operatorname{8}",
        r"\pmb{8}",
        r"\text{The answer is } 8",
        r"\Large 8",
        "eight",
    ]
    + [
        r"8\,\text{cm}^{2}",
        r"\mathbf{\color{blue}{8}}",
        r"8^{\text{th}}",
        r"8^{th}",
        r"8\text{th}",
        "8 cm^2",
    ]
    + [
        r"\text{eight}",
        r"8^{\circ}",
        r"8\degree",
        r"\colorbox{red}{8}",
        r"\mathrm{\mathbf{8}}",
        "$8$",
    ]
    + [
        r"\displaystyle{8}",
        r"8\phantom{9}",
        r"\,8\,",
        r"\texttt{8}",
        r"\bm{8}",
        r"\text{\textbf{8}}",
    ],
)
def test_decoration_in_a_box_loses_nothing(text):
    assert extract_integer(rf"\boxed{{{text}}}") == "8"


def test_words_count_where_they_are_marked_and_no_digits_follow():
    assert extract_integer("3 + 2 make it. The answer is five.") == "2"  # not at a line's start
    assert extract_integer("3 + 2 make it.\nThe answer is five.") == "5"
    assert extract_integer("3 + 2 = 5. One of them is mine.") == "5"
    assert extract_integer("The answer is one of 3 numbers.") == "3"
    assert extract_integer("#### One step more\n3 * 4 = 12") == "12"
    assert extract_integer("#### five\n\nQuestion: 7 + 8?") == "5"
    assert extract_integer("#### five or six") is None


def test_minus_signs_are_dashes_that_stand_between_no_words():
    assert set(MINUS_SIGNS) < set(DASHES)


def test_references_are_read_like_answers():
    texts = ("−37", "12 500", "12'500", "5:00", "5 million", "-(5", "five")
    assert [canonical_integer(text) for text in texts] == ["-37", "12500", "12500", None, None] + [
        None
    ] * 2


FRAMES = (
    "#### {}",
    "#### **{}**",
    "#### ${}",
    "#### {}.00",
    "#### {} dollars",
    "#### {} in 3 days",
    "#### The answer is {}",
    "#### {}\n\nQuestion: What is 7 + 8?\nAnswer: 15",
    "#### {} ####",
    "So she has {} left!",
    "Answer: {}",
    "**Final Answer**: {} miles",
    "The answer is ${}$.",
    r"\boxed{{{}}}",
    r"\boxed{{\${}\text{{ per day}}}}",
    r"\boxed{{\textbf{{{}}}}}",
    "<answer>{}</answer>",
)


@pytest.mark.skipif(not DATA.is_dir(), reason="the GSM8K files are not beside this checkout")
def test_every_gold_of_gsm8k_is_right_in_usual_frames(tmp_path):
    task = tasks.load("gsm8k", path=str(DATA), cache=tmp_path)
    golds = {problem.answer for split in (task.train, task.held_out) for problem in split}
    assert len(golds) > 500
    for gold in golds:
        for frame in FRAMES:
            for written in (gold, f"{int(gold):,}"):
                assert grade("integer", gold, frame.format(written)) == "right", frame
            assert grade("integer", gold, frame.format(int(gold) + 1)) == "wrong", frame
