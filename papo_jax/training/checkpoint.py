"""Checkpoints with orbax: atomic, the newest and the best kept, broken ones passed over."""

import contextlib
import errno
import logging
import os
import pathlib
import shutil
import warnings
from typing import cast

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from papo_jax.errors import InputError
from papo_jax.learner.state import TrainState
from papo_jax.training.checkpoint_scores import CheckpointScores


class Checkpoints:
    """The `checkpoints/` folder of a work directory; close it when done."""

    def __init__(self, directory: pathlib.Path, *, keep: int):
        """Opens the folder, making it if it is not there.

        Args:
          directory: absolute or relative; orbax needs it absolute.
          keep: the newest so many are kept, and the one with the best score.
        """
        self._directory = directory.resolve()
        self._scores = CheckpointScores(_scores_path(self._directory))
        # orbax's own `best_fn` with `max_to_keep` would throw away the newest checkpoint while the
        # score falls.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=managers.AnyPreservationPolicy(
                [managers.LatestN(keep), self._scores]
            ),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def save(self, state: TrainState, score: float) -> None:
        """Writes a state under its step and returns when it is on disk.

        Args:
          state: to be saved.
          score: what "best" means; higher is better.

        Raises:
          OSError: if the disk is full; the checkpoints that were there stay.
        """
        step = int(state.step)
        if step not in self._manager.all_steps():
            with _full_disk_as_oserror(self._directory):
                self._scores.add(step, score)
                self._manager.save(step, args=ocp.args.StandardSave(state))
                self._manager.wait_until_finished()

    def restore(self, example: TrainState) -> TrainState | None:
        """Reads the newest state that is whole.

        Args:
          example: shapes, dtypes and shardings to restore to.

        Returns:
          The state, or None where there is none. A checkpoint that cannot be read is passed over
          with a warning and set aside.

        Raises:
          InputError: if there are checkpoints and none can be read.
        """
        broken = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                wanted = ocp.args.StandardRestore(example)
                state = cast(TrainState, self._manager.restore(step, args=wanted))
            except Exception as error:  # orbax and tensorstore raise many kinds for a damaged file
                broken.append(step)
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                warnings.warn(
                    f"checkpoint {step} cannot be read and is passed over: {reason}", stacklevel=2
                )
                continue
            self._set_aside(broken)
            return state
        if broken:
            raise InputError(
                f"none of the checkpoints {broken} in {self._directory} can be read; nothing was"
                " changed:"
                " restore one from a copy, or choose another --workdir"
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        """Moves broken checkpoints elsewhere, since their steps will be written again."""
        for step in steps:
            place = self._directory.parent / "broken_checkpoints"
            place.mkdir(exist_ok=True)
            shutil.move(self._directory / str(step), place / f"{step}-{len(list(place.iterdir()))}")
        if steps:
            self._manager.reload()

    def close(self) -> None:
        """Closes the folder."""
        self._manager.close()


def newest_step(directory: pathlib.Path) -> int | None:
    """Returns the step of the newest checkpoint, or None; reads only."""
    if not directory.is_dir():
        return None
    with _open_read_only(directory) as manager:
        return manager.latest_step()


def best_step(directory: pathlib.Path) -> int | None:
    """Returns the step of the checkpoint with the best score, or None; reads only."""
    if not directory.is_dir():
        return None
    with _open_read_only(directory) as manager:
        return CheckpointScores(_scores_path(directory)).best(manager.all_steps())


def read_params(directory: pathlib.Path, step: int, example):
    """Reads the parameters of a checkpoint and nothing else of it.

    Args:
      directory: `checkpoints/` of a work directory.
      step: of a checkpoint in it.
      example: the parameters, or their shapes.

    Returns:
      The parameters, spread as the example is; on the default device where it says nothing.

    Raises:
      InputError: if they cannot be read or have other shapes.
    """
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def place(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or default)

    wanted = {"params": jax.tree.map(place, example)}
    restore = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
        partial_restore=True,
    )
    try:
        with _open_read_only(directory) as manager:
            return manager.restore(step, args=restore)["params"]
    except Exception as error:  # orbax and tensorstore raise many kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"checkpoint {step} in {directory} cannot be read: {reason}") from None


def _scores_path(directory: pathlib.Path) -> pathlib.Path:
    return directory.parent / "checkpoint_scores.json"


@contextlib.contextmanager
def _open_read_only(directory: pathlib.Path):
    """Opens a manager that changes nothing on disk."""
    with _quiet_logging(logging.ERROR):  # it warns of each consequence of being asked to read only
        manager = ocp.CheckpointManager(
            directory.resolve(), options=ocp.CheckpointManagerOptions(read_only=True)
        )
        try:
            yield manager
        finally:
            manager.close()


@contextlib.contextmanager
def _quiet_logging(level: int):
    """Lets through what orbax and tensorstore log at a level and above."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _full_disk_as_oserror(directory: pathlib.Path):
    """Turns tensorstore's ValueError about a full disk into an `OSError`, without tracebacks."""
    try:
        with _quiet_logging(logging.CRITICAL):
            yield
    except Exception as error:
        full = os.strerror(errno.ENOSPC)
        if full not in str(error):
            raise
        raise OSError(errno.ENOSPC, full, str(directory)) from None


def abstract_state(state: TrainState, shardings) -> TrainState:
    """Returns shapes, dtypes and shardings of a state, as `restore` wants them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings,
    )
