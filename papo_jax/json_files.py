"""Readers of JSON files that the user may have written or changed."""

import json
import math
import pathlib
from typing import Any

from papo_jax.errors import InputError

_DEEPEST = 100  # levels; what walks through a document may call itself once a level


def read_object(path: pathlib.Path, *, missing: str) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Args:
      path: the file.
      missing: the message for a file that does not exist.

    Returns:
      The object.

    Raises:
      InputError: if it is missing, cannot be read, is not valid JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=make_object)
    except FileNotFoundError:
        raise InputError(missing) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON and cannot be read ({error}); fetch or write it again"
        ) from None
    if _is_nested_deeper(value, _DEEPEST):
        raise InputError(f"{path} is nested too deep to be read; fetch or write it again")
    if not isinstance(value, dict):
        raise InputError(
            f"{path} must hold a JSON object, not a {type(value).__name__}; fetch or write it again"
        )
    return value


def _is_nested_deeper(value: Any, levels: int) -> bool:
    """Tells whether lists and dictionaries are inside each other more often than `levels`."""
    inside = [value]
    for _ in range(levels + 1):
        containers = [item for item in inside if isinstance(item, (dict, list))]
        if not containers:
            return False
        inside = [
            item
            for container in containers
            for item in (container.values() if isinstance(container, dict) else container)
        ]
    return True


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes the dictionary of a JSON object: an `object_pairs_hook` of `json.loads`.

    Raises:
      ValueError: if a key comes twice, of which JSON's own reader silently takes the last.

    >>> json.loads('{"a": 1, "b": {}}', object_pairs_hook=make_object)
    {'a': 1, 'b': {}}
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} comes twice; remove one of the two")
    return made


def look_up(document: Any, *names: str) -> Any:
    """Follows names into nested dictionaries; None where a name is missing.

    >>> look_up({"model": {"path": "tiny"}}, "model", "path")
    'tiny'
    """
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def finite_number(value: object) -> float | None:
    """Returns a finite number as a float, and None for anything else."""
    if not isinstance(value, (int, float)) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        return None
    return float(value) if abs(value) < 1e300 else None  # an integer of JSON may exceed any float


def whole_number(value: object, *, least: int = 0, most: float = math.inf) -> int | None:
    """Returns a whole number between two bounds, and None for anything else.

    >>> whole_number(3), whole_number(True), whole_number(3.0), whole_number(-1)
    (3, None, None, None)
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        return None
    return value
