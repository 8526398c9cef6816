"""Interruption of a computation in Python that takes too long, so that its process can go on.

A process that is killed has to be started and made ready again, which for formulas takes a second
or two. An exception out of a timer's signal costs nothing. What no exception reaches, such as one
long operation on huge integers, is left to the pool, which kills the process.
"""

import signal
from collections.abc import Callable
from typing import Any

_REPEAT_SECONDS = 0.05  # should a library swallow the exception, the next one follows


class Interrupted(BaseException):
    """Raised in a computation whose time is up; no `except Exception` stops it."""


class Interrupter:
    """Timer of this process, whose main thread it interrupts."""

    def __init__(self):
        """Takes the alarm signal over."""
        self._is_armed = False
        signal.signal(signal.SIGALRM, self._interrupt)

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        """Returns what a function returns.

        Args:
          function: called in the main thread.
          *arguments: of the function.
          seconds: of the clock that it may take.

        Raises:
          Interrupted: if it takes longer.
        """
        try:
            self._is_armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_SECONDS)
            return function(*arguments)
        finally:
            self._is_armed = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _interrupt(self, number: int, frame: object) -> None:
        del number, frame
        if self._is_armed:
            raise Interrupted
