"""Arrays of one checkpoint on disk, written and read by orbax."""

import contextlib
import errno
import gc
import logging
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, cast

import jax
import orbax.checkpoint as ocp

from papo_jax.learner.state import TrainState
from papo_jax.training.checkpoints.checkpoint_record import DamagedCheckpointError

STATE = "state"  # the folder of the arrays inside a checkpoint's


def write_state(checkpoint: pathlib.Path, state: TrainState) -> None:
    """Writes a state, and returns when it is on disk.

    Args:
      checkpoint: the folder, absolute, in which a folder of arrays is made.
      state: to be saved.

    Raises:
      OSError: if the disk is full.
    """
    with _full_disk_as_oserror(checkpoint.parent):
        ocp.Checkpointer(ocp.StandardCheckpointHandler()).save(
            checkpoint / STATE, args=ocp.args.StandardSave(state)
        )


def read_state(checkpoint: pathlib.Path, example: TrainState) -> TrainState:
    """Reads a state.

    Args:
      checkpoint: the folder, absolute.
      example: shapes, dtypes and shardings to restore to.

    Raises:
      DamagedCheckpointError: if it cannot be read so.
    """
    args = ocp.args.StandardRestore(example)
    return cast(TrainState, _restore(ocp.StandardCheckpointHandler(), checkpoint, args))


def read_params(checkpoint: pathlib.Path, example: Any) -> Any:
    """Reads the parameters of a state alone.

    Args:
      checkpoint: the folder, absolute.
      example: the parameters, or their shapes; where it has no sharding the default device is used.

    Raises:
      DamagedCheckpointError: if they cannot be read so.
    """
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def place(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or default)

    wanted = {"params": jax.tree.map(place, example)}
    args = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
        partial_restore=True,
    )
    return _restore(ocp.PyTreeCheckpointHandler(), checkpoint, args)["params"]


def abstract_state(state: TrainState, shardings) -> TrainState:
    """Returns shapes, dtypes and shardings of a state, as `restore` wants them."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings,
    )


def _restore(handler: ocp.CheckpointHandler, checkpoint: pathlib.Path, args: Any) -> Any:
    """Reads with one of orbax's handlers, which raise many kinds of errors for a damaged file."""
    with _quiet_logging(logging.CRITICAL), _quiet_tasks():
        try:
            return ocp.Checkpointer(handler).restore(checkpoint / STATE, args=args)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        gc.collect()  # the error held the tasks
        time.sleep(0.2)  # and threads that are still reading have their own failures to report
    raise DamagedCheckpointError(reason)


@contextlib.contextmanager
def _quiet_tasks() -> Iterator[None]:
    """Keeps quiet what orbax's tasks have to say that it leaves behind when one of them fails.

    They end when they are collected as garbage, each with a traceback about the one failure that is
    reported anyway.
    """
    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    try:
        with warnings.catch_warnings(), _quiet_logging(logging.CRITICAL, "asyncio"):
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def _quiet_logging(level: int, name: str = "absl") -> Iterator[None]:
    """Lets through what orbax and tensorstore log at a level and above."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _full_disk_as_oserror(directory: pathlib.Path) -> Iterator[None]:
    """Turns tensorstore's ValueError about a full disk into an `OSError`, without tracebacks."""
    try:
        with _quiet_logging(logging.CRITICAL), _quiet_tasks():
            yield
    except Exception as error:
        full = os.strerror(errno.ENOSPC)
        if full not in str(error):
            raise
        raise OSError(errno.ENOSPC, full, str(directory)) from None
