"""Discovery of the methods that have a file of their own, a folder for each family.

A method's file holds its rule as a pure function and `PRESETS`, functions that return keyword
arguments (`methods.arguments`). docs/methods.md says how to add one.
"""

import importlib
import pkgutil
from collections.abc import Callable

from papo_jax.methods import (
    ablations,
    entropy_terms,
    policy_gradients,
    token_selection,
    token_weights,
)

FAMILIES = (policy_gradients, entropy_terms, token_selection, token_weights, ablations)


def find_presets() -> dict[str, Callable[[], dict]]:
    """Returns the presets of all files, name -> function.

    Raises:
      ValueError: if two files give the same name.
    """
    found = {}
    for family in FAMILIES:
        for module in pkgutil.iter_modules(family.__path__):
            for preset in importlib.import_module(f"{family.__name__}.{module.name}").PRESETS:
                if preset.__name__ in found:
                    raise ValueError(f"two methods are called {preset.__name__!r}")
                found[preset.__name__] = preset
    return found
