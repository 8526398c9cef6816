"""The process that renders chat templates as its user sees it: asked, awaited, killed if late."""

import collections
import contextlib
import datetime
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from papo_jax.grading.workers import protocol
from papo_jax.grading.workers.process import make_environment

DEADLINE = 10.0  # seconds for one chat; honest templates take less than a thousandth
MEMORY = 1024  # MiB
_START_SECONDS = 120.0  # for the process to be there; a tenth of one where nothing else runs

Chat = Mapping[str, Any]  # the variables of a template: messages, add_generation_prompt, ...


class TemplateFailure(Exception):
    """A chat could not be rendered.

    Attributes:
      index: of the chat among those that were asked for.
      reason: why, in one line.
    """

    def __init__(self, index: int, reason: str):
        """Takes the chat's index and the reason."""
        super().__init__(reason)
        self.index, self.reason = index, reason


class TemplateProcess:
    """A context manager: a process that renders one chat template, started when it is needed."""

    def __init__(self, template: str, moment: datetime.datetime, *, deadline: float = DEADLINE):
        """Remembers what to start.

        Args:
          template: its text.
          moment: that `strftime_now` writes.
          deadline: seconds for one chat.
        """
        self._job = {
            "template": template,
            "moment": moment.isoformat(),
            "memory": MEMORY,
            "deadline": deadline,
        }
        self._deadline = deadline
        self._worker: _Worker | None = None

    def render_chats(self, chats: Sequence[Chat]) -> list[str]:
        """Renders chats in order.

        Args:
          chats: the variables of each, plain values.

        Returns:
          A text a chat.

        Raises:
          TemplateFailure: for the first that fails, is late, or writes or needs too much.
        """
        texts, received = [], 0
        try:
            if self._worker is None:
                self._worker = _Worker(self._job)
            self._worker.send({"chats": list(map(dict, chats))})
            for _ in chats:
                reply = self._worker.receive(timeout=self._deadline)
                received += 1
                if "failed" in reply:
                    raise TemplateFailure(len(texts), reply["failed"])
                texts.append(reply["text"])
        except TimeoutError:
            raise TemplateFailure(
                len(texts), f"it takes longer than {self._deadline:g} seconds"
            ) from None
        except (OSError, EOFError):
            raise TemplateFailure(len(texts), "it ended its process") from None
        finally:
            if received < len(chats):
                self._end()  # replies that nobody waits for may still come
        return texts

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()

    def __enter__(self) -> "TemplateProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()


class _Worker:
    """A process of the worker program and the two pipes to it."""

    def __init__(self, job: Any):
        requests, own_requests = os.pipe()
        own_replies, replies = os.pipe()
        self._requests: BinaryIO = os.fdopen(own_requests, "wb")
        self._replies, self._received = own_replies, bytearray()
        self._messages = collections.deque()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "papo_jax.rollout.templates.worker"],
                stdin=requests,
                stdout=replies,
                stderr=subprocess.DEVNULL,
                cwd=os.sep,
                env=make_environment(),
                start_new_session=True,  # Ctrl-C is for the run
            )
        finally:
            os.close(requests)
            os.close(replies)
        try:
            self.send(job)
            self.receive(timeout=_START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def send(self, message: Any) -> None:
        """Sends a message; raises `OSError` if the process is gone."""
        protocol.write_message(self._requests, message)

    def receive(self, *, timeout: float) -> dict[str, str]:
        """Waits for the next message; raises `TimeoutError`, or `EOFError` if there is none."""
        due = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while not self._messages:
                if not selector.select(max(0.0, due - time.monotonic())):
                    raise TimeoutError
                received = os.read(self._replies, 2**16)
                if not received:
                    raise EOFError
                self._received += received
                self._messages += protocol.take_messages(self._received)
        return self._messages.popleft()

    def kill(self) -> None:
        """Kills the process and closes the pipes."""
        self._popen.kill()
        self._popen.wait()
        with contextlib.suppress(OSError):  # what was not sent is not needed
            self._requests.close()
        os.close(self._replies)
