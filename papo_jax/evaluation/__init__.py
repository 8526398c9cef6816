"""Evaluation on a fixed set of problems: estimators with intervals, the evaluator and its file.

The names load on first use, so that reading a file of figures does not import JAX.

>>> import papo_jax.evaluation
>>> papo_jax.evaluation.pass_at_k(2, 1, 1)
0.5
"""

import importlib

_HOMES = {
    "EvaluationFile": "evaluation_file",
    "Evaluator": "evaluator",
    "Interval": "figures",
    "bootstrap_interval": "bootstrap",
    "judge_completions": "judging",
    "maj_at_k": "estimators",
    "paired_difference": "estimators",
    "parse_evaluation": "parsing",
    "pass_at_k": "estimators",
    "score_judgments": "estimators",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'papo_jax.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"papo_jax.evaluation.{_HOMES[name]}"), name)


def __dir__():
    return sorted(_HOMES)
