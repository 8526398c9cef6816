"""Folder of checkpoints: one folder a step, each judged by itself.

Nothing is read but names here, so whatever else lies in the folder changes nothing, and one damaged
checkpoint tells nothing about another.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

_STEP = re.compile("0|[1-9][0-9]{0,17}")
_SAVING, _REMOVED = ".saving", ".removed"  # what a kill in the middle of either leaves behind


def list_steps(directory: pathlib.Path) -> list[int]:
    """Returns the steps that have an entry in the folder, whole or not, in ascending order."""
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(name) for name in names if _STEP.fullmatch(name))


def check_readable(checkpoint: pathlib.Path) -> None:
    """Raises `PermissionError` for the first file of a checkpoint that may not be read.

    Such a checkpoint is not damaged, so it is not to be passed over.
    """

    def forward_denial(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    for folder, _, names in os.walk(checkpoint, onerror=forward_denial):
        for path in (os.path.join(folder, name) for name in names):
            if os.path.exists(path) and not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def remove_leftovers(directory: pathlib.Path) -> None:
    """Removes what killed runs left unfinished; no other process may be writing there."""
    for suffix in (_SAVING, _REMOVED):
        for entry in directory.glob(f"*{suffix}"):
            _remove_entry(entry)


@contextlib.contextmanager
def make_step(directory: pathlib.Path, step: int) -> Iterator[pathlib.Path]:
    """Makes a checkpoint's folder, which has its name when the body of `with` has filled it.

    Args:
      directory: the folder of checkpoints.
      step: of the checkpoint, which must not be there.

    Yields:
      The folder under another name, empty.
    """
    unfinished = directory / f"{step}{_SAVING}"
    unfinished.mkdir()
    yield unfinished
    unfinished.rename(directory / str(step))
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the new name is on disk too
    finally:
        os.close(descriptor)


def remove_step(directory: pathlib.Path, step: int) -> None:
    """Removes a checkpoint, by its name first: a kill leaves no half of one under its step."""
    trash = directory / f"{step}{_REMOVED}"
    (directory / str(step)).rename(trash)
    _remove_entry(trash)


def set_step_aside(directory: pathlib.Path, step: int) -> pathlib.Path:
    """Moves a broken checkpoint to broken_checkpoints/, since its step will be written again."""
    place = directory.parent / "broken_checkpoints"
    place.mkdir(exist_ok=True)
    names = (place / f"{step}-{number}" for number in range(len(list(place.iterdir())) + 1))
    target = next(name for name in names if not name.is_symlink() and not name.exists())
    shutil.move(directory / str(step), target)
    return target


def _remove_entry(entry: pathlib.Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
