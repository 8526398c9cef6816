"""MATH, competition problems of seven subjects and five levels, with answers in LaTeX.

Source: Hendrycks et al. 2021, arXiv 2103.03874; MIT license. The authors' archive holds
train/SUBJECT/N.json and test/SUBJECT/N.json with the fields problem, level, type and solution,
whose last box is the gold; republications (EleutherAI/hendrycks_math, qwedsacf/competition_math and
others) hold the same fields as parquet or JSON lines.
"""

from collections.abc import Mapping

from papo_jax.tasks import templates
from papo_jax.tasks.family import Example, Family
from papo_jax.tasks.files import text
from papo_jax.tasks.sources.boxed_latex import last_boxed


def parse(fields: Mapping) -> Example:
    r"""Reads a row; the gold is in the last box of its solution.

    >>> parse({"problem": "Half of 5?", "solution": r"$5/2 = \boxed{\frac52}$"}).answer
    '\\frac52'

    Raises:
      ValueError: if a field is missing, or the solution has no box.
    """
    return Example(text(fields, "problem").strip(), last_boxed(text(fields, "solution")), "math")


FAMILY = Family("math", templates.BOXED, parse)
