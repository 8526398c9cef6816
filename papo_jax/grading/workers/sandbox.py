"""Sandbox of a worker process: it may not grow, run on for ever, write, reach out or execute text.

Limits of the operating system bound what a grader uses by accident; an audit hook refuses what no
grader does on purpose. Neither is needed for what the graders are written to do: they hold if one
of them, or a library below, is wrong. Limits that a system does not have are left out.
"""

import collections
import dataclasses
import math
import os
import resource
import sys
from typing import Any

# Files that may turn text of their own making into code: classes of modules that are imported late,
# and sympy's polynomials, which write themselves functions for n variables out of the number n
# alone.
_CODE_WRITERS = (
    collections.__file__,
    dataclasses.__file__,
    os.path.join(os.sep, "sympy", "polys", "monomials.py"),
)
_REFUSED = tuple(  # prefixes of audit events; that of threads exists from Python 3.12 on
    """_thread.start code.__new__ ctypes. ftplib. http.client. os.chmod os.chown os.exec os.fork
    os.kill os.link os.mkdir os.posix_spawn os.putenv os.remove os.rename os.rmdir os.spawn
    os.symlink os.system os.truncate os.utime pickle. pty. resource. shutil. signal.pthread_kill
    smtplib. socket. sqlite3. subprocess. urllib. webbrowser.""".split()
)
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class SandboxViolation(Exception):
    """Raised when a grader tries what none has to do."""


def set_resource_limits(memory: int) -> None:
    """Bounds this process for the rest of its life.

    Args:
      memory: address space, MiB.
    """
    _set_soft_limit("RLIMIT_AS", memory * 2**20)
    _set_soft_limit("RLIMIT_CORE", 0)
    _set_soft_limit("RLIMIT_FSIZE", 0)
    _set_soft_limit("RLIMIT_NOFILE", 64)


def allow_cpu_seconds(seconds: float) -> None:
    """Lets this process compute for so many seconds more.

    The system ends it then, even if nobody else is there to.
    """
    used = sum(os.times()[:2])
    _set_soft_limit("RLIMIT_CPU", math.ceil(used + seconds) + 1)


class Guard:
    """Audit hook that refuses events while it is armed; it stays as long as the process.

    It is disarmed while a grader imports what it needs.

    Attributes:
      refused: the first event that was refused since it was armed last, None without one. It is
        kept because libraries swallow exceptions: what a grader returns after a refusal is no
        verdict.
    """

    def __init__(self):
        """Installs it, disarmed."""
        self.refused: str | None = None
        self._is_armed = False
        sys.addaudithook(self._audit)

    def arm(self) -> None:
        """Refuses from here on."""
        self.refused, self._is_armed = None, True

    def disarm(self) -> None:
        """Refuses nothing from here on."""
        self._is_armed = False

    def _audit(self, event: str, arguments: tuple) -> None:
        if not self._is_armed:
            return
        # Only where it is asked for: to look at a frame is an event too.
        caller = sys._getframe(1).f_code.co_filename if event == "exec" else ""
        if _is_refused(event, arguments, caller):
            self.refused = self.refused or event
            raise SandboxViolation(f"refused {event}")


def _is_refused(event: str, arguments: tuple[Any, ...], caller: str) -> bool:
    if event == "exec":  # files of libraries may still be imported; text may not become code
        name = getattr(arguments[0], "co_filename", "<unknown>")
        is_text = name.startswith("<") and not name.startswith("<frozen ")
        return is_text and not caller.endswith(_CODE_WRITERS)
    if event == "open":
        _, mode, flags = arguments
        return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITE_FLAGS)
    return event.startswith(_REFUSED)


def _set_soft_limit(name: str, value: int) -> None:
    """Sets a soft limit, no higher than the hard one; does nothing where the system has none."""
    try:
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, hard))
    except (AttributeError, OSError, ValueError):
        return
