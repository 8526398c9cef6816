"""Every other method, one file each: the rule as a pure function, and presets with the published
settings.

A file is found by being here; its `PRESETS` are functions that return keyword arguments
(`methods.arguments`). docs/methods.md says how to add one.
"""

import importlib
import pkgutil
from collections.abc import Callable


def presets() -> dict[str, Callable[[], dict]]:
    """Returns the presets of all files, name -> function.

    Raises:
      ValueError: if two files give the same name.
    """
    found = {}
    for module in pkgutil.iter_modules(__path__):
        for preset in importlib.import_module(f"{__name__}.{module.name}").PRESETS:
            if preset.__name__ in found:
                raise ValueError(f"two methods are called {preset.__name__!r}")
            found[preset.__name__] = preset
    return found
