"""Set of the workers of a pool, of a fixed size: each one that is killed is replaced."""

import os
from typing import Any

from papo_jax.grading.workers.process import WorkerProcess


class WorkerSet:
    """Worker processes.

    Attributes:
      processes: those that run.
    """

    def __init__(self, size: int, **options: Any):
        """Starts `size` processes; the options are `WorkerProcess`'s."""
        self._size, self._options, self._owner = size, options, os.getpid()
        self.processes: list[WorkerProcess] = []
        try:
            self._start_missing()
        except BaseException:
            self.close()
            raise

    def restart_dead(self) -> None:
        """Replaces processes that exited while nothing was asked of them."""
        for process in [process for process in self.processes if process.has_exited]:
            process.kill()
            self.processes.remove(process)
        self._start_missing()

    def replace(self, process: WorkerProcess, *, is_exiting: bool = False) -> str:
        """Kills a process and starts another; returns how it ended (`WorkerProcess.kill`)."""
        ending = process.kill(is_exiting=is_exiting)
        self.processes.remove(process)
        self._start_missing()
        return ending

    def close(self) -> None:
        """Kills all processes; does nothing in a child forked off the process that started them."""
        while self.processes and os.getpid() == self._owner:
            self.processes.pop().kill()

    def _start_missing(self) -> None:
        while len(self.processes) < self._size:
            self.processes.append(WorkerProcess(**self._options))
