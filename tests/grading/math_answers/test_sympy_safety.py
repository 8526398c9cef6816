"""Formulas that are never handed to sympy."""

import pytest

from papo_jax.grading.math_answers.sympy_safety import is_safe_to_parse


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^9}",
        "9^99^9",
        r"\sqrt[10^9]{2}",
        r"\int_0^1x",
        r"\binom{9}{3}",
        "1" * 201,
        "x" + "+1" * 200,
        "(" * 21 + "x" + ")" * 21,
        "|x" * 8,
        "print",
        r"\operatorname{eval}x",
        "x;y",
        "x[0]]" * 99,
        "\u0663",
        "",
    ],
)
def test_what_is_not_handed_to_sympy(text):
    assert not is_safe_to_parse(text)
