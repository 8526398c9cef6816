"""What a grading process may not do: grow, run on for ever, write, reach out, or execute text.

Limits of the operating system bound what a grader uses by accident; an audit hook refuses what no
grader does on purpose.
Neither is needed for what the graders are written to do: they hold if one of them, or a library
below, is wrong. Limits that a system does not have are left out.
"""

import collections
import dataclasses
import math
import os
import resource
import sys

# What may turn text of its own making into code: classes of modules that are imported late, and
# sympy's polynomials, which # write themselves functions for n variables out of the number n alone.
_WRITERS = (
    collections.__file__,
    dataclasses.__file__,
    os.path.join(os.sep, "sympy", "polys", "monomials.py"),
)
_REFUSED = (  # prefixes of audit events; that of threads exists from Python 3.12 on
    "_thread.start",
    "code.__new__",
    "ctypes.",
    "ftplib.",
    "http.client.",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.spawn",
    "os.symlink",
    "os.system",
    "os.truncate",
    "os.utime",
    "pickle.",
    "pty.",
    "resource.",
    "shutil.",
    "signal.pthread_kill",
    "smtplib.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "urllib.",
    "webbrowser.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(Exception):
    """A grader tried what none has to do."""


def limit(memory: int) -> None:
    """Bounds this process for the rest of its life.

    Args:
      memory: address space, MiB.
    """
    size = memory * 2**20
    for name, value in (
        ("RLIMIT_AS", size),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NOFILE", 64),
    ):
        _set(name, value)


def allow_seconds(seconds: float) -> None:
    """Lets this process compute for so many seconds more; the system ends it then, even if nobody
    else is there to."""
    used = sum(os.times()[:2])
    _set("RLIMIT_CPU", math.ceil(used + seconds) + 1)


class Guard:
    """An audit hook, at rest until it is armed, as while a grader imports what it needs; it stays
    as long as the process.

    Attributes:
      refused: the first event that was refused since it was armed last, None without one. It is
        kept because libraries swallow exceptions: what goes on after a refusal is no verdict.
    """

    def __init__(self):
        """Installs it."""
        self.refused: str | None = None
        self._armed = False
        sys.addaudithook(self._hear)

    def arm(self) -> None:
        """Refuses from here on."""
        self.refused, self._armed = None, True

    def rest(self) -> None:
        """Refuses nothing from here on."""
        self._armed = False

    def _hear(self, event: str, arguments: tuple) -> None:
        if not self._armed:
            return
        # Only where it is asked for: to look at a frame is an event too.
        caller = sys._getframe(1).f_code.co_filename if event == "exec" else ""
        if _is_refused(event, arguments, caller):
            self.refused = self.refused or event
            raise Refused(f"refused {event}")


def _is_refused(event: str, arguments: tuple, caller: str) -> bool:
    if event == "exec":  # files of libraries may still be imported; text may not become code
        name = getattr(arguments[0], "co_filename", "<unknown>")
        is_text = name.startswith("<") and not name.startswith("<frozen ")
        return is_text and not caller.endswith(_WRITERS)
    if event == "open":
        _, mode, flags = arguments
        return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)
    return event.startswith(_REFUSED)


def _set(name: str, soft: int) -> None:
    """Sets a soft limit, no higher than the hard one; where there is no such limit, nothing
    happens."""
    try:
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(kind, (soft, hard))
    except (AttributeError, OSError, ValueError):
        return
