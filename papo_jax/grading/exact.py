"""The grader "exact": the answer is the gold text itself, such as a word, a grid or a sequence of
moves."""

from papo_jax.grading import final_answer
from papo_jax.grading.judgment import ERROR, KEPT, RIGHT, WRONG, Judgment


def judge(gold: str, text: str) -> Judgment:
    r"""Compares the whole text, or else the final answer that it marks, with the gold answer.

    Args:
      gold: the right answer; white space at its ends does not matter.
      text: what the policy wrote, already `final_answer.cut`.

    Returns:
      A `Judgment`; an error where the gold is empty, for an empty answer must not be right, or too
      long.

    >>> [
    ...     judge("1 2\n3 4", text).verdict
    ...     for text in ("1 2\n3 4\n", "<answer>\n1 2\n3 4\n</answer>", "3 4")
    ... ]
    ['right', 'right', 'wrong']
    """
    gold, whole = gold.strip(), text.strip()
    marked = final_answer.marked(text)
    answer = whole if marked is None or whole == gold else marked.strip()
    kept = answer[:KEPT] or None
    if not gold or len(gold) > final_answer.TAIL:
        return Judgment(ERROR, kept, f"a gold answer of {len(gold)} characters")
    return Judgment(RIGHT if gold in (answer, final_answer.plain(answer)) else WRONG, kept)
