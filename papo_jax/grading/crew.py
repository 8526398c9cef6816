"""The processes of a pool: as many as there should be, and a new one for each that is lost."""

from papo_jax.grading.process import Process


class Crew:
    """Grading processes.

    Attributes:
      processes: that are there.
    """

    def __init__(self, size: int, **options):
        """Starts `size` processes; the options are those of `Process`."""
        self._options = options
        self.processes = [Process(**options) for _ in range(size)]

    def lose(self, process: Process, *, leaving: bool = False) -> str:
        """Kills a process, starts a new one in its place, and returns how it ended (`Process.kill`)."""
        self.processes.remove(process)
        self.processes.append(Process(**self._options))
        return process.kill(leaving=leaving)

    def close(self) -> None:
        """Kills all processes."""
        while self.processes:
            self.processes.pop().kill()
