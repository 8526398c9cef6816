"""Errors with which a run ends on purpose, each with its exit code in `run.py`."""


class InputError(ValueError):
    """The config or the input is wrong; one line says what would be right. Exit code 2."""


class TrainingStopped(RuntimeError):
    """Training cannot continue: updates are not finite, or graders all fail. Exit code 3."""
