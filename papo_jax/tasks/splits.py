"""The two splits of a task, and the rule that assigns a text to one of them.

Where a task has no files of its own for evaluation, the text of a question alone decides its split:
the same question is never in both, whatever the seed, and problems that are added or moved change
no other's split.
"""

import zlib

SPLITS = ("train", "held_out")
_HELD_OUT_SHARE = 8  # one text in eight is held out


def assign_split(text: str) -> str:
    """Returns the one split that may hold a problem with this text.

    >>> [assign_split(f"{n}+1=") for n in range(8)].count("held_out")
    1
    """
    return "held_out" if zlib.crc32(text.encode()) % _HELD_OUT_SHARE == 0 else "train"
