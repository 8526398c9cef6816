"""Worker program: reads requests from a pipe, judges them one at a time, and writes judgments.

    python -m papo_jax.grading.workers.worker MODULE MEMORY DEADLINE LIFE

MODULE holds `judge` and `warm_up`, and perhaps `clear_caches` for after an interruption; MEMORY is
in MiB, DEADLINE in seconds; LIFE is a pipe that closes when the pool is gone. A worker never
imports jax, for `papo_jax` loads its packages on first use.
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
from papo_jax.grading.workers import protocol, sandbox
from papo_jax.grading.workers.interruption import Interrupted, Interrupter

_WARMUP_CPU_SECONDS = 600.0


def main(arguments: list[str]) -> None:
    """Serves requests until the pipe is closed."""
    module_name, memory, deadline, life = arguments
    requests, replies = _take_pipes()
    _exit_with_pool(int(life))
    guard, interrupter = sandbox.Guard(), Interrupter()
    sandbox.set_resource_limits(int(memory))
    with contextlib.suppress(Exception):  # a faulty module is reported when it is asked for
        importlib.import_module(module_name)

    while (request := protocol.read_message(requests)) is not None:
        # The pool kills a worker by the clock; this ends a worker whose pool is gone.
        sandbox.allow_cpu_seconds(float(deadline) if "judge" in request else _WARMUP_CPU_SECONDS)
        try:
            if "judge" in request:
                reply = _judge_in_time(module_name, guard, interrupter, request)
            else:
                reply = _warm_up(module_name, request["warm_up"])
        except MemoryError:
            os._exit(protocol.OUT_OF_MEMORY)  # the rest of the process is not to be trusted
        protocol.write_message(replies, reply)


def _judge_in_time(
    module_name: str, guard: sandbox.Guard, interrupter: Interrupter, request: dict
) -> Judgment | None:
    """Judges what a request asks; None if that takes longer than its "postpone_after" seconds.

    Without such a bound the pool alone enforces the deadline.
    """
    question, seconds = request["judge"], request.get("postpone_after")
    if seconds is None:
        return _judge_guarded(module_name, guard, question)
    try:
        return interrupter.call(_judge_guarded, module_name, guard, question, seconds=seconds)
    except Interrupted:
        guard.disarm()
        clear_caches = getattr(importlib.import_module(module_name), "clear_caches", None)
        if clear_caches is not None:
            clear_caches()
        return None


def _judge_guarded(module_name: str, guard: sandbox.Guard, request: list[str]) -> Judgment:
    """Judges a (grader, reference, completion) request while the sandbox's guard is armed."""
    module = importlib.import_module(module_name)
    guard.arm()
    try:
        judgment = Judgment(*module.judge(*request))
    except MemoryError:
        raise
    except Exception as error:
        judgment = Judgment(ERROR, None, _describe_error(error))
    finally:
        guard.disarm()
    return Judgment(ERROR, None, f"refused {guard.refused}") if guard.refused else judgment


def _warm_up(module_name: str, grader: str) -> str | None:
    """Makes a grader ready; returns why it could not be, None if it could."""
    try:
        importlib.import_module(module_name).warm_up(grader)
    except MemoryError:
        raise
    except Exception as error:
        return _describe_error(error)
    return None


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Moves requests and replies to descriptors that nothing which prints or reads will touch."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, replies


def _exit_with_pool(life: int) -> None:
    """Has this process killed when the pool's process is gone, whatever it is doing then.

    Linux's own signal for it (PR_SET_PDEATHSIG) would come too early: when the *thread* that
    started this process ends.
    """
    # On Linux the kernel does it, which no computation can hold up.
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_watch_pool, args=(life, os.getppid()), daemon=True).start()


def _watch_pool(life: int, parent: int) -> None:
    # Nothing is ever written to the pipe: it is readable once it is closed. A child that the pool's
    # process forked may hold it open.
    while os.getppid() == parent and not select.select([life], [], [], 0.5)[0]:
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
