r"""MATH-500, the 500 problems of MATH's test split on which process reward models were compared.

Source: Lightman et al. 2023, arXiv 2305.20050; MIT license; openai/prm800k (math_splits/test.jsonl)
and HuggingFaceH4/MATH-500: problem, solution, answer, subject, level, unique_id. Other copies hold
{"prompt", "answer"}, the prompt ending with the line "Please reason step by step, and put your
final answer within \boxed{}.".
"""

from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.family import Example, Family
from papo_jax.tasks.files import scalar, text


def parse(fields: Mapping) -> Example:
    r"""Reads a row of either form; the instruction line is cut off.

    >>> parse(
    ...     {
    ...         "prompt": "Half of 4?\nPlease reason step by step, and put your final answer within \\boxed{}.",
    ...         "answer": "2",
    ...     }
    ... )
    Example(question='Half of 4?', answer='2', grader='math')

    Raises:
      ValueError: if a field is missing.
    """
    question = templates.without(templates.BOXED, text(fields, "problem", "prompt").rstrip())
    return Example(question.strip(), scalar(fields, "answer").strip(), "math")


FAMILY = Family("math_500", templates.BOXED, parse, evaluation_only=True)
