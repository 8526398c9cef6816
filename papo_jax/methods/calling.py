"""How a method's functions get their arguments: each names what it needs, and is given that and
nothing else."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def named(function: Callable) -> list[str]:
    """Returns the names of a function's keyword-only arguments.

    >>> def objective(logprob, *, clip_low=0.2, entropy): ...
    >>> named(objective)
    ['clip_low', 'entropy']
    """
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def keywords(function: Callable, *sources: Mapping[str, Any]) -> dict[str, Any]:
    """Picks the keyword-only arguments of a function out of several mappings.

    Args:
      function: whose signature says what it needs.
      *sources: name -> value; the first that has a name decides.

    Returns:
      name -> value for every keyword-only argument that some source has.

    >>> def objective(logprob, *, clip_low=0.2, entropy): ...
    >>> keywords(
    ...     objective, {"entropy": 1.0, "draws": 2.0}, {"clip_low": 0.3, "lam": 0.1}
    ... )
    {'clip_low': 0.3, 'entropy': 1.0}
    """
    found = {}
    for name in named(function):
        holder = next((source for source in sources if name in source), None)
        if holder is not None:
            found[name] = holder[name]
    return found
