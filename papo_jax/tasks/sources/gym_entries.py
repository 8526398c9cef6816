"""Entries of a reasoning-gym family as JSON lines, from a process of their own.

    python -P papo_jax/tasks/sources/gym_entries.py FAMILY SEED COUNT

It needs reasoning-gym and nothing of this package. Some families follow the order of sets, others
draw from the global generators. The parent process sets PYTHONHASHSEED, and the generators are
seeded before every entry, so that the same entries come out each time. The last line is
{"error": ...} where something went wrong.
"""

import contextlib
import difflib
import importlib
import json
import random
import sys
from typing import Any, TextIO


def write_entries(family: str, seed: int, count: int, out: TextIO) -> None:
    """Writes the entries.

    Args:
      family: a dataset's name in reasoning-gym.
      seed: of the data set.
      count: the number of entries.
      out: the stream to write to.
    """
    gym = importlib.import_module("reasoning_gym")
    known = sorted(importlib.import_module("reasoning_gym.factory").DATASETS)
    if family not in known:
        near = ", ".join(difflib.get_close_matches(family, known, n=3, cutoff=0))
        _write_line(
            {"error": f"reasoning-gym has no family {family!r}; the nearest are {near}"}, out
        )
        return
    try:
        _seed_generators(seed)
        source = gym.create_dataset(family, seed=seed, size=count)
        for index in range(count):
            _seed_generators(seed + index)
            entry = source[index]
            metadata = {name: entry["metadata"].get(name) for name in ("numbers", "target")}
            _write_line({"question": entry["question"], "answer": entry["answer"], **metadata}, out)
    except Exception as error:  # whatever a family's own code raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _write_line({"error": f"reasoning_gym/{family} cannot be made ({reason})"}, out)


def _write_line(value: dict[str, Any], out: TextIO) -> None:
    print(json.dumps(value, default=str), file=out)


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    importlib.import_module("numpy").random.seed(seed % 2**32)


if __name__ == "__main__":
    assert sys.__stdout__ is not None
    # Families may print, which must not come between the entries.
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(BrokenPipeError):
        write_entries(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.__stdout__)
