"""Words that multiply a number, numbers in words, ordinals, and groups of digits."""

import pytest

from tests.support.boxed_answers import judge_boxed

RIGHT = [
    ("5000000", "5 million"),
    ("5 million", "5000000"),
    ("5 million", "5000000 dollars"),
    (r"\$5{,}000{,}000", r"\$5\text{ million}"),
    ("7000", r"7\text{k}"),
    ("7000", r"\$7k"),
    ("7000000", r"\$7M"),
    ("700000", r"7\text{ lakh}"),
    ("70000000", "7 crore"),
    ("2500000", "2.5 million"),
    ("84", "7 dozen"),
    ("140", "7 score"),
    ("14", "7 pairs"),
    ("7 pairs", "7"),
    ("7", r"7\text{ ordered pairs}"),
    ("7", "7 pairs of integers"),
    ("300", r"300\text{ K}"),
    ("0.7", "7 tenths"),
    ("5", "five"),
    ("21", "twenty-one"),
    ("105", r"\text{one hundred and five}"),
    ("5", "five apples"),
    ("5", "x = five"),
    ("0.75", r"\text{three quarters}"),
    (r"\frac12", r"\text{one half}"),
    ("12", "twelve"),
    ("12", r"12^{\text{th}}"),
    ("12", "12th"),
    ("12", "twelfth"),
    ("12th", "12"),
    ("12", r"12\text{th}"),
    ("12", r"12^\text{th}"),
    ("21", "21^{st}"),
    (r"12^{\text{th}}", "12th"),
    ("12500", "12 500"),
    ("1250000", "12,50,000"),
    ("12500", "12'500"),
    ("12500", "12_500"),
    ("12500", r"12\_500"),
    ("12500", r"12\,500"),
    ("12500", r"12\ 500"),
    ("12500", "12~500"),
    ("12500", "12{,}500"),
    ("1234567", "1.234.567"),
    ("12500.5", "12 500.5"),
    ("1, 12, 144", "1,12,144"),
]
WRONG = [
    ("3125", "12 500/4"),
    ("7", "7k"),
    ("7", r"7\text{k}"),
    ("7", r"7\text{ lakh}"),
    ("7", r"7\text{ pairs}"),
    ("7", "7 million"),
    ("7", r"7\text{ dozen}"),
    ("7", "7 score"),
    ("7", r"7\text{K}"),
    ("7", r"7\text{ crore}"),
    ("7", r"\$7k"),
    ("7", r"\$7\text{ billion}"),
    ("5 million", "5"),
    ("7", "7 hundred"),
    ("7", "7 halves"),
    ("5", "six"),
    ("5", "five or six"),
    ("5", "fifty"),
    ("5", "one fifth"),
    ("12", "13th"),
    ("12", "12^{13}"),
    ("12", "12 500"),
    ("500", "12 500"),
    ("12", "12'500"),
    ("500", "12'500"),
    ("0", "12,50,000"),
    ("12", "12_500"),
    ("500", "12_500"),
    ("12", r"12\,500"),
    ("12500", "12 50 0"),
    ("12", "1 2"),
    ("1250000", "12,50,00"),
]


@pytest.mark.parametrize(("reference", "answer"), RIGHT)
def test_right(reference, answer):
    assert judge_boxed(reference, answer) == "right"


@pytest.mark.parametrize(("reference", "answer"), WRONG)
def test_wrong(reference, answer):
    assert judge_boxed(reference, answer) == "wrong"
