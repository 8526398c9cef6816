"""Scores of checkpoints, kept on file so that a resumed run remembers its best.

In a file of its own, for orbax cannot open a folder in which one of its own files of metrics is
damaged.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "scores.json"
>>> scores = CheckpointScores(path)
>>> scores.add(1, 0.9)
>>> scores.add(2, 0.7)
>>> scores.add(4, 0.9)
>>> again = CheckpointScores(path)
>>> again.best([1, 2, 3]), again.best([3]), again.best([1, 4])
(1, None, 4)
"""

import json
import pathlib
from collections.abc import Iterable

from papo_jax.telemetry import runfiles


class CheckpointScores:
    """Scores by step; also orbax's policy to keep the best."""

    def __init__(self, path: pathlib.Path):
        """Reads what is on file; a file that is missing or damaged holds nothing."""
        self._path = path
        try:
            self._scores = {
                int(step): float(score) for step, score in json.loads(path.read_bytes()).items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            self._scores = {}

    def add(self, step: int, score: float) -> None:
        """Puts a score on file before its checkpoint is written."""
        self._scores[step] = score
        runfiles.write_json(
            self._path, {str(step): score for step, score in sorted(self._scores.items())}
        )

    def best(self, steps: Iterable[int]) -> int | None:
        """Returns the step that scored highest, the latest of equal ones; None without a score."""
        known = [step for step in steps if step in self._scores]
        return max(known, key=lambda step: (self._scores[step], step), default=None)

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        """Keeps the best, as orbax's `PreservationPolicy` asks for it."""
        del context
        best = self.best(checkpoint.step for checkpoint in checkpoints)
        return [checkpoint.step == best for checkpoint in checkpoints]
