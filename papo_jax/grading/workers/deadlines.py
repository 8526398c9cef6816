"""Deadlines of answers, passes and batches: a worker process that misses one is killed here.

Answers are judged in passes. The first gives each answer a small part of its deadline and postpones
those that need more, so that no answer waits behind one that hangs; the last gives it all.

An answer's clock starts when a process that is ready for it receives it, a batch's with the first
of its answers. `process.WorkerProcess.kill` says how a process is killed.
"""

import time

from papo_jax.grading.workers.process import WorkerProcess
from papo_jax.grading.workers.worker_set import WorkerSet

_FIRST_PASS = 1 / 50  # of an answer's deadline; an answer takes a few milliseconds
_GROWTH = 4.0  # of a pass over the one before, at least: shorter ones would repeat too much
_GRACE_SECONDS = 0.5  # for a process to postpone an answer itself, before it is killed for it


class Deadlines:
    """Clocks of one batch."""

    def __init__(self, *, answer_seconds: float, batch_seconds: float | None):
        """Takes the seconds of an answer and of the whole batch; None for no bound on the batch."""
        self.answer_seconds = answer_seconds
        self._batch_seconds = batch_seconds
        self._batch_end: float | None = None  # of the monotonic clock, once the batch has begun
        self.pass_seconds = answer_seconds * _FIRST_PASS

    def start_batch(self) -> None:
        """Starts the clock of the batch, unless it runs already."""
        if self._batch_end is None and self._batch_seconds is not None:
            self._batch_end = time.monotonic() + self._batch_seconds

    @property
    def is_last_pass(self) -> bool:
        """True if no answer is postponed any more."""
        return self.pass_seconds >= self.answer_seconds

    def begin_last_pass(self) -> None:
        """Gives every answer all of its time from here on."""
        self.pass_seconds = self.answer_seconds

    def begin_next_pass(self, waiting: int, concurrency: int) -> None:
        """Gives postponed answers more time: what they can all have in half of the batch's rest.

        Where that is not much more than they had before, the first of them get all of theirs.

        Args:
          waiting: the number of answers that were postponed.
          concurrency: how many are judged at the same time.
        """
        share = 0.0
        if self._batch_end is not None:
            left = max(0.0, self._batch_end - time.monotonic())
            share = left * concurrency / (2 * waiting)
        is_worth_it = _GROWTH * self.pass_seconds <= share < self.answer_seconds
        self.pass_seconds = share if is_worth_it else self.answer_seconds

    def seconds_left(self, processes: list[WorkerProcess], *, others_wait: bool) -> float:
        """Returns the seconds until the next deadline of busy processes or of the batch.

        Args:
          processes: the busy ones.
          others_wait: whether requests of this pass wait, so that what is stuck is killed.
        """
        ends = [process.due for process in processes]
        if others_wait and not self.is_last_pass:
            wait = self.pass_seconds + _GRACE_SECONDS - self.answer_seconds
            ends += [process.due + wait for process in processes if process.is_judging]
        if self._batch_end is not None:
            ends.append(self._batch_end)
        return max(0.0, min(ends, default=0.0) - time.monotonic())

    def is_batch_over(self, now: float) -> bool:
        """Returns True if the batch's deadline has passed."""
        return self._batch_end is not None and now >= self._batch_end

    def kill_stuck(self, workers: WorkerSet, now: float) -> list[WorkerProcess]:
        """Kills and replaces every process that should have postponed its answer, but did not.

        Args:
          workers: of the pool.
          now: seconds of the monotonic clock.

        Returns:
          The processes that were killed.
        """
        if self.is_last_pass:
            return []
        started_before = now - self.pass_seconds - _GRACE_SECONDS
        stuck = [
            process
            for process in workers.processes
            if process.is_judging and process.due - self.answer_seconds <= started_before
        ]
        for process in stuck:
            workers.replace(process)
        return stuck

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
