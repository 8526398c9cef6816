"""The two ways a run ends on purpose before it is done, each with its exit code in `run.py`."""


class InputError(ValueError):
    """The config or the input is wrong: one line says what, and what would be right. Exit code
    2."""


class TrainingStopped(RuntimeError):
    """Training cannot go on: non-finite updates in a row, or graders that all fail. Exit code 3."""
