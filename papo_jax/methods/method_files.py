"""Discovery of the methods that have a file of their own, a folder for each family.

A method's file holds its rule as a pure function and `PRESETS`, functions that return a `Method`.
docs/methods.md says how to add one.
"""

import importlib
import pkgutil
from collections.abc import Callable

from papo_jax.errors import InputError
from papo_jax.methods import (
    ablations,
    entropy_terms,
    policy_gradients,
    token_selection,
    token_weights,
)
from papo_jax.methods.method import Method

FAMILIES = (policy_gradients, entropy_terms, token_selection, token_weights, ablations)


def find_presets() -> dict[str, Callable[[], Method]]:
    """Returns the presets of all files, name -> function.

    Raises:
      InputError: if two files give the same name, or a file's method cannot be made.
    """
    found = {}
    for family in FAMILIES:
        for module in pkgutil.iter_modules(family.__path__):
            for name, preset in _load_presets(f"{family.__name__}.{module.name}").items():
                if name in found:
                    raise InputError(f"two methods are called {name!r}")
                found[name] = preset
    return found


def _load_presets(module_name: str) -> dict[str, Callable[[], Method]]:
    """Imports a method's file and makes each of its methods once, so that faults show now."""
    try:
        presets = {
            preset.__name__: preset for preset in importlib.import_module(module_name).PRESETS
        }
        for name, preset in presets.items():
            if not isinstance(preset(), Method):
                raise TypeError(f"{name}() returns no Method")
    except Exception as error:  # whatever a file that a user wrote may raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the method file {module_name} cannot be used: {reason}") from error
    return presets
