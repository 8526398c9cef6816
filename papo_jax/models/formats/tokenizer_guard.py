"""Guard around calls of a tokenizer, whose file may be damaged or meant to do harm.

A tokenizer's file holds regular expressions of its author. On some texts one takes hours, or ends
in a panic of the library, which is no `Exception` and prints many lines.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Result = TypeVar("Result")


class TokenizerFailure(Exception):
    """A call failed or was late; the text is the reason, in one line."""


def call_guarded(call: Callable[[], Result], *, seconds: float) -> Result:
    """Calls in a thread that is left behind when it is late.

    Args:
      call: of a tokenizer.
      seconds: that it may take.

    Returns:
      What it returns.

    Raises:
      TokenizerFailure: if it raises, panics or is late.

    >>> call_guarded(lambda: 1 + 1, seconds=1.0)
    2
    """
    done, results, errors = threading.Event(), [], []

    def work():
        try:
            results.append(call())
        except BaseException as error:  # as a panic of the library is
            errors.append(error)
        done.set()

    with _silence_panics():
        threading.Thread(target=work, daemon=True).start()
        is_done = done.wait(seconds)
    if results:
        return results[0]
    if not is_done:
        raise TokenizerFailure(f"not done after {seconds:.0f} seconds")
    raise TokenizerFailure((str(errors[0]).splitlines() or [""])[0] or type(errors[0]).__name__)


@contextlib.contextmanager
def _silence_panics() -> Iterator[None]:
    """Hides what the library writes to the error output, past Python, before it panics."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no error output
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
