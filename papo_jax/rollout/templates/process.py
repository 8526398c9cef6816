"""The process that renders chat templates, as its user sees it: asked, awaited, killed if late."""

import collections
import contextlib
import datetime
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

from papo_jax.grading.workers import protocol
from papo_jax.grading.workers.process import make_environment

DEADLINE = 10.0  # seconds for one chat; honest templates take less than a thousandth
MEMORY = 1024  # MiB

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
    """A context manager: a process that renders one chat template, started on first use."""

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
        self._popen: subprocess.Popen | None = None
        self._received, self._replies = bytearray(), collections.deque()

    def render_chats(self, chats: Sequence[Chat]) -> list[str]:
        """Renders chats in order.

        Args:
          chats: the variables of each, plain values.

        Returns:
          A text a chat.

        Raises:
          TemplateFailure: for the first that fails, is late, or writes or needs too much.
        """
        try:
            self._send({"chats": list(map(dict, chats))})
        except OSError:
            raise TemplateFailure(0, self._end()) from None
        texts = []
        for index in range(len(chats)):
            reply = self._receive()
            if "failed" in reply:
                raise TemplateFailure(index, reply["failed"])
            texts.append(reply["text"])
        return texts

    def _send(self, request: Any) -> None:
        if self._popen is None:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "papo_jax.rollout.templates.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=os.sep,
                env=make_environment(),
                start_new_session=True,  # Ctrl-C is for the run
            )
            self._requests = cast(BinaryIO, self._popen.stdin)
            self._pipe = cast(BinaryIO, self._popen.stdout)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._pipe, selectors.EVENT_READ)
            protocol.write_message(self._requests, self._job)
        protocol.write_message(self._requests, request)

    def _receive(self) -> dict[str, str]:
        """Waits for the next reply, and makes one up if none comes in time."""
        due = time.monotonic() + self._deadline
        while not self._replies:
            if not self._selector.select(max(0.0, due - time.monotonic())):
                self._end()
                return {"failed": f"it takes longer than {self._deadline:g} seconds"}
            received = os.read(self._pipe.fileno(), 2**16)
            if not received:
                return {"failed": self._end()}
            self._received += received
            self._replies += protocol.take_messages(self._received)
        return self._replies.popleft()

    def _end(self) -> str:
        """Ends the process, and returns how it ended in words."""
        if self._popen is None:
            return ""
        popen, self._popen = self._popen, None
        popen.kill()
        code = popen.wait()
        self._selector.close()
        for pipe in (self._requests, self._pipe):
            with contextlib.suppress(BrokenPipeError):  # what was not sent is not needed
                pipe.close()
        return f"its process ended with code {code}"

    def __enter__(self) -> "TemplateProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()
