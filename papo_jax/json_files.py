"""JSON files that somebody else wrote, or may have changed: read, or refused in one line."""

import json
import pathlib
from typing import Any

from papo_jax.errors import InputError


def read_object(path: pathlib.Path, *, missing: str) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Args:
      path: the file.
      missing: what to say where it does not exist.

    Returns:
      The object.

    Raises:
      InputError: if it is missing, cannot be read, is not valid JSON, or holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(missing) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON and cannot be read ({error}); fetch or write it again"
        ) from None
    if not isinstance(value, dict):
        raise InputError(
            f"{path} must hold a JSON object, not a {type(value).__name__}; fetch or write it again"
        )
    return value
