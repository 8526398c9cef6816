"""Entries of a reasoning-gym family as JSON lines, from a process of their own.

    python -m papo_jax.tasks.sources.gym_entries FAMILY SEED COUNT

Some families follow the order of sets, others draw from the global generators. Whoever starts this
process sets PYTHONHASHSEED, and the generators are seeded before every entry, so that the same
entries come out each time. The last line is {"error": ...} where something went wrong.
"""

import contextlib
import difflib
import importlib
import json
import random
import sys
from typing import TextIO


def main(family: str, seed: int, count: int, out: TextIO) -> None:
    """Writes the entries.

    Args:
      family: a data set's name in reasoning-gym.
      seed: of the data set.
      count: how many entries.
      out: where they go.
    """
    gym = importlib.import_module("reasoning_gym")
    known = sorted(importlib.import_module("reasoning_gym.factory").DATASETS)
    if family not in known:
        near = difflib.get_close_matches(family, known, n=3, cutoff=0)
        print(
            json.dumps(
                {
                    "error": f"reasoning-gym has no family {family!r}; the nearest are {', '.join(near)}"
                }
            ),
            file=out,
        )
        return
    try:
        _seed(seed)
        source = gym.create_dataset(family, seed=seed, size=count)
        for index in range(count):
            _seed(seed + index)
            entry = source[index]
            metadata = {name: entry["metadata"].get(name) for name in ("numbers", "target")}
            print(
                json.dumps(
                    {"question": entry["question"], "answer": entry["answer"], **metadata},
                    default=str,
                ),
                file=out,
            )
    except Exception as error:  # whatever a family's own code raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(json.dumps({"error": f"reasoning_gym/{family} cannot be made ({reason})"}), file=out)


def _seed(seed: int) -> None:
    random.seed(seed)
    importlib.import_module("numpy").random.seed(seed % 2**32)


if __name__ == "__main__":
    with (
        contextlib.redirect_stdout(sys.stderr),
        contextlib.suppress(BrokenPipeError),
    ):  # families may print
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.__stdout__)
