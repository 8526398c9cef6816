"""Checkpoints with orbax: atomic, checked when read, the newest and the best kept."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from papo_jax.learner.state import TrainState
from papo_jax.training.checkpoints import checkpoint_arrays, checkpoint_folder
from papo_jax.training.checkpoints.checkpoint_candidates import (
    best_step,
    read_first_whole,
    warn_of_broken,
)
from papo_jax.training.checkpoints.checkpoint_record import (
    CheckpointRecord,
    DamagedCheckpointError,
    check_arrays,
    check_origin,
    describe_files,
    read_record,
    start_checksums,
    write_record,
)
from papo_jax.training.checkpoints.checkpoint_scores import CheckpointScores


class Restored(NamedTuple):
    """A state that was read, and the record that was saved with it."""

    state: TrainState
    record: CheckpointRecord


class Checkpoints:
    """The `checkpoints/` folder of a work directory, which no other process writes."""

    def __init__(
        self, directory: pathlib.Path, *, keep: int, origin: Mapping[str, str] | None = None
    ):
        """Opens the folder, making it if it is not there.

        Args:
          directory: absolute or relative.
          keep: the newest so many are kept, and the one with the best score.
          origin: name -> fingerprint of the data and weights that the run leans on. A checkpoint
            that leans on others is refused.
        """
        self._directory = directory.absolute()  # orbax needs it absolute
        self._keep = keep
        self._origin = dict(origin or {})
        self._scores = CheckpointScores(_scores_path(self._directory))
        self._records: dict[int, CheckpointRecord] = {}  # of those that are whole
        self._directory.mkdir(parents=True, exist_ok=True)
        checkpoint_folder.remove_leftovers(self._directory)

    @property
    def newest(self) -> int | None:
        """The step of the newest checkpoint that was restored or saved."""
        return max(self._records, default=None)

    def save(
        self,
        state: TrainState,
        score: float | None,
        *,
        files: Mapping[str, int] | None = None,
        evaluated: tuple[int, ...] = (),
    ) -> None:
        """Writes a state under its step and returns when it is on disk.

        Args:
          state: to be saved; nothing happens if its step is there already.
          score: what "best" means, higher is better; None for a state that does not compete.
          files: see `CheckpointRecord`.
          evaluated: see `CheckpointRecord`.

        Raises:
          OSError: if the disk is full; the checkpoints that were there stay.
        """
        step = int(state.step)
        if step in self._records:
            return
        with (
            checkpoint_folder.make_step(self._directory, step) as checkpoint,
            start_checksums(state) as finish_checksums,  # meanwhile
        ):
            checkpoint_arrays.write_state(checkpoint, state)
            sizes, small_files = describe_files(checkpoint)
            record = CheckpointRecord(
                checksums=finish_checksums(),
                sizes=sizes,
                small_files=small_files,
                score=score,
                origin=self._origin,
                files=files or {},
                evaluated=evaluated,
            )
            write_record(checkpoint, record)
        self._records[step] = record
        self._scores.add(step, score)
        self._remove_old()

    def restore(self, example: TrainState) -> Restored | None:
        """Reads the newest state that is whole.

        Args:
          example: shapes, dtypes and shardings to restore to.

        Returns:
          The state with its record, or None where there is none. A broken checkpoint is passed over
          with a warning and set aside.

        Raises:
          InputError: if there are checkpoints and none can be read, or if one leans on other data
            or weights, or may not be read.
        """

        def read(checkpoint: pathlib.Path, record: CheckpointRecord) -> TrainState:
            check_origin(record, self._origin, checkpoint)
            state = checkpoint_arrays.read_state(checkpoint, example)
            check_arrays(state, record)
            return state

        steps = checkpoint_folder.list_steps(self._directory)[::-1]
        found = read_first_whole(self._directory, steps, read)
        if found is None:
            return None
        step, state = found
        broken = [newer for newer in steps if newer > step]
        broken += self._open_records([older for older in steps if older <= step])
        for one in broken:
            checkpoint_folder.set_step_aside(self._directory, one)
        scores = {step: record.score for step, record in self._records.items()}
        self._scores.restart_at(step, scores)
        return Restored(state, self._records[step])

    def _open_records(self, steps: list[int]) -> list[int]:
        """Reads the records of the restored checkpoint and of older ones; returns broken ones."""
        broken = []
        for step in steps:
            try:
                self._records[step] = read_record(self._directory / str(step))
            except DamagedCheckpointError as error:
                warn_of_broken(step, error)
                broken.append(step)
            except PermissionError:
                continue  # whatever it is, it stays where it is
        return broken

    def _remove_old(self) -> None:
        """Removes all but the newest and the best; what this folder did not save stays."""
        kept = {*sorted(self._records)[-self._keep :], best_step(self._records)}
        for step in self._records.keys() - kept:
            checkpoint_folder.remove_step(self._directory, step)
            del self._records[step]


def _scores_path(directory: pathlib.Path) -> pathlib.Path:
    return directory.parent / "checkpoint_scores.json"
