r"""OlympiadBench: open-ended, text-only problems of mathematical olympiads.

Source: He et al. 2024, arXiv 2402.14008; Apache 2.0; OpenBMB/OlympiadBench (JSON),
Hothan/OlympiadBench (parquet). The subset is OE_TO_maths_en_COMP, 674 problems.
The fields that are read: question, context (stands before the question), final_answer (a list, each
between dollar signs), is_multiple_answer, error (an absolute tolerance) and image_1 to image_9.

The authors' own absolute tolerance is not the 1 % of the grader "approximate", so such rows are
left out. The unit is no part of the reference answer, as in the authors' judge.
"""

from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example, SkippedRow
from papo_jax.tasks.reading.files import read_text
from papo_jax.tasks.sources.boxed_latex import strip_dollar_signs


def parse_row(fields: Mapping) -> Example | SkippedRow:
    r"""Parses a row; several answers become one list.

    >>> fields = {"question": "Roots?", "final_answer": ["$-1$", "$1$"]}
    >>> parse_row({**fields, "is_multiple_answer": True, "error": None})
    Example(question='Roots?', answer='-1, 1', grader='math')

    Raises:
      ValueError: if a field is missing or does not fit the others.
    """
    question = read_text(fields, "question").strip()
    if fields.get("context") is not None:
        question = f"{read_text(fields, 'context').strip()}\n{question}"

    # Skip what no grader here can judge.
    if any(fields.get(f"image_{number}") is not None for number in range(1, 10)):
        return SkippedRow("they need their image")
    if fields.get("error"):
        return SkippedRow("their answer has a tolerance of its own, which no grader here knows")

    # Join the answers.
    references = fields.get("final_answer")
    if not isinstance(references, list) or not references:
        raise ValueError(
            "the field 'final_answer' should be a list of texts; problems to prove have none"
        )
    answers = [
        strip_dollar_signs(read_text({"final_answer": reference}, "final_answer"))
        for reference in references
    ]
    if len(answers) > 1 and not fields.get("is_multiple_answer"):
        raise ValueError(
            "the field 'final_answer' has several texts, but 'is_multiple_answer' is not true"
        )
    return Example(question, ", ".join(answers), "math")


DATASET = Dataset("olympiadbench", templates.BOXED, parse_row, evaluation_only=True)
