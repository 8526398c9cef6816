"""Verdicts on what the policy wrote: right, wrong or error.

The names load on first use, so that a process which imports this package pays only for what it
calls.

>>> import papo_jax.grading
>>> papo_jax.grading.grade("integer", "12", "3 * 4 = 12")
'right'
"""

import importlib

_HOMES = {
    "GRADERS": "graders",
    "Judgment": "judgment",
    "Pool": "workers.pool",
    "extract_integer": "integers",
    "grade": "graders",
    "judge": "graders",
    "versions": "graders",
}


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'papo_jax.grading' has no attribute {name!r}")
    return getattr(importlib.import_module(f"papo_jax.grading.{_HOMES[name]}"), name)


def __dir__():
    return sorted(_HOMES)
