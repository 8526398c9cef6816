"""Errors with which a run ends on purpose, each with its exit code in `run.py`.

Their messages quote names, paths and values out of files; they are made printable here, once for
all.
"""

from papo_jax.printable import printable_text


class InputError(ValueError):
    """The config or the input is wrong; one line says what would be right. Exit code 2.

    >>> str(InputError("field 'a\\x1b]0;b\\a' is unknown"))
    "field 'a?]0;b?' is unknown"
    """

    def __init__(self, message: object):
        """Takes the line; control characters in it become question marks."""
        super().__init__(printable_text(message, longest=None))


class TrainingStopped(RuntimeError):
    """Training cannot continue, or changed nothing: updates are not finite, graders all fail.

    Exit code 3.
    """

    def __init__(self, message: object):
        """Takes the line; control characters in it become question marks."""
        super().__init__(printable_text(message, longest=None))
