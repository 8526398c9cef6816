"""Deadlines of answers and of batches: a worker process that misses one is killed here.

An answer's clock starts when a process that is ready for it receives it, a batch's with the first
of its answers. `process.WorkerProcess.kill` says how a process is killed.
"""

import time

from papo_jax.grading.workers.process import WorkerProcess
from papo_jax.grading.workers.worker_set import WorkerSet


class Deadlines:
    """Clocks of one batch."""

    def __init__(self, *, answer_seconds: float, batch_seconds: float | None):
        """Takes the seconds of an answer and of the whole batch; None for no bound on the batch."""
        self.answer_seconds = answer_seconds
        self._batch_seconds = batch_seconds
        self._batch_end: float | None = None  # of the monotonic clock, once the batch has begun

    def start_batch(self) -> None:
        """Starts the clock of the batch, unless it runs already."""
        if self._batch_end is None and self._batch_seconds is not None:
            self._batch_end = time.monotonic() + self._batch_seconds

    def seconds_left(self, processes: list[WorkerProcess]) -> float:
        """Returns the seconds until the next deadline of busy processes or of the batch."""
        ends = [process.due for process in processes]
        if self._batch_end is not None:
            ends.append(self._batch_end)
        return max(0.0, min(ends, default=0.0) - time.monotonic())

    def is_batch_over(self, now: float) -> bool:
        """Returns True if the batch's deadline has passed."""
        return self._batch_end is not None and now >= self._batch_end

    def kill_overdue(self, workers: WorkerSet, now: float) -> list[WorkerProcess]:
        """Kills and replaces every process that has missed a deadline, its own or the batch's.

        At the end of the batch a process that still warms up is spared, for the next batch.

        Args:
          workers: of the pool.
          now: seconds of the monotonic clock.

        Returns:
          The processes that were killed.
        """
        if self.is_batch_over(now):
            overdue = [process for process in workers.processes if process.is_judging]
        else:
            overdue = [
                process
                for process in workers.processes
                if not process.is_idle and now >= process.due
            ]
        for process in overdue:
            workers.replace(process)
        return overdue
