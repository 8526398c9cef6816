"""The processes of a pool: as many as there should be, and a new one for each that is lost."""

import os

from papo_jax.grading.workers.process import Process


class Crew:
    """Grading processes.

    Attributes:
      processes: that are there.
    """

    def __init__(self, size: int, **options):
        """Starts `size` processes; the options are those of `Process`."""
        self._size, self._options, self._owner = size, options, os.getpid()
        self.processes: list[Process] = []
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def renew(self) -> None:
        """Replaces those that went while nobody was asking anything of them."""
        for process in [process for process in self.processes if process.ended]:
            process.kill()
            self.processes.remove(process)
        self._fill()

    def lose(self, process: Process, *, leaving: bool = False) -> str:
        """Kills a process, starts a new one in its place, and returns how it ended
        (`Process.kill`)."""
        ended = process.kill(leaving=leaving)
        self.processes.remove(process)
        self._fill()
        return ended

    def close(self) -> None:
        """Kills all processes; nothing happens in a child that forked off the process which started
        them."""
        while self.processes and os.getpid() == self._owner:
            self.processes.pop().kill()

    def _fill(self) -> None:
        while len(self.processes) < self._size:
            self.processes.append(Process(**self._options))
