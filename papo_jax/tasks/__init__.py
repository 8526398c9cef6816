"""Tasks: problems with checkable answers, generated or read from files.

The names load on first use, so that a worker process which only grades imports none of it.

>>> import papo_jax.tasks
>>> papo_jax.tasks.Problem(0, "1+1=", "2").answer
'2'
"""

import importlib

_MODULES = {
    "Part": "task",
    "Problem": "problem",
    "Task": "task",
    "choose_eval_set": "task",
    "load": "loading",
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'papo_jax.tasks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"papo_jax.tasks.{_MODULES[name]}"), name)


def __dir__():
    return sorted(_MODULES)
