"""One worker process as the pool sees it: started, asked, and killed with all that it started."""

import contextlib
import os
import pathlib
import selectors
import signal
import site
import socket
import subprocess
import sys
import time
from typing import Any

import papo_jax
from papo_jax.grading.judgment import TIMEOUT
from papo_jax.grading.workers import protocol


class WorkerProcess:
    """A process and what it is doing.

    Attributes:
      warm_graders: graders that it has made the imports of.
      request_index: of the request that it judges, None while it has none.
      warming_grader: the grader whose imports it makes, None while it makes none.
      due: when it has to reply, seconds of the monotonic clock; `deadlines` enforces it.
    """

    def __init__(self, module: str, *, memory: int, deadline: float):
        """Starts it.

        Args:
          module: name of the module with `judge` and `warm_up`.
          memory: MiB that it may take.
          deadline: seconds of computing an answer, after which it ends itself if the pool is gone.
        """
        self.warm_graders: set[str] = set()
        self.request_index: int | None = None
        self.warming_grader: str | None = None
        self.due = 0.0

        # Requests and replies go through a socket; a pipe that closes tells the pool's end.
        self._unsent, self._received = bytearray(), bytearray()
        self._socket, worker_socket = socket.socketpair()
        self._socket.setblocking(False)
        life, pool_end = os.pipe()
        self._life = os.fdopen(pool_end, "wb", buffering=0)

        command = [sys.executable, "-P", "-m", "papo_jax.grading.workers.worker"]
        arguments = [module, str(memory), str(deadline), str(life)]
        try:
            self._popen = subprocess.Popen(
                command + arguments,
                stdin=worker_socket.fileno(),
                stdout=worker_socket.fileno(),
                stderr=subprocess.DEVNULL,
                cwd=os.sep,
                env=make_environment(),
                pass_fds=(life,),
                start_new_session=True,  # Ctrl-C is for the run, which finishes its step first
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            worker_socket.close()
            os.close(life)

    def fileno(self) -> int:
        """Returns the file descriptor of its socket, for a selector."""
        return self._socket.fileno()

    @property
    def selector_events(self) -> int:
        """Events to select: replies, and room for what is not sent yet."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    @property
    def has_exited(self) -> bool:
        """True if it is known to be gone."""
        return self._popen.poll() is not None

    @property
    def is_judging(self) -> bool:
        """True while it has a request to judge."""
        return self.request_index is not None

    @property
    def is_idle(self) -> bool:
        """True while it waits for something to do."""
        return self.request_index is None and self.warming_grader is None

    def send_request(self, message: dict[str, Any], *, timeout: float) -> bool:
        """Starts to send a request, due in `timeout` seconds; False if the process is gone."""
        self._unsent += protocol.encode_message(message)
        self.due = time.monotonic() + timeout
        try:
            self._send_unsent()
        except OSError:
            return False
        return True

    def read_replies(self) -> list[Any] | None:
        """Sends more, and returns the replies that have arrived; None once the process is gone."""
        try:
            self._send_unsent()
            received = self._socket.recv(2**16)
        except BlockingIOError:
            return []
        except OSError:
            return None
        self._received += received
        return protocol.take_messages(self._received) if received else None

    def kill(self, *, is_exiting: bool = False) -> str:
        """Kills it, and whatever it may have started; a second time does no harm.

        Args:
          is_exiting: it has closed its end already, and gets a moment to exit in its own way.

        Returns:
          How it ended, in words.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1.0 if is_exiting else 0.0)
        # Even if it is gone itself: what it started may not be.
        with contextlib.suppress(OSError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        code = self._popen.wait()
        self._close_pipes()
        return _describe_exit(code)

    def _send_unsent(self) -> None:
        """Sends what fits: a process that does not read must not hold up the pool."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]

    def _close_pipes(self) -> None:
        self._socket.close()
        self._life.close()


def _describe_exit(code: int) -> str:
    if code == protocol.OUT_OF_MEMORY:
        return "out of memory"
    if code == -signal.SIGXCPU:
        return TIMEOUT
    return f"crash (signal {-code})" if code < 0 else f"crash (exit {code})"


def make_environment() -> dict[str, str]:
    """Returns this process's environment for a worker.

    The worker finds the same packages, has sets in the same order each time, and writes no file.
    """
    path = os.pathsep.join(filter(None, (_package_root(), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**environment, "PYTHONPATH": path} if path else environment


def _package_root() -> str | None:
    """Returns the directory that holds papo_jax; None where each interpreter looks by itself.

    That is site-packages: on PYTHONPATH it would stand before the standard library.
    """
    root = pathlib.Path(papo_jax.__file__).resolve().parents[1]
    site_packages = [*site.getsitepackages(), site.getusersitepackages()]
    is_installed = root in [pathlib.Path(directory).resolve() for directory in site_packages]
    return None if is_installed else str(root)
