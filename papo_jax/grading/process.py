"""A grading process as the pool sees it: started, asked, timed and killed."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from papo_jax.grading import frames
from papo_jax.grading.worker import OUT_OF_MEMORY

_PACKAGES = str(pathlib.Path(__file__).resolve().parents[2])


class Process:
    """One process and what it is doing.

    Attributes:
      warmed: graders that it has imported what they need for.
      item: the place of the answer that it judges, None while it has none.
      warming: the grader that it makes ready, None while it does not.
      due: when it has to be done, seconds of the monotonic clock.
    """

    def __init__(self, module: str, *, memory: int, deadline: float):
        """Starts it.

        Args:
          module: holds `judge` and `warm`.
          memory: MiB that it may take.
          deadline: seconds of computing an answer, after which it ends itself if the pool is gone.
        """
        self.warmed: set[str] = set()
        self.item: int | None = None
        self.warming: str | None = None
        self.due = 0.0
        self._buffer = bytearray()
        life, self._life = os.pipe()
        command = [sys.executable, "-P", "-m", "papo_jax.grading.worker", module, str(memory), str(deadline), str(life)]
        # A session of its own: Ctrl-C in the terminal is for the run, which finishes its step first.
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=os.sep,
            env=_environment(), pass_fds=(life,), start_new_session=True,
        )  # fmt: skip
        os.close(life)
        os.set_blocking(self.fileno(), False)

    def fileno(self) -> int:
        """Where its replies come from."""
        return self._popen.stdout.fileno()

    @property
    def idle(self) -> bool:
        """Whether it waits for something to do."""
        return self.item is None and self.warming is None

    def ask(self, message: dict[str, Any], *, within: float) -> bool:
        """Sends a request that is to be answered within so many seconds; False if the process is gone."""
        try:
            frames.write(self._popen.stdin, message)
        except OSError:
            return False
        self.due = time.monotonic() + within
        return True

    def replies(self) -> list[list] | None:
        """Returns what has arrived; None once the process is gone."""
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self.fileno(), 2**16)
            if not piece:
                return None
            self._buffer += piece
        return frames.split(self._buffer)

    def kill(self, *, leaving: bool = False) -> str:
        """Ends it, and whatever it may have started; returns in words how it ended.

        Args:
          leaving: it has closed its end already, and gets a moment to leave in its own way.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1.0 if leaving else 0.0)
        with contextlib.suppress(OSError):
            if self._popen.poll() is None:
                os.killpg(self._popen.pid, signal.SIGKILL)
        code = self._popen.wait()
        for end in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):  # what could not be written any more
                end.close()
        with contextlib.suppress(OSError):
            os.close(self._life)
        return _cause(code)


def _cause(code: int) -> str:
    if code == OUT_OF_MEMORY:
        return "out of memory"
    if code == -signal.SIGXCPU:
        return "timeout"
    return f"crash (signal {-code})" if code < 0 else f"crash (exit {code})"


def _environment() -> dict[str, str]:
    """This process's, with the packages found, sets in one order for all, and no file written."""
    path = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
