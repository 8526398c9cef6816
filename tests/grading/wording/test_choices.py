"""Letters of multiple-choice answers."""

import pytest

from papo_jax.grading.wording.choices import are_equal_choices, read_choice


@pytest.mark.parametrize(
    "answer",
    [
        "E",
        "(E)",
        "E)",
        "E.",
        "E:",
        "[E]",
        "**E**",
        "E: twelve",
        "E) twelve",
        "(E) twelve",
        "E. twelve",
    ]
    + [
        "**E**: twelve",
        "**E: twelve**",
        "**(E)** twelve",
        "Option E",
        "option E: twelve",
        "E - twelve",
    ]
    + [
        r"\text{E}",
        r"\textbf{(E)}",
        r"\textbf{(E)}\ 12",
        r"\text{(E) twelve}",
        "$E$",
        "E: vitamin C",
    ]
    + ["E: $12$", r"\mathrm{E}", "Answer: E", "E: 12 or 13", "E: it's A's turn"],
)
def test_a_letter_with_or_without_its_text(answer):
    assert read_choice(answer) == "E"
    assert are_equal_choices("E", answer) and are_equal_choices("(E)", answer)
    assert not are_equal_choices("D", answer) and not are_equal_choices("twelve", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "E or F",
        "E, F",
        "E and F",
        "E: F",
        "E: not F",
        "(E) or (F)",
        "E F",
        "EF",
        "Eleven",
        "e",
        "A dog",
    ]
    + ["not E", "E = 5", "E5", "5", "", "E: D or F", "the letter E", "E/F", "E-F"],
)
def test_other_texts_and_two_letters_are_no_choice(answer):
    assert read_choice(answer) is None
