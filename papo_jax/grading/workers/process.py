"""A grading process as the pool sees it: started, asked, timed and killed."""

import contextlib
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from papo_jax.grading.workers import frames
from papo_jax.grading.workers.worker import OUT_OF_MEMORY

_PACKAGES = str(pathlib.Path(__file__).resolve().parents[3])


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
        self._unsent, self._received = bytearray(), bytearray()
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        life, ours = os.pipe()
        self._life = os.fdopen(ours, "wb", buffering=0)
        command = [
            sys.executable,
            "-P",
            "-m",
            "papo_jax.grading.workers.worker",
            module,
            str(memory),
            str(deadline),
            str(life),
        ]
        # A session of its own: Ctrl-C in the terminal is for the run, which finishes its step
        # first.
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.DEVNULL,
                cwd=os.sep,
                env=_environment(),
                pass_fds=(life,),
                start_new_session=True,
            )
        except BaseException:
            self._hang_up()
            raise
        finally:
            theirs.close()
            os.close(life)

    def fileno(self) -> int:
        """Where it is talked to, for a selector."""
        return self._socket.fileno()

    @property
    def events(self) -> int:
        """What a selector is to wait for: replies, and room for what is not sent yet."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    @property
    def ended(self) -> bool:
        """Whether it is known to be gone."""
        return self._popen.poll() is not None

    @property
    def idle(self) -> bool:
        """Whether it waits for something to do."""
        return self.item is None and self.warming is None

    def ask(self, message: dict[str, Any], *, within: float) -> bool:
        """Begins to send a request that is to be answered within so many seconds; False if the
        process is gone."""
        self._unsent += frames.encode(message)
        self.due = time.monotonic() + within
        try:
            self._send()
        except OSError:
            return False
        return True

    def replies(self) -> list[Any] | None:
        """Goes on sending, and returns what has arrived; None once the process is gone."""
        try:
            self._send()
            piece = self._socket.recv(2**16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        self._received += piece
        return frames.split(self._received) if piece else None

    def kill(self, *, leaving: bool = False) -> str:
        """Ends it, and whatever it may have started; returns in words how it ended. A second time
        does no harm.

        Args:
          leaving: it has closed its end already, and gets a moment to leave in its own way.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1.0 if leaving else 0.0)
        with contextlib.suppress(OSError):
            os.killpg(
                self._popen.pid, signal.SIGKILL
            )  # even if it is gone itself, for what it started may not be
        code = self._popen.wait()
        self._hang_up()
        return _cause(code)

    def _send(self) -> None:
        """Sends what fits: a process that does not read must not hold up the pool."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]

    def _hang_up(self) -> None:
        self._socket.close()
        self._life.close()


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
