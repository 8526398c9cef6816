"""What a grading process may not do: grow, run on for ever, write, reach out, or execute text.

Limits of the operating system bound what a grader uses by accident; an audit hook refuses what no grader does on purpose.
Neither is needed for what the graders are written to do: they hold if one of them, or a library below, is wrong. Limits that
a system does not have are left out.
"""

import math
import os
import resource
import sys
from collections.abc import Callable

_REFUSED = (
    "ctypes.", "ftplib.", "http.client.", "os.chmod", "os.chown", "os.exec", "os.fork", "os.kill", "os.link", "os.mkdir",
    "os.posix_spawn", "os.putenv", "os.remove", "os.rename", "os.rmdir", "os.spawn", "os.symlink", "os.system", "os.truncate",
    "os.utime", "pickle.", "pty.", "shutil.", "signal.pthread_kill", "smtplib.", "socket.", "sqlite3.", "subprocess.", "urllib.",
    "webbrowser.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(Exception):
    """A grader tried what none has to do."""


def limit(memory: int) -> None:
    """Bounds this process for the rest of its life.

    Args:
      memory: address space, MiB.
    """
    size = memory * 2**20
    for name, value in (("RLIMIT_AS", size), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_NOFILE", 64)):
        _set(name, value)


def allow_seconds(seconds: float) -> None:
    """Lets this process compute for so many seconds more; the system ends it then, even if nobody else is there to."""
    used = sum(os.times()[:2])
    _set("RLIMIT_CPU", math.ceil(used + seconds) + 1)


def install() -> Callable[[bool], None]:
    """Installs the audit hook, at rest; it stays for the life of the process.

    Returns:
      A function that arms it (True) or puts it to rest (False), as while a grader imports what it needs.
    """
    armed = [False]

    def hook(event: str, arguments: tuple) -> None:
        if armed[0] and _is_refused(event, arguments):
            raise Refused(f"refused {event}")

    sys.addaudithook(hook)

    def arm(on: bool) -> None:
        armed[0] = on

    return arm


def _is_refused(event: str, arguments: tuple) -> bool:
    if event == "exec":  # files of libraries may still be imported; text may not become code
        name = getattr(arguments[0], "co_filename", "<unknown>")
        return name.startswith("<") and not name.startswith("<frozen ")
    if event == "open":
        _, mode, flags = arguments
        return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)
    return event.startswith(_REFUSED)


def _set(name: str, soft: int) -> None:
    """Sets a soft limit, no higher than the hard one; where there is no such limit, nothing happens."""
    try:
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(kind, (soft, hard))
    except (AttributeError, OSError, ValueError):
        return
