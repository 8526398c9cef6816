"""Checks of a work directory before a run goes on in it: is it one, and is nothing lost?

They read names and rows alone, and write nothing.
"""

import os
import pathlib
import stat
import warnings

from papo_jax.errors import InputError
from papo_jax.json_files import look_up, read_object, whole_number
from papo_jax.telemetry import runfiles
from papo_jax.training.checkpoints import checkpoint_folder
from papo_jax.training.checkpoints.checkpoint_scores import read_saved_steps
from papo_jax.training.file_extents import GROWING_FILES


def check_is_directory(workdir: pathlib.Path) -> None:
    """Raises `InputError` if a work directory is there and is none, or cannot be one."""
    try:
        kind = workdir.stat().st_mode
    except FileNotFoundError:
        if workdir.is_symlink():
            raise InputError(
                f"--workdir {workdir} is a link to nothing; choose another --workdir"
            ) from None
        return
    except NotADirectoryError:
        raise InputError(f"--workdir {workdir}: a part of it is a file") from None
    except OSError as error:  # too long a name, a loop of links, no permission
        raise InputError(f"--workdir {workdir} cannot be read: {error.strerror}") from None
    if not stat.S_ISDIR(kind):
        raise InputError(f"--workdir {workdir} is a file; it must be a directory")


def check_rows(workdir: pathlib.Path) -> None:
    """Raises `InputError` if a file of rows is damaged otherwise than by a kill."""
    for name in GROWING_FILES:
        try:
            runfiles.read_rows(workdir / name)
        except ValueError as error:
            raise InputError(str(error)) from None
        except OSError as error:
            raise InputError(f"{workdir / name} cannot be read: {error.strerror}") from None


def check_checkpoints(workdir: pathlib.Path) -> None:
    """Raises `InputError` if checkpoints are gone without which a run would begin anew.

    It would drop the rows of all its steps. A run that was killed before its first checkpoint also
    has rows and no checkpoint, but not more than two turns of the schedule.
    """
    folder = workdir / "checkpoints"
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is no directory; put the run's checkpoints back there")
    steps = checkpoint_folder.list_steps(folder)
    saved = read_saved_steps(workdir / "checkpoint_scores.json")
    rows = [
        step
        for row in runfiles.scan_rows(workdir / "metrics.jsonl").rows
        if (step := whole_number(row.get("step"))) is not None
    ]
    every = _read_schedule(workdir)
    if not steps and (saved or (rows and every and max(rows) >= 2 * every)):
        raise InputError(
            f"--workdir {workdir} holds a run of {len(rows)} step(s) whose checkpoints are gone;"
            " put one back into checkpoints/, or choose another --workdir to begin anew"
        )
    if saved and steps and saved[-1] > steps[-1]:
        warnings.warn(
            f"--workdir {workdir}: checkpoint {saved[-1]} is gone; the run goes on from an older"
            " one, and the rows of later steps are made again",
            stacklevel=2,
        )


def holds_something(path: pathlib.Path) -> bool:
    """Tells whether a folder has entries, or a file has content."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_file() and path.stat().st_size > 0


def _read_schedule(workdir: pathlib.Path) -> int | None:
    """Returns `checkpoint.every` of the run that a directory holds, if it says so."""
    path = workdir / "config.json"
    saved = read_object(path, missing="") if path.exists() else {}
    return whole_number(look_up(saved, "checkpoint", "every"), least=1)
