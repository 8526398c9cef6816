"""Journal of the checkpoints that a run saved, `checkpoint_scores.json`: step -> score.

It is for people, and for a run that looks for checkpoints which are no longer there. What "best"
is comes from the checkpoints themselves, so a damaged journal costs nothing.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "checkpoint_scores.json"
>>> scores = CheckpointScores(path)
>>> scores.add(20, 0.5)
>>> scores.add(33, None)
>>> read_saved_steps(path)
[20, 33]
"""

import json
import pathlib
from collections.abc import Mapping

from papo_jax.telemetry import runfiles


class CheckpointScores:
    """The journal, which grows with every checkpoint."""

    def __init__(self, path: pathlib.Path):
        """Reads what is on file; a file that is missing or damaged holds nothing."""
        self._path = path
        self._scores = _read_scores(path)

    def add(self, step: int, score: float | None) -> None:
        """Puts a checkpoint on file that is on disk already."""
        self._scores[step] = score
        self._write()

    def restart_at(self, step: int, scores: Mapping[int, float | None]) -> None:
        """Takes in what the checkpoints themselves say, and drops the steps that come again."""
        earlier = {saved: score for saved, score in self._scores.items() if saved <= step}
        if (merged := earlier | dict(scores)) != self._scores:
            self._scores = merged
            self._write()

    def _write(self) -> None:
        runfiles.write_json(
            self._path, {str(step): score for step, score in sorted(self._scores.items())}
        )


def read_saved_steps(path: pathlib.Path) -> list[int]:
    """Returns the steps of a journal, in ascending order; none if it is missing or damaged."""
    return sorted(_read_scores(path))


def _read_scores(path: pathlib.Path) -> dict[int, float | None]:
    try:
        return {
            int(step): None if score is None else float(score)
            for step, score in json.loads(path.read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}
