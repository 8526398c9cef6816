"""Graders that misbehave, each named after what it does: the pool has to live with them."""

import ast
import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time

from papo_jax.grading.judgment import Judgment

CHILDREN = []


def judge(grader: str, gold: str, text: str) -> Judgment:
    return globals()[f"_{grader}"](gold, text) or Judgment(
        "right" if text == gold else "wrong", text
    )


def warm_up(grader: str) -> None:
    if grader == "cold":
        raise ImportError("no such package")
    if grader == "slow_start":
        time.sleep(1.5)
    if grader == "parent":
        CHILDREN.append(subprocess.Popen(["sleep", "60"]))


def _same(gold, text):
    """Compares, and does nothing else."""


_slow_start = _same


def _sleep(gold, text):
    time.sleep(float(text))


def _stubborn(gold, text):
    """Swallows whatever interrupts it, and sleeps on."""
    end = time.monotonic() + float(text)
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            time.sleep(end - time.monotonic())


def _spin(gold, text):
    while True:
        pass


def _tower(gold, text):
    """Computes for ever without ever letting another thread run."""
    return Judgment("right", str(9**9**9 % 10))


def _deaf(gold, text):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)


def _abort(gold, text):
    os.abort()


def _parent(gold, text):
    if text == "abort":
        os.abort()
    return Judgment("right", str(CHILDREN[0].pid))


def _leave(gold, text):
    os._exit(3)


def _exit(gold, text):
    sys.exit(4)


def _eat(gold, text):
    return Judgment("right", "x" * 2**40)


def _shapeless(gold, text):
    return ("right",)


def _recurse(gold, text):
    return _recurse(gold, text)


def _print(gold, text):
    print("right" * 1000, flush=True)
    os.write(1, b"\x00\x00\x00\x02[]")
    sys.stderr.write("right")


def _read(gold, text):
    return Judgment("right" if sys.stdin.read() == "" else "wrong", None)


def _process(gold, text):
    return Judgment("right", str(os.getpid()))


def _modules(gold, text):
    return Judgment(
        "right",
        " ".join(sorted({"jax", "numpy", "sympy", "flax", "math_verify"} & set(sys.modules))),
    )


def _write(gold, text):
    with open(text, "w") as file:
        file.write("written")


def _write_low(gold, text):
    os.open(text, os.O_CREAT | os.O_WRONLY)


def _execute(gold, text):
    exec(text)


def _evaluate(gold, text):
    return Judgment("right", str(eval(text)))


def _swallow(gold, text):
    try:
        eval(text)
    except Exception:
        return Judgment("wrong", text)


def _raise_limits(gold, text):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))


def _system(gold, text):
    os.system(text)


def _spawn(gold, text):
    subprocess.run(["touch", text])


def _fork(gold, text):
    os.fork()


def _connect(gold, text):
    socket.create_connection(("127.0.0.1", 9))


def _load(gold, text):
    ctypes.CDLL(None)


def _parse(gold, text):
    return Judgment("right", type(ast.parse(text, mode="eval").body).__name__)


def _import(gold, text):
    import colorsys  # a file of the standard library that nothing has imported yet

    return Judgment("right", colorsys.__name__)


GRADERS = tuple(
    name[1:] for name in dict(globals()) if name.startswith("_") and callable(globals()[name])
)
GRADERS += ("cold",)
_cold = _same
