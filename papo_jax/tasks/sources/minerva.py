r"""Minerva's OCWCourses: 272 problems of undergraduate science courses, often answered by a number.

Source: Lewkowycz et al. 2022, arXiv 2206.14858; problems of MIT OpenCourseWare (CC BY-NC-SA 4.0).
Published as {"problem", "solution", "type", "idx"} with the reference answer in the last box
(Qwen2.5-Math's minerva_math/test.jsonl) and as {"question", "answer"} (math-ai/minervamath).
"""

import re
from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example
from papo_jax.tasks.reading.files import read_text, read_text_or_number
from papo_jax.tasks.sources.boxed_latex import last_boxed_answer, strip_dollar_signs

_MEASURED = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")


def parse_row(fields: Mapping) -> Example:
    r"""Parses a row of either form.

    A reference answer that is a decimal or scientific number was measured or rounded: 1 % either
    way is right.

    >>> parse_row({"problem": "Mass?", "solution": r"\boxed{4e33}"})
    Example(question='Mass?', answer='4e33', grader='approximate')
    >>> parse_row({"question": "Slope?", "answer": "-1"})
    Example(question='Slope?', answer='-1', grader='math')

    Raises:
      ValueError: if a field is missing, or the solution has no box.
    """
    question = read_text(fields, "problem", "question").strip()
    if fields.get("answer") is not None:
        reference = read_text_or_number(fields, "answer")
    else:
        reference = last_boxed_answer(read_text(fields, "solution"))
    answer = strip_dollar_signs(reference)
    return Example(question, answer, "approximate" if _MEASURED.fullmatch(answer) else "math")


DATASET = Dataset("minerva", templates.BOXED, parse_row, evaluation_only=True)
