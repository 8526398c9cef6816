r"""Minerva's OCWCourses: 272 problems of undergraduate science courses, many with numbers as
answers.

Source: Lewkowycz et al. 2022, arXiv 2206.14858; problems of MIT OpenCourseWare (CC BY-NC-SA 4.0).
Published as {"problem", "solution", "type", "idx"} with the gold in the last box (Qwen2.5-Math's
minerva_math/test.jsonl) and as {"question", "answer"} (math-ai/minervamath).
"""

import re
from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.family import Example, Family
from papo_jax.tasks.files import scalar, text
from papo_jax.tasks.sources.boxed_latex import bare, last_boxed

_MEASURED = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")


def parse(fields: Mapping) -> Example:
    r"""Reads a row. A gold that is a decimal or scientific number was measured or rounded: 1 %
    either way is right.

    >>> (
    ...     parse({"problem": "Mass?", "solution": r"\boxed{4e33}"}),
    ...     parse({"question": "Slope?", "answer": "-1"}),
    ... )
    (Example(question='Mass?', answer='4e33', grader='approximate'), Example(question='Slope?',
    answer='-1', grader='math'))

    Raises:
      ValueError: if a field is missing, or the solution has no box.
    """
    question = text(fields, "problem", "question").strip()
    gold = bare(
        scalar(fields, "answer")
        if fields.get("answer") is not None
        else last_boxed(text(fields, "solution"))
    )
    return Example(question, gold, "approximate" if _MEASURED.fullmatch(gold) else "math")


FAMILY = Family("minerva", templates.BOXED, parse, evaluation_only=True)
