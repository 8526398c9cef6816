"""A grading process: reads answers from a pipe, judges them one at a time, and writes what it found.

    python -m papo_jax.grading.worker MODULE MEMORY DEADLINE LIFE

MODULE holds `judge` and `warm`; MEMORY is in MiB, DEADLINE in seconds; LIFE is a pipe that closes when the pool is gone.
It never imports jax: the packages above load their modules on first use.
"""

import importlib
import os
import sys
import threading
from types import ModuleType
from typing import BinaryIO

from papo_jax.grading import frames, sandbox

OUT_OF_MEMORY = 77  # exit code


def main(arguments: list[str]) -> None:
    """Serves requests until the pipe is closed."""
    name, memory, deadline, life = arguments
    requests, replies = _take_pipes()
    threading.Thread(target=_die_with_the_pool, args=(int(life),), daemon=True).start()
    arm = sandbox.install()
    sandbox.limit(int(memory))
    module = importlib.import_module(name)
    while (request := frames.read(requests)) is not None:
        # The pool ends a worker by the clock; this is for a worker whose pool is gone.
        sandbox.allow_seconds(float(deadline) if "item" in request else 600.0)
        arm("item" in request)
        try:
            reply = _serve(module, request)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)  # what is left of the process is not to be trusted
        arm(False)
        frames.write(replies, reply)


def _serve(module: ModuleType, request: dict) -> list:
    if "warm" in request:
        module.warm(request["warm"])
        return ["warm", request["warm"]]
    try:
        return list(module.judge(*request["item"]))
    except MemoryError:
        raise
    except Exception as error:
        return ["error", None, f"{type(error).__name__}: {error}"[:200]]


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two ends of the conversation, out of reach of whatever prints or reads."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, replies


def _die_with_the_pool(life: int) -> None:
    os.read(life, 1)  # nothing is ever written: this returns when the other end is closed
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
