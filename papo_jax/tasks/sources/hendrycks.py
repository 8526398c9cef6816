"""MATH: competition problems of seven subjects and five levels, with answers in LaTeX.

Source: Hendrycks et al. 2021, arXiv 2103.03874; MIT license. The authors' archive holds
train/SUBJECT/N.json and test/SUBJECT/N.json with the fields problem, level, type and solution,
whose last box is the reference answer; republications (EleutherAI/hendrycks_math,
qwedsacf/competition_math and others) hold the same fields as parquet or JSON lines.
"""

from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.dataset import Dataset, Example
from papo_jax.tasks.reading.files import read_text
from papo_jax.tasks.sources.boxed_latex import last_boxed_answer


def parse_row(fields: Mapping) -> Example:
    r"""Parses a row; the reference answer is in the last box of its solution.

    >>> parse_row({"problem": "Half of 5?", "solution": r"$5/2 = \boxed{\frac52}$"}).answer
    '\\frac52'

    Raises:
      ValueError: if a field is missing, or the solution has no box.
    """
    question = read_text(fields, "problem").strip()
    return Example(question, last_boxed_answer(read_text(fields, "solution")), "math")


DATASET = Dataset("math", templates.BOXED, parse_row)
