"""A grading process: reads answers from a pipe, judges them one at a time, and writes what it
found.

    python -m papo_jax.grading.workers.worker MODULE MEMORY DEADLINE LIFE

MODULE holds `judge` and `warm`; MEMORY is in MiB, DEADLINE in seconds; LIFE is a pipe that closes
when the pool is gone.
It never imports jax: the packages above load their modules on first use.
"""

import contextlib
import fcntl
import importlib
import os
import select
import signal
import sys
import threading
from typing import BinaryIO

from papo_jax.grading.judgment import ERROR, Judgment
from papo_jax.grading.workers import frames, sandbox

OUT_OF_MEMORY = 77  # exit code


def main(arguments: list[str]) -> None:
    """Serves requests until the pipe is closed."""
    name, memory, deadline, life = arguments
    requests, replies = _take_pipes()
    _die_with_the_pool(int(life))
    guard = sandbox.Guard()
    sandbox.limit(int(memory))
    with contextlib.suppress(Exception):  # what is wrong with it is said when it is asked for
        importlib.import_module(name)
    while (request := frames.read(requests)) is not None:
        # The pool ends a worker by the clock; this is for a worker whose pool is gone.
        sandbox.allow_seconds(float(deadline) if "item" in request else 600.0)
        try:
            reply = (
                _judge(name, guard, *request["item"])
                if "item" in request
                else _warm(name, request["warm"])
            )
        except MemoryError:
            os._exit(OUT_OF_MEMORY)  # what is left of the process is not to be trusted
        frames.write(replies, reply)


def _judge(name: str, guard: sandbox.Guard, grader: str, gold: str, text: str) -> Judgment:
    module = importlib.import_module(name)
    guard.arm()
    try:
        judgment = Judgment(*module.judge(grader, gold, text))
    except MemoryError:
        raise
    except Exception as error:
        judgment = Judgment(ERROR, None, _in_words(error))
    finally:
        guard.rest()
    return Judgment(ERROR, None, f"refused {guard.refused}") if guard.refused else judgment


def _warm(name: str, grader: str) -> str | None:
    """Makes a grader ready; returns what is in the way, None if nothing is."""
    try:
        importlib.import_module(name).warm(grader)
    except MemoryError:
        raise
    except Exception as error:
        return _in_words(error)
    return None


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two directions of the conversation, out of reach of whatever prints or reads."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, replies


def _die_with_the_pool(life: int) -> None:
    """Has this process killed when the pool's process is gone, whatever it is doing then.

    Linux's own signal for it (PR_SET_PDEATHSIG) would come too early: when the *thread* that
    started this process ends.
    """
    with contextlib.suppress(
        AttributeError, OSError
    ):  # Linux: the kernel does it, which no computation can hold up
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_watch, args=(life, os.getppid()), daemon=True).start()


def _watch(life: int, parent: int) -> None:
    # Nothing is ever written: it is readable once it is closed. A child that the pool's process
    # forked may hold it open.
    while os.getppid() == parent and not select.select([life], [], [], 0.5)[0]:
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
