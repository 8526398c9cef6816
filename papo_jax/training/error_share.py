"""Watch over the share of a step's answers that could not be judged: a warning, then a stop."""

from papo_jax.errors import TrainingStopped

_WARNING_PART = 0.1  # of the bound, from which on there is a warning
_WARNING_GROWTH = 2.0  # of the share since the last warning, for the next one


class ErrorShareWatch:
    """Compares every step's share of unjudged answers with `grading.max_errors`."""

    def __init__(self, bound: float):
        """Takes the share of a step's answers above which a run stops, from 0 to 1."""
        self._bound = bound
        self._warning_above = bound * _WARNING_PART

    def check_step(self, step: int, share: float, failures: list[dict]) -> str | None:
        """Checks one step.

        Args:
          step: its number.
          share: of its answers that could not be judged.
          failures: some of those, as they go to grader_errors.jsonl.

        Returns:
          A warning in one line, or None; the next one comes when the share has doubled.

        Raises:
          TrainingStopped: if the share is above the bound.

        >>> watch = ErrorShareWatch(0.5)
        >>> [watch.check_step(3, share, [{"reason": "timeout"}]) for share in (0.0, 0.05)]
        [None, None]
        >>> print(watch.check_step(4, 0.06, [{"reason": "timeout"}]))  # doctest: +ELLIPSIS
        step 4: 6.0 % of the answers could not be judged (the first: timeout); a run stops above ...
        """
        reason = failures[0]["reason"] if failures else "unknown"
        found = f"step {step}: {share:.1%} of the answers could not be judged (the first: {reason})"
        found = found.replace("%", " %", 1)
        if share > self._bound:
            raise TrainingStopped(
                f"{found}, more than grading.max_errors = {self._bound:g}; some are in"
                " grader_errors.jsonl, and the checkpoint before is untouched"
            )
        if share <= self._warning_above:
            return None
        self._warning_above = max(share, self._warning_above) * _WARNING_GROWTH
        return f"{found}; a run stops above grading.max_errors = {self._bound:g}"
