r"""Grader "math": numbers, formulas, sets, intervals, matrices and words, in LaTeX or not.

Equal texts are right at once. Else both answers are parsed (`answer_parser`) and matched part by
part (`equivalence`); single values are compared by `value_equality`: numbers exactly, formulas by
math-verify, the reference first.

>>> judge_math(r"\frac{14}{3}", r"so $x = \boxed{\dfrac{14}{3}}$.")
Judgment(verdict='right', answer='14/3', reason='')
>>> judge_math("42", r"\boxed{41 \text{ or } 42}").verdict
'wrong'
>>> judge_math("42", "Answer: 41, no 42").verdict
'wrong'
"""

from papo_jax.grading.final_answer import TAIL_CHARACTERS, find_boxed_answer
from papo_jax.grading.judgment import ERROR, MAX_ANSWER_CHARACTERS, RIGHT, WRONG, Judgment
from papo_jax.grading.math_answers.answer_extraction import DENIAL, extract_math_answer
from papo_jax.grading.math_answers.answer_parser import parse_answer
from papo_jax.grading.math_answers.canonical_value import write_canonical_value
from papo_jax.grading.math_answers.equivalence import are_equivalent
from papo_jax.grading.math_answers.formula_parser import UnreadableFormula
from papo_jax.grading.math_answers.latex.canonical_latex import MAX_CHARACTERS, canonicalize_latex
from papo_jax.grading.math_answers.latex.digit_groups import join_indian_groups
from papo_jax.grading.math_answers.rationals import parse_rational
from papo_jax.grading.math_answers.relations.real_sets import is_empty_set, parse_real_set
from papo_jax.grading.math_answers.value_equality import are_equal_values
from papo_jax.grading.wording.choices import read_choice


def judge_math(reference: str, completion: str) -> Judgment:
    r"""Compares the final answer of a completion with the reference answer.

    Args:
      reference: the right answer in LaTeX, with or without \boxed or dollar signs.
      completion: text of the policy, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      A `Judgment`; an error where the reference is empty, or where it is a formula that cannot be
      compared and the answer is not the same text.
    """
    boxed = find_boxed_answer(reference)
    expected = canonicalize_latex(reference if boxed is None else boxed)
    written = extract_math_answer(completion) or ""
    answer = _read_as_meant(canonicalize_latex(written), written, expected)
    logged = _logged_answer(answer)
    if not expected or len(reference) > TAIL_CHARACTERS:
        return Judgment(ERROR, logged, f"a reference answer of {len(reference)} characters")

    # What the text alone decides.
    if answer == expected:
        return Judgment(RIGHT, logged)
    if not answer or len(answer) > MAX_CHARACTERS:
        return Judgment(WRONG, logged)
    if DENIAL.search(answer) and not (DENIAL.search(expected) or is_empty_set(answer)):
        return Judgment(WRONG, logged)

    try:
        is_right = are_equivalent(parse_answer(expected), parse_answer(answer), are_equal_values)
    except UnreadableFormula as error:
        return Judgment(ERROR, logged, f"the reference answer: {error}")
    return Judgment(RIGHT if is_right else WRONG, logged)


def _read_as_meant(answer: str, written: str, expected: str) -> str:
    """Reads what could mean two things as what the kind of the reference says that it is.

    Such are 12,50,000, which is a list or a number; the text behind the letter of a choice; R.
    """
    if parse_rational(expected) is not None:
        return join_indian_groups(answer)
    letter = expected.strip("()")
    if len(letter) == 1 and letter.isupper():
        found = read_choice(written[:MAX_CHARACTERS])
        return answer if found is None else expected.replace(letter, found)
    is_real_line = answer in ("R", r"x\inR") and parse_real_set(expected)
    return r"\mathbb{R}" if is_real_line else answer


def _logged_answer(answer: str) -> str | None:
    """Returns the form in which an answer is logged and takes part in majority votes."""
    if len(answer) <= MAX_CHARACTERS:
        answer = write_canonical_value(answer)
    return answer[:MAX_ANSWER_CHARACTERS] or None
