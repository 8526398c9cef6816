r"""Messages over a pipe: JSON in ASCII behind its length, so that any text of a policy comes
through as it is.

>>> import io
>>> pipe = io.BytesIO(encode({"item": ["exact", "\ud800", "\x00"]}))
>>> read(pipe)["item"], read(pipe)
(['exact', '\ud800', '\x00'], None)
"""

import json
import struct
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")


def encode(message: Any) -> bytes:
    """Returns a message as it goes over the pipe."""
    body = json.dumps(message).encode("ascii")
    return _LENGTH.pack(len(body)) + body


def write(pipe: BinaryIO, message: Any) -> None:
    """Sends a message."""
    pipe.write(encode(message))
    pipe.flush()


def read(pipe: BinaryIO) -> Any:
    """Waits for a message; None when the other end is closed."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return json.loads(pipe.read(_LENGTH.unpack(head)[0]))


def split(buffer: bytearray) -> list[Any]:
    """Takes the whole messages from the front of what has been received so far."""
    found = []
    while len(buffer) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            break
        found.append(json.loads(bytes(buffer[_LENGTH.size : end])))
        del buffer[:end]
    return found
