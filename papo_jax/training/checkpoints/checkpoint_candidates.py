"""Readers of checkpoints: what is broken is passed over, and the next one is taken.

They only read, so they may be called while a run is training.
"""

import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from papo_jax.errors import InputError
from papo_jax.training.checkpoints import checkpoint_arrays, checkpoint_folder
from papo_jax.training.checkpoints.checkpoint_record import (
    CheckpointRecord,
    DamagedCheckpointError,
    check_arrays,
    check_files,
    check_origin,
    read_record,
)

Content = TypeVar("Content")


def list_newest_first(directory: pathlib.Path) -> list[int]:
    """Returns the steps of a folder's checkpoints from the newest on, broken ones too."""
    return checkpoint_folder.list_steps(directory)[::-1]


def list_best_first(directory: pathlib.Path) -> list[int]:
    """Returns the steps of the checkpoints that compete for the best, from the best on."""
    records = {}
    for step in checkpoint_folder.list_steps(directory):
        try:
            records[step] = read_record(directory / str(step))
        except (DamagedCheckpointError, PermissionError):
            continue  # without a score it is no candidate
    ordered = []
    while (best := best_step(records)) is not None:
        ordered.append(best)
        del records[best]
    return ordered


def read_params(
    directory: pathlib.Path,
    steps: list[int],
    example: Any,
    *,
    origin: Mapping[str, str] | None = None,
) -> tuple[int, Any] | None:
    """Reads the parameters of the first checkpoint that is whole, and nothing else of it.

    Args:
      directory: `checkpoints/` of a work directory.
      steps: candidates, the one that is wanted most first.
      example: the parameters, or their shapes.
      origin: name -> fingerprint of what the parameters are to be used with.

    Returns:
      (step, the parameters, spread as the example is; on the default device where it says nothing).
      None without candidates. A broken checkpoint is passed over with a warning.

    Raises:
      InputError: if there are candidates and none can be read, or if one leans on other data or
        weights, or may not be read.
    """

    def read(checkpoint: pathlib.Path, record: CheckpointRecord) -> Any:
        check_origin(record, origin or {}, checkpoint)
        params = checkpoint_arrays.read_params(checkpoint, example)
        check_arrays(params, record, ".params")
        return params

    return read_first_whole(directory.absolute(), steps, read)


def read_first_whole(
    directory: pathlib.Path,
    steps: list[int],
    read: Callable[[pathlib.Path, CheckpointRecord], Content],
) -> tuple[int, Content] | None:
    """Returns (step, what `read` returns) of the first whole checkpoint, None without any."""
    broken = []
    for step in steps:
        checkpoint = directory / str(step)
        try:
            checkpoint_folder.check_readable(checkpoint)
            record = read_record(checkpoint)
            check_files(checkpoint, record)
            return step, read(checkpoint, record)
        except InputError:
            raise
        except PermissionError as error:
            raise InputError(
                f"checkpoint {step} may not be read ({error.filename}: {error.strerror}); change"
                " its permissions, or move it away"
            ) from None
        except Exception as error:  # orbax and tensorstore raise many kinds for a damaged file
            if not checkpoint.is_symlink() and not checkpoint.exists():
                continue  # a run that is training has dropped it meanwhile
            broken.append(step)
            warn_of_broken(step, error)
    if broken:
        raise InputError(
            f"none of the checkpoints {broken} in {directory} can be read; nothing was changed:"
            " restore one from a copy, or choose another --workdir"
        )
    return None


def warn_of_broken(step: int, error: Exception) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    warnings.warn(f"checkpoint {step} is broken and is passed over: {reason}", stacklevel=3)


def best_step(records: Mapping[int, CheckpointRecord]) -> int | None:
    """Returns the step that scored highest, the latest of equal ones; None without a score."""
    scores = {step: record.score for step, record in records.items() if record.score is not None}
    return max(scores, key=lambda step: (scores[step], step), default=None)
