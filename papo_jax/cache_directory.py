"""The directory of prepared files that are kept between runs."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Returns `$XDG_CACHE_HOME/papo_jax`, or `~/.cache/papo_jax` without that variable.

    >>> cache_directory().name
    'papo_jax'
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification asks programs to ignore a relative path here.
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "papo_jax"
