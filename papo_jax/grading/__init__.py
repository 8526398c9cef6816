"""Verdicts on what the policy wrote: right, wrong or error."""

from papo_jax.grading.graders import extract_integer, grade, self_test

__all__ = ["extract_integer", "grade", "self_test"]
