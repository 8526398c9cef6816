"""Grader "exact": the answer is the reference text itself, such as a word, a grid or moves."""

from papo_jax.grading import final_answer
from papo_jax.grading.judgment import ERROR, MAX_ANSWER_CHARACTERS, RIGHT, WRONG, Judgment
from papo_jax.grading.wording.choices import are_equal_choices
from papo_jax.grading.wording.latex_decoration import unwrap_decoration


def judge_exact(reference: str, completion: str) -> Judgment:
    r"""Compares the whole completion, or else the answer that it marks, with the reference.

    Args:
      reference: the right answer; white space at its ends does not matter. A capital letter is
        met by that letter with the text of its option too: "E: twelve".
      completion: text of the policy, already truncated by `final_answer.truncate_to_tail`.

    Returns:
      A `Judgment`; an error where the reference is too long, or empty: an empty answer must never
      be right.

    >>> completions = ("1 2\n3 4\n", "<answer>\n1 2\n3 4\n</answer>", "3 4")
    >>> [judge_exact("1 2\n3 4", completion).verdict for completion in completions]
    ['right', 'right', 'wrong']
    """
    reference, whole = reference.strip(), completion.strip()
    marked = final_answer.find_marked_answer(completion)
    answer = whole if marked is None or whole == reference else marked.strip()
    logged = answer[:MAX_ANSWER_CHARACTERS] or None

    if not reference or len(reference) > final_answer.TAIL_CHARACTERS:
        return Judgment(ERROR, logged, f"a reference answer of {len(reference)} characters")
    plain = unwrap_decoration(answer)
    phrased = final_answer.find_phrased_answer(plain) or plain  # "The answer is" inside a box
    written = (answer, *map(final_answer.strip_decoration, (answer, plain, phrased)))
    is_same = reference in written or any(are_equal_choices(reference, text) for text in written)
    return Judgment(RIGHT if is_same else WRONG, logged)
