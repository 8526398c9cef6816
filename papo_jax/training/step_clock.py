"""Clock of a step: seconds of each of its parts."""

import time


class Clock:
    """Seconds of each part of a step; a part that comes again adds up."""

    def __init__(self):
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Ends a part, which began where the last one ended."""
        now = time.perf_counter()
        self._laps[f"time/{name}"] = self._laps.get(f"time/{name}", 0.0) + now - self._last
        self._last = now

    def metrics(self, *, tokens: int) -> dict[str, float]:
        """Returns the parts, and generated tokens a second over the whole step."""
        return {**self._laps, "tokens_per_second": tokens / (time.perf_counter() - self._start)}
