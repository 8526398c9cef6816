"""Paths of the command line and the settings, which are all local so far.

`pathlib` reads gs://bucket/run as the folder `gs:` of the current directory, so an object store's
address must be refused as text.
"""

import pathlib
import re

from papo_jax.errors import InputError

_PATH_FLAGS = ("workdir", "output")


def check_local(name: str, text: str | None) -> None:
    """Raises `InputError` if a path is an address of another machine.

    >>> check_local("--workdir", "runs/a:b")
    >>> check_local("--workdir", "gs://bucket/run")
    Traceback (most recent call last):
    papo_jax.errors.InputError: --workdir gs://bucket/run is an address; it must be a local path
    """
    if text is not None and "://" in text:
        raise InputError(f"{name} {text} is an address; it must be a local path")


def parse_path(name: str, text: str) -> pathlib.Path:
    """Returns a flag's path, with ~ as the home directory, which no shell puts behind a "=".

    Raises:
      InputError: if the text is empty, which would be the current directory, or there is no such
        home.

    >>> parse_path("--workdir", "runs/a")
    PosixPath('runs/a')
    >>> parse_path("--workdir", "")
    Traceback (most recent call last):
    papo_jax.errors.InputError: --workdir is empty; name a directory
    """
    if not text.strip():
        raise InputError(f"{name} is empty; name a directory")
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{name} {text} begins with a home directory that is not known") from None


def check_flags(arguments: list[str]) -> None:
    """Raises `InputError` if --workdir, --output or the file of --config is an address.

    Args:
      arguments: as in `sys.argv`, the program's name first.
    """
    given = arguments[1:]
    for argument, following in zip(given, [*given[1:], ""], strict=False):
        name, separator, text = argument.lstrip("-").partition("=")
        text = text if separator else following
        # Behind the colon of --config=FILE:VARIANT an address may be a setting's text.
        if name in _PATH_FLAGS or (name == "config" and re.match(r"[^/:]+://", text)):
            check_local(f"--{name}", text)
