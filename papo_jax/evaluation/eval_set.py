"""Evaluation set: the fixed problems of an evaluation, their fingerprint and description."""

import hashlib
from collections.abc import Sequence

from papo_jax.evaluation.schema import EvalSet
from papo_jax.tasks.problem import Problem


def describe_eval_set(task: str, problems: Sequence[Problem]) -> EvalSet:
    """Describes the problems of an evaluation, of the task of that name."""
    sources = [problem.source for problem in problems]
    return EvalSet(
        task=task,
        problems=len(problems),
        fingerprint=eval_set_fingerprint(problems),
        identifiers=tuple(problem.identifier for problem in problems),
        sources={source: sources.count(source) for source in dict.fromkeys(sources)},
    )


def eval_set_fingerprint(problems: Sequence[Problem]) -> str:
    """Returns the SHA-256 of the problems in order: prompts, references, graders and sources."""
    text = "\n".join(
        f"{p.identifier}\t{p.prompt!r}\t{p.answer!r}\t{p.grader!r}\t{p.source!r}" for p in problems
    )
    return hashlib.sha256(text.encode()).hexdigest()
