"""Verdicts of the grader "math" on answers in a box."""

from papo_jax.grading import judge


def judge_boxed(reference: str, answer: str) -> str:
    """Returns the verdict on an answer that a sentence has in a box."""
    return judge("math", reference, rf"so it is $\boxed{{{answer}}}$.").verdict
