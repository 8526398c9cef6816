"""Reinforcement fine-tuning of language models, with the entropy polarity of every token.

The modules load on first use (`papo_jax.polarity`, `papo_jax.models`, ...), so that a worker
process which only grades never pays for JAX.
"""

import importlib

_MODULES = frozenset(
    """commands config errors evaluation grading inspection learner mesh_rules methods models
    polarity report rollout tasks telemetry training""".split()
)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'papo_jax' has no attribute {name!r}")
    return importlib.import_module(f"papo_jax.{name}")


def __dir__():
    return sorted(_MODULES)
