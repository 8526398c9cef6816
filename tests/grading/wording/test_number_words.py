"""Numbers in English words."""

import pytest

from papo_jax.grading.wording.number_words import read_number_words

BELOW_TWENTY = """zero one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen""".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int) -> str:
    """Writes a number below a thousand million in British English."""
    for scale, word in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= scale:
            rest = number % scale
            joint = "" if not rest else " and " if rest < 100 else " "
            return f"{in_words(number // scale)} {word}{joint}{in_words(rest) if rest else ''}"
    if number < 20:
        return BELOW_TWENTY[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{BELOW_TWENTY[ones]}" if ones else "")


def test_cardinals_are_read_back():
    numbers = [*range(2000), 12_345, 100_000, 100_001, 999_999, 1_000_000, 20_000_017, 987_654_321]
    for number in numbers:
        words = in_words(number)
        assert read_number_words(words) == (number, len(words)), words
        assert read_number_words(f"{words.title()} apples") == (number, len(words)), words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a hundred", 100),
        ("a dozen", 12),
        ("three dozen eggs", 36),
        ("nineteen hundred", 1900),
        ("first", 1),
        ("the twelfth", 12),
        ("twenty-third", 23),
        ("fortieth", 40),
        ("one second", 1),
        ("two cars", 2),
    ],
)
def test_values(text, value):
    found = read_number_words(text)
    assert found is not None and found.value == value


@pytest.mark.parametrize(
    "text",
    ["", "apples", "the", "a", "one half", "a fifth", "one fifth", "two thirds", "five and a half"]
    + ["five or six", "five apples or six", "five six", "twenty ten", "one of the boys", "5", "-"]
    + [
        "one more",
        "five percent",
        "five point two",
        "five pairs",
        "one thousand thousand",
        "five^2",
    ]
    + ["five + 1", "five squared", "five minus one", "five to six", "minutes", "someone"],
)
def test_what_is_no_number_or_goes_on_as_another(text):
    assert read_number_words(text) is None
