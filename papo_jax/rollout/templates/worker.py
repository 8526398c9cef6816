"""Worker program: renders conversations under one chat template, and is killed when it is late.

    python -m papo_jax.rollout.templates.worker

It reads a job {"template", "moment", "memory", "deadline"} and answers {"text": ""}; then it reads
requests {"chats": [...]} and answers each chat with {"text": ...} or {"failed": reason}. It never
imports jax.
"""

import datetime
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

from papo_jax.grading.workers import protocol, sandbox
from papo_jax.rollout.templates import environment

# Characters that a template may write beside as many as four times the messages and itself.
SPARE_CHARACTERS = 2**16


def main() -> None:
    """Serves requests until the pipe is closed."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    job = protocol.read_message(requests)
    sandbox.set_resource_limits(job["memory"])
    moment = datetime.datetime.fromisoformat(job["moment"])
    renderer = Renderer(job["template"], moment, job["deadline"])
    protocol.write_message(replies, {"text": ""})  # ready
    while (request := protocol.read_message(requests)) is not None:
        for chat in request["chats"]:
            protocol.write_message(replies, renderer.render_reply(chat))


class Renderer:
    """A template, compiled when it is first needed, and the guard that it runs under."""

    def __init__(self, text: str, moment: datetime.datetime, cpu_seconds: float):
        """Takes the template's text, the moment that it may write, and its time for a chat."""
        self._text, self._moment, self._cpu_seconds = text, moment, cpu_seconds
        self._compiled = None
        self._guard = sandbox.Guard()

    def render_reply(self, chat: dict[str, Any]) -> dict[str, str]:
        """Renders the variables of one chat, or says why that fails."""
        size = sum(len(message["content"]) for message in chat["messages"])
        most = SPARE_CHARACTERS + 4 * (size + len(self._text))
        try:
            random.seed(0)  # so that jinja's random and lipsum write the same in every run
            sandbox.allow_cpu_seconds(self._cpu_seconds)
            if self._compiled is None:
                self._compiled = environment.compile_template(self._text, self._moment)
            self._guard.arm()
            return {"text": "".join(_take_characters(self._compiled.generate(**chat), most))}
        except MemoryError:
            return {"failed": "it needs too much memory"}
        except Exception as error:  # a template is a program: it may fail in any way
            return {"failed": (str(error).splitlines() or [""])[0] or type(error).__name__}
        finally:
            self._guard.disarm()


def _take_characters(pieces: Iterator[str], most: int) -> Iterator[str]:
    """Yields pieces of text; raises ValueError once they have more characters than that."""
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > most:
            raise ValueError(f"it writes more than {most:,} characters")
        yield piece


if __name__ == "__main__":
    sys.exit(main())
