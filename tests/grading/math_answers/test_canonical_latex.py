"""Canonical LaTeX by hand."""

import pytest

from papo_jax.grading.math_answers.latex.canonical_latex import MAX_CHARACTERS, canonicalize_latex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"$\left(\tfrac12,\ \dfrac{3}{4}\right)$.", r"(\frac{1}{2},\frac{3}{4})"),
        (r"\frac\pi6", r"\frac{\pi}{6}"),
        (r"1{,}234 + 5,678", "1234+5678"),
        ("(1,234)", "(1,234)"),
        ("1\u202f234\u00a0567", "1234567"),
        (r"x^{2}_{10}", "x^2_{10}"),
        (r"\text{ no solution }", "«no solution»"),
        ("3 sqrt(5)", r"3\sqrt{5}"),
        ("x ≤ 5", r"x\le5"),
        (r"\begin{matrix} 1 \\ 2 \end{matrix}", r"\begin{matrix}1\\2\end{matrix}"),
        ("41 42", "41 42"),
        (r"\frac{", r"\frac{}{}{"),
    ],
)
def test_canonical(text, expected):
    assert canonicalize_latex(text) == expected


def test_canonical_leaves_long_texts_alone():
    assert canonicalize_latex("1  + " * MAX_CHARACTERS) == " ".join(["1 +"] * MAX_CHARACTERS)
