"""Graders by name: verdicts on any text at all, versions, and nothing heavy before it is needed."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import GRADERS, Pool, grade, judge, registry, versions
from papo_jax.grading.final_answer import TAIL_CHARACTERS, truncate_to_tail

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = {
    "integer": "42",
    "exact": "42",
    "math": r"6\sqrt{2}",
    "expression": "42 using 6, 7",
    "approximate": "4.2e1",
}
NESTED = "(" * 300 + "41" + ")" * 300
HOSTILE = [
    "__import__('os').getpid()",
    "9**9**9",
    r"9^{9^{9^{9}}}",
    "(9^{99})^{99}",
    "100000!",
    r"\binom{99999}{50000}",
    r"\sum_{n=1}^{9^9}n",
    "(x+1)^{999}",
    NESTED,
    "{" * 300,
    r"\frac" * 100,
    r"\frac{" * 100,
    "|x" * 90,
    "-" * 400 + "41",
    "1+" * 200 + "1",
    "9" * 9000,
    "1e999999999",
    "\x00",
    "\ud800",
    "\u202e24",
    "\uff14\uff12",
    r"\text{\text{",
    r"\begin{pmatrix}" + "1&" * 400,
    "=" * 900,
    "," * 900,
    r"\pm" * 90,
    "42" * 450,
]
FRAMES = ("{}", r"\boxed{{{}}}", "<answer>{}</answer>", "#### {}", "Answer: {}", "${}$")


def test_unknown_grader_names_the_nearest():
    with pytest.raises(InputError, match="nearest is 'integer'"):
        judge("integr", "1", "1")


@pytest.mark.parametrize("grader", GRADERS)
def test_hostile_texts_are_wrong_and_quick(grader):
    registry.warm_up(grader)
    for text in HOSTILE:
        for frame in FRAMES:
            start = time.perf_counter()
            judgment = judge(grader, REFERENCES[grader], frame.format(text))
            assert judgment.verdict == "wrong", (frame, text[:60], judgment)
            assert time.perf_counter() - start < 2, (frame, text[:60])


@pytest.mark.parametrize("grader", GRADERS)
def test_only_the_end_of_a_text_is_read(grader):
    reference = REFERENCES[grader].partition(" using")[0]
    for text in (
        rf"\boxed{{{reference}}} " + "and so on " * TAIL_CHARACTERS,
        "so " * TAIL_CHARACTERS + rf"\boxed{{{reference}}}",
        "4" * (TAIL_CHARACTERS + 3),
        "4\n" * TAIL_CHARACTERS,
    ):
        assert judge(grader, reference, truncate_to_tail(text)) == judge(grader, reference, text)
        assert len(truncate_to_tail(text)) <= TAIL_CHARACTERS
        assert truncate_to_tail(truncate_to_tail(text)) == truncate_to_tail(text)


@pytest.mark.parametrize("grader", GRADERS)
def test_an_empty_gold_is_an_error(grader):
    judgment = judge(grader, " ", " ")
    assert judgment.verdict == "error"
    assert judgment.reason and "\n" not in judgment.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("two\nlines"), "ValueError: two"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_a_grader_that_fails_is_an_error_in_one_line(monkeypatch, error, reason):
    monkeypatch.setitem(registry._GRADERS, "math", Mock(side_effect=error))
    assert judge("math", "1", "1") == ("error", None, reason)


def test_a_grader_that_runs_out_of_memory_is_no_error(monkeypatch):
    monkeypatch.setitem(registry._GRADERS, "math", Mock(side_effect=MemoryError()))
    with pytest.raises(MemoryError):
        judge("math", "1", "1")


def test_graders_need_no_main_thread_and_no_alarm():
    found = []
    worker = threading.Thread(
        target=lambda: found.append(grade("math", r"\sqrt{8}", r"\boxed{2\sqrt{2}}"))
    )
    worker.start()
    worker.join()
    assert found == ["right"]


def test_versions():
    found = versions()
    assert sorted(found) == ["latex2sympy2_extended", "math-verify", "papo_jax.grading", "sympy"]
    assert found["math-verify"] == "0.9.0"


LOADED = r"""
import sys
from papo_jax.grading import judge
print({"sympy", "math_verify", "jax", "numpy"} & set(sys.modules))
print(judge("math", "42", r"\boxed{42}").verdict, "sympy" in sys.modules)
print(judge("math", r"\sqrt{8}", r"\boxed{2\sqrt{2}}").verdict, "sympy" in sys.modules)
"""


def test_heavy_packages_load_on_first_use_and_in_silence():
    run = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["set()", "right False", "right True"]
    assert run.stderr == ""


@pytest.mark.parametrize(
    "text", ["It is not 42.", "That is minus 42.", "There are 42 million.", "No, it is not **42**"]
)
def test_a_number_that_running_text_makes_another_is_none(text):
    assert [grade(grader, "42", text) for grader in ("math", "approximate", "integer")] == [
        "wrong"
    ] * 3


@pytest.mark.parametrize("grader", ["math", "integer", "exact", "expression", "approximate"])
def test_what_was_thought_before_is_not_the_answer(grader):
    assert grade(grader, "42", r"<think>\boxed{41} #### 41</think> So \boxed{42}") == "right"
    assert grade(grader, "41", r"<think>\boxed{41} #### 41</think> So \boxed{42}") == "wrong"
    assert grade(grader, "42", r"<think>So \boxed{42}</think> ") == "right"


SEVERAL = {
    "integer": (("7", "-42"), "#### -42", "#### 42"),
    "exact": (("a", "b c"), "b c", "c"),
    "math": ((r"\frac{1}{2}", "x+1"), r"\boxed{1+x}", r"\boxed{x-1}"),
    "expression": (("25 using 5, 5", "42 using 6, 7"), "6*7", "42"),
    "approximate": (("1e3", "4.2e1"), r"\boxed{42.1}", r"\boxed{43}"),
}


@pytest.mark.parametrize("grader", GRADERS)
def test_any_of_several_references_is_right(grader):
    references, right, wrong = SEVERAL[grader]
    assert grade(grader, references, right) == grade(grader, references[::-1], right) == "right"
    assert grade(grader, references, wrong) == "wrong"
    assert judge(grader, list(references), right) == judge(grader, references[1], right)
    assert judge(grader, (references[1],), wrong) == judge(grader, references[1], wrong)
    with Pool(workers=1) as pool:
        assert pool.grade([(grader, references, right), (grader, list(references), wrong)]) == [
            "right",
            "wrong",
        ]


def test_an_unusable_reference_of_several_is_an_error_unless_another_is_met():
    assert grade("integer", ("four", "4"), "4") == "right"
    assert judge("integer", ("4", "four"), "5").verdict == "error"
    assert judge("integer", (), "5") == ("error", None, "no reference answer")
