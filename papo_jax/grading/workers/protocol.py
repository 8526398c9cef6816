r"""Protocol between a pool and its workers: length-prefixed JSON messages, and an exit code.

The JSON is ASCII, so that any text of a policy comes through unchanged.

>>> import io
>>> pipe = io.BytesIO(encode_message({"judge": ["exact", "\ud800", "\x00"]}))
>>> read_message(pipe)["judge"], read_message(pipe)
(['exact', '\ud800', '\x00'], None)
"""

import json
import struct
from typing import Any, BinaryIO

OUT_OF_MEMORY = 77  # exit code of a worker
_LENGTH = struct.Struct(">I")


def encode_message(message: Any) -> bytes:
    """Returns the bytes of a message."""
    body = json.dumps(message).encode("ascii")
    return _LENGTH.pack(len(body)) + body


def write_message(pipe: BinaryIO, message: Any) -> None:
    """Sends a message."""
    pipe.write(encode_message(message))
    pipe.flush()


def read_message(pipe: BinaryIO) -> Any:
    """Waits for a message; None when the other end is closed."""
    prefix = pipe.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        return None
    return json.loads(pipe.read(_LENGTH.unpack(prefix)[0]))


def take_messages(buffer: bytearray) -> list[Any]:
    """Removes the whole messages from the front of a buffer of received bytes, and decodes them."""
    messages = []
    while len(buffer) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            break
        messages.append(json.loads(bytes(buffer[_LENGTH.size : end])))
        del buffer[:end]
    return messages
