"""Multipliers behind a number."""

from fractions import Fraction

import pytest

from papo_jax.grading.wording.multipliers import COUNTING_WORDS, find_multiplier


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("7 hundred", 100),
        ("7 thousand", 1000),
        ("7-Thousand", 1000),
        ("7k", 1000),
        ("7K", 1000),
        ("7 grand", 1000),
        ("7 lakh", 10**5),
        ("7 million", 10**6),
        ("7M", 10**6),
        ("7 mln", 10**6),
        ("7 crores", 10**7),
        ("7 billion", 10**9),
        ("7bn", 10**9),
        ("7 trillion dollars", 10**12),
        ("7 hundred million", 10**8),
        ("7万人", 10**4),
        ("7 億", 10**8),
        ("7 pairs", 2),
        ("7 dozen", 12),
        ("7 score", 20),
        ("7 gross", 144),
        ("7 halves", Fraction(1, 2)),
        ("7 tenths", Fraction(1, 10)),
        ("7** million", 10**6),
        ("7$ million", 10**6),
        ("7 (million)", 10**6),
    ],
)
def test_multipliers(text, factor):
    found = find_multiplier(text, 1)
    assert found is not None and found.factor == factor


@pytest.mark.parametrize(
    "text",
    ["7", "7 km", "7 m", "7m", "7 kg", "7 times", "7 (B)", "7 quarters", "7 scores"]
    + ["7, million", "7 millionaires", "7 tennis balls", "7 men", "7 bananas", "7 Mondays"],
)
def test_units_are_none(text):
    found = find_multiplier(text, 1)
    assert found is None


def test_currency_and_counting_words_depend_on_the_place():
    assert find_multiplier("7m", 1) is None
    assert find_multiplier("7m", 1, money=True).factor == 10**6
    assert [
        word for word in COUNTING_WORDS if find_multiplier(f"7 {word}", 1, counting=False)
    ] == []
    assert find_multiplier("7 dozen", 1, counting=False).factor == 12
    assert find_multiplier("7 hundred thousand dollars", 1).end == len("7 hundred thousand")


def test_a_chain_of_multipliers_ends():
    assert find_multiplier("7" + " million" * 5000, 1).factor < 10**400
