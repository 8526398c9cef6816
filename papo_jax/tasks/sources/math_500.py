r"""MATH-500: the 500 problems of MATH's test split on which process reward models were compared.

Source: Lightman et al. 2023, arXiv 2305.20050; MIT license; openai/prm800k (math_splits/test.jsonl)
and HuggingFaceH4/MATH-500: problem, solution, answer, subject, level, unique_id. Other copies hold
{"prompt", "answer"}, the prompt ending with the line "Please reason step by step, and put your
final answer within \boxed{}.".
"""

from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example
from papo_jax.tasks.reading.files import read_text, read_text_or_number


def parse_row(fields: Mapping) -> Example:
    """Parses a row of either form; the instruction line is cut off.

    >>> prompt = templates.fill_template(templates.BOXED, "Half of 4?")
    >>> parse_row({"prompt": prompt, "answer": "2"})
    Example(question='Half of 4?', answer='2', grader='math')

    Raises:
      ValueError: if a field is missing.
    """
    prompt = read_text(fields, "problem", "prompt").rstrip()
    question = templates.remove_template(templates.BOXED, prompt)
    return Example(question.strip(), read_text_or_number(fields, "answer").strip(), "math")


DATASET = Dataset("math_500", templates.BOXED, parse_row, evaluation_only=True)
