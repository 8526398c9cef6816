"""Overlap of training and evaluation problems, whatever text is around their questions."""

import json
from pathlib import Path

import pytest

from papo_jax.errors import InputError
from papo_jax.tasks import Problem, load
from papo_jax.tasks.overlap import check_overlap, make_question_normalizer, normalize_text
from papo_jax.tasks.templates import BOXED, DAPO, MARKED, fill_template

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
LONG = "Janet’s ducks lay 16 eggs per day. How many are left after she eats three?"


def make_problems(*prompts, source="gsm8k"):
    return [Problem(i, prompt, "1", "integer", source) for i, prompt in enumerate(prompts)]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What is  1+1?", "what is 1 + 1"),
        (
            r"Compute $\sin 60^\circ$.",
            r"Compute \(\sin60^{\circ}\)".replace("{", "").replace("}", ""),
        ),
        ("Janet’s “ducks”", 'JANET\'s "ducks"'),
        ("ﬁve ½", "five 1⁄2"),  # NFKC
        ("a list: 1, 2", "a list 1,2"),
    ],
)
def test_the_same_question(left, right):
    assert normalize_text(left) == normalize_text(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("3+4*2=", "3*4+2="),
        ("(1+2)*3", "1+2*3"),
        ("gcd of 26, 760", "gcd of 267, 60"),
        ("1.5 + 2", "15 + 2"),
        (r"\frac{1}{23}", r"\frac{12}{3}"),
        ("x < y", "x > y"),
        ("5 eggs", "-5 eggs"),
    ],
)
def test_other_questions(left, right):
    assert normalize_text(left) != normalize_text(right)


def test_known_instructions_come_off():
    normalize_question = make_question_normalizer()
    expected = normalize_text(LONG)
    assert {
        normalize_question(fill_template(template, LONG))
        for template in (BOXED, MARKED, DAPO, "{question}")
    } == {expected}
    assert normalize_question(fill_template(MARKED, fill_template(BOXED, LONG))) == expected
    assert make_question_normalizer(["Q: {question}\nA:"])(f"Q: {LONG}\nA:") == expected


def test_what_is_refused_and_what_is_said():
    train = make_problems(
        "Something else?", fill_template(MARKED, LONG.upper()), fill_template(BOXED, LONG)
    )
    with pytest.raises(
        InputError,
        match="also evaluated on: 2; the first is 'Janet.*train gsm8k 1, held out math 0.; take",
    ) as caught:
        check_overlap(train, make_problems(fill_template(BOXED, LONG), source="math"))
    assert "\n" not in str(caught.value)
    check_overlap(make_problems("Something else?"), make_problems(LONG))
    check_overlap(make_problems("Something else?"), [])


def test_inside_a_prompt_of_the_users_own():
    wrapped = f"Question one: {LONG}\nLet us think. Answer:"
    with pytest.raises(InputError, match="also evaluated on: 1;"):
        check_overlap(make_problems(wrapped, source="jsonl"), make_problems(LONG))
    check_overlap(
        make_problems(wrapped), make_problems(LONG)
    )  # of a published file the instruction is known, so this is another question
    check_overlap(make_problems(wrapped, source="jsonl"), make_problems(LONG, source="jsonl"))
    check_overlap(
        make_problems(wrapped.replace("three", "four"), source="jsonl"), make_problems(LONG)
    )
    check_overlap(
        make_problems(wrapped.replace("three", "threefold"), source="jsonl"), make_problems(LONG)
    )


def test_short_questions_inside_have_a_line_of_their_own():
    held_out = make_problems(r"Compute $\sin 60^\circ$.")
    check_overlap(make_problems(r"Compute $\sin 60^\circ + 1$.", source="jsonl"), held_out)
    with pytest.raises(InputError, match="also evaluated on: 1;"):
        check_overlap(
            make_problems("Solve this:\nCompute $\\sin 60^\\circ$\nAnswer:", source="jsonl"),
            held_out,
        )


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the GSM8K and MATH-500 files are not beside this checkout"
)
def test_the_real_files_inside_a_users_file(tmp_path):
    tests = [json.loads(line) for line in (DATA / "gsm8k" / "test.jsonl").read_text().splitlines()]
    own = [
        {"prompt": f"Q: {row['question']}\n\nA: ", "answer": row["answer"].partition("####")[2]}
        for row in tests
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    (tmp_path / "test.jsonl").write_text('{"prompt": "nothing", "answer": 1}\n')
    with pytest.raises(InputError, match="also evaluated on: 1319;"):
        load("jsonl+gsm8k", path=f"{tmp_path}:{DATA / 'gsm8k'}", cache=tmp_path / "cache")


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the GSM8K and MATH-500 files are not beside this checkout"
)
@pytest.mark.parametrize("form", ["prompt", "problem"])
def test_math_500_inside_the_test_split_of_math(tmp_path, form):
    rows = [
        json.loads(line) for line in (DATA / "math500" / "math500.jsonl").read_text().splitlines()
    ]
    bare = [row["prompt"].rpartition("\n")[0] for row in rows]
    shown = [row["prompt"] for row in rows] if form == "prompt" else bare
    held_out = "".join(json.dumps({form: prompt, "answer": "1"}) + "\n" for prompt in shown)
    (tmp_path / "math500.jsonl").write_text(held_out)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.jsonl").write_text(
        "".join(json.dumps({"prompt": prompt, "answer": "1"}) + "\n" for prompt in bare)
    )
    (tmp_path / "own" / "test.jsonl").write_text('{"prompt": "nothing", "answer": 1}\n')
    with pytest.raises(InputError, match="also evaluated on: 500;"):
        load(
            "jsonl+math_500",
            path=f"{tmp_path / 'own'}:{tmp_path / 'math500.jsonl'}",
            cache=tmp_path / "cache",
        )


def test_prompts_of_punctuation_alone():
    check_overlap(make_problems("...", "\n\n", source="jsonl"), make_problems("???"))
    with pytest.raises(InputError, match="also evaluated on: 1;"):
        check_overlap(make_problems("???"), make_problems("???"))
