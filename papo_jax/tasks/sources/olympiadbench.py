r"""OlympiadBench, olympiad problems; its open-ended text-only mathematics (OE_TO_maths_en_COMP, 674
problems).

Source: He et al. 2024, arXiv 2402.14008; Apache 2.0; OpenBMB/OlympiadBench (JSON),
Hothan/OlympiadBench (parquet).
Fields that are read: question, context (stands before the question), final_answer (a list, each
between dollar signs), is_multiple_answer, error (an absolute tolerance) and image_1 to image_9.

A tolerance of the authors' own is no 1 %, so no grader of ours says the same as theirs: such rows
are left out. The unit is no part of the gold, as in the authors' judge.
"""

from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.family import Example, Family, LeftOut
from papo_jax.tasks.files import text
from papo_jax.tasks.sources.boxed_latex import bare


def parse(fields: Mapping) -> Example | LeftOut:
    r"""Reads a row; several answers become one list.

    >>> parse(
    ...     {
    ...         "question": "Roots?",
    ...         "final_answer": ["$-1$", "$1$"],
    ...         "is_multiple_answer": True,
    ...         "error": None,
    ...     }
    ... )
    Example(question='Roots?', answer='-1, 1', grader='math')

    Raises:
      ValueError: if a field is missing or does not fit the others.
    """
    question = text(fields, "question").strip()
    if fields.get("context") is not None:
        question = f"{text(fields, 'context').strip()}\n{question}"
    if any(fields.get(f"image_{number}") is not None for number in range(1, 10)):
        return LeftOut("they need their image")
    if fields.get("error"):
        return LeftOut("their answer has a tolerance of its own, which no grader here knows")
    golds = fields.get("final_answer")
    if not isinstance(golds, list) or not golds:
        raise ValueError(
            "the field 'final_answer' should be a list of texts; problems to prove have none"
        )
    answers = [bare(text({"final_answer": gold}, "final_answer")) for gold in golds]
    if len(answers) > 1 and not fields.get("is_multiple_answer"):
        raise ValueError(
            "the field 'final_answer' has several texts, but 'is_multiple_answer' is not true"
        )
    return Example(question, ", ".join(answers), "math")


FAMILY = Family("olympiadbench", templates.BOXED, parse, evaluation_only=True)
