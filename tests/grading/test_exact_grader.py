"""Grader "exact"."""

import pytest

from papo_jax.grading import grade, judge

GRID = "1 2\n3 4"


@pytest.mark.parametrize(
    ("reference", "text", "verdict"),
    [
        ("a b", "a b\n", "right"),
        ("a b", "a  b", "wrong"),
        ("a b", "", "wrong"),
        ("a b", r"hence \boxed{a b}", "right"),
        ("a b", r"hence \boxed{a c}, a b", "wrong"),
        ("a b", "The answer is **a b**.", "right"),
        ("a b", "#### a b", "right"),
        ("a b", "The answer is a b or a c", "wrong"),
        ("a b.", "Answer: a b.", "right"),
        (GRID, f"\n{GRID}\n", "right"),
        (GRID, f"So:\n<answer>\n{GRID}\n</answer>", "right"),
        (GRID, f"So:\n{GRID}", "wrong"),
        (GRID, "<answer>1 2 3 4</answer>", "wrong"),
        ("____", "____", "right"),
        ("banana", "b" * 20_000 + "banana", "wrong"),
        ("banana", "1" * 20_000 + "banana", "wrong"),
        ("a b", r"\boxed{\text{a b}}", "right"),
        ("a b", r"\boxed{\textbf{a b}}", "right"),
        ("a b", r"\boxed{\textcolor{red}{a b}}", "right"),
        ("a b", r"\boxed{\text{The answer is a b}}", "right"),
        ("a b", "#### a b ####", "right"),
        ("E", "E: a text", "right"),
        ("E", "Answer: (E) a text", "right"),
        ("E", r"so \boxed{\textbf{(E)}\ 12}", "right"),
        ("E", "Answer: E or F", "wrong"),
        ("E", "Answer: F: a text", "wrong"),
        ("E", "Answer: Every one", "wrong"),
        (" ", "", "error"),
        ("b" * 10_001, "b", "error"),
    ],
)
def test_exact(reference, text, verdict):
    assert grade("exact", reference, text) == verdict


def test_exact_puts_the_answer_to_the_vote():
    assert judge("exact", "a", "<answer> b </answer>").answer == "b"
    assert judge("exact", "a", "").answer is None
    assert len(judge("exact", "a", "b" * 999).answer) == 200
