"""Graders of completions: right, wrong or error, judged by killable worker processes.

Heavy packages (sympy, math-verify) load when a formula is first compared, and JAX never does.

>>> import papo_jax.grading
>>> papo_jax.grading.grade("integer", "12", "3 * 4 = 12")
'right'
"""

from papo_jax.grading.integer_extraction import extract_integer
from papo_jax.grading.judgment import Judgment
from papo_jax.grading.registry import GRADERS, grade, judge, versions
from papo_jax.grading.workers.pool import Pool

__all__ = ["GRADERS", "Judgment", "Pool", "extract_integer", "grade", "judge", "versions"]
