"""Signals that ask a run to stop."""

import signal


class Interruption:
    """A context in which SIGTERM and the first SIGINT ask for a stop after the current step."""

    def __enter__(self) -> "Interruption":
        self.requested = False
        self._before = {
            number: signal.signal(number, self._request_stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request_stop(self, number: int, frame: object) -> None:
        self.requested = True
        signal.signal(
            signal.SIGINT, self._before[signal.SIGINT]
        )  # a second Ctrl-C ends the run at once
