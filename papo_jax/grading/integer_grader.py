r"""Grader "integer": the final integer of a completion, compared by its digits.

>>> judge_integer("1080", "so 3*360 = $1,080.00")
Judgment(verdict='right', answer='1080', reason='')
>>> judge_integer("12", r"first \boxed{7}, no: \boxed{12}").verdict
'right'
>>> judge_integer("42", "41 or 42").verdict
'wrong'
"""

from papo_jax.grading.integer_extraction import extract_integer
from papo_jax.grading.judgment import ERROR, RIGHT, WRONG, Judgment
from papo_jax.grading.wording.numerals import canonical_integer


def judge_integer(reference: str, completion: str) -> Judgment:
    """Compares the final integer of a completion with the reference answer.

    Args:
      reference: the right answer, such as "1,080".
      completion: text of the policy, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      A `Judgment`; an error where the reference is no integer.
    """
    answer, expected = extract_integer(completion), canonical_integer(reference)
    if expected is None:
        return Judgment(ERROR, answer, f"the reference answer {reference[:40]!r} is no integer")
    return Judgment(RIGHT if answer == expected else WRONG, answer)
