"""A run's work directory: whose it is, and what of it a resumed run keeps."""

import fcntl
import os
import pathlib
import shutil
from typing import IO, Any

from papo_jax.config.default_settings import flatten_dotted
from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.telemetry import runfiles
from papo_jax.training.file_extents import GROWING_FILES
from papo_jax.training.resume_checks import check_is_directory, holds_something

# What may differ when a run is resumed: none of it changes a number that was logged.
RESUME_MUTABLE_KEYS = (
    "training.steps",
    "mesh.data",
    "mesh.fsdp",
    "mesh.tensor",
    "checkpoint.every",
    "evaluation.every",
    "diagnostics.every",
    "grading.max_errors",
)


def check_owner(workdir: pathlib.Path, config: dict[str, Any]) -> None:
    """Raises `InputError` if the directory belongs to a run of another config; reads only.

    Args:
      workdir: may not exist yet.
      config: the resolved settings of this run.
    """
    check_is_directory(workdir)
    path = workdir / "config.json"
    if not os.path.lexists(path):
        for name in ("checkpoints", *GROWING_FILES):
            if holds_something(workdir / name):
                raise InputError(
                    f"--workdir {workdir} has {name} and no config.json; choose another --workdir"
                )
        return
    saved = read_object(path, missing=f"{path} is a link to nothing; choose another --workdir")
    before, now = flatten_dotted(saved), flatten_dotted(config)
    _check_same_keys(workdir, before, now)
    different = [
        key
        for key in sorted(before.keys() | now.keys(), key=lambda key: (key != "method.name", key))
        if before.get(key) != now.get(key) and key not in RESUME_MUTABLE_KEYS
    ]
    if different:
        key = different[0]
        more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
        raise InputError(
            f"--workdir {workdir} holds a run with {key} = {before.get(key)!r}, not"
            f" {now.get(key)!r}{more}; give this run a --workdir of its own"
        )


def _check_same_keys(workdir: pathlib.Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises `InputError` if another version of papo_jax wrote the config of this method."""
    differing = sorted(before.keys() ^ now.keys())
    if differing and before.get("method.name") == now["method.name"]:
        has = "has" if differing[0] in before else "lacks"
        raise InputError(
            f"--workdir {workdir} holds a run of another version of papo_jax: its config.json {has}"
            f" {differing[0]}; resume it with that version, or give this run a --workdir of its own"
        )


def holds_run(workdir: pathlib.Path) -> bool:
    """Tells whether anything was trained there."""
    return holds_something(workdir / "checkpoints") or (workdir / "metrics.jsonl").exists()


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns the resolved settings of the run that a work directory holds.

    Raises:
      InputError: if it holds none.
    """
    path = workdir / "config.json"
    return read_object(path, missing=f"--workdir {workdir} holds no run: there is no {path}")


def check_space(workdir: pathlib.Path, size: int, *, checkpoints: int) -> None:
    """Raises `InputError` if the disk has no room for the checkpoints that are still to come.

    Args:
      workdir: may not exist yet.
      size: of a checkpoint, bytes.
      checkpoints: kept at a time.
    """
    present = sum(entry.name.isdigit() for entry in (workdir / "checkpoints").glob("*"))
    needed = size * max(1, checkpoints - present)
    place = workdir.absolute()
    existing = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(
            f"the disk of --workdir {workdir} has {free / 2**20:,.0f} MiB free and the"
            f" checkpoints need {needed / 2**20:,.0f} MiB; free some or choose another --workdir"
        )


def lock_directory(workdir: pathlib.Path) -> IO[str]:
    """Keeps other processes out of a directory while the returned file is open.

    A run that was asked to stop still finishes its step; started again at once, two would write the
    same files. The lock goes with the process, however that ends.

    Raises:
      InputError: if another process holds it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    file = open(workdir / ".lock", "a")  # noqa: SIM115  (stays open as long as the run)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(
            f"--workdir {workdir} is in use by another process; wait for it or choose another"
            " --workdir"
        ) from None
    return file


def claim_directory(
    workdir: pathlib.Path, config: dict[str, Any], provenance: dict[str, Any], *, step: int
) -> None:
    """Writes whose the directory is, and drops rows that a run resumed at `step` writes again."""
    workdir.mkdir(parents=True, exist_ok=True)
    # An evaluation at a step comes before it is trained on.
    for name in GROWING_FILES:
        evaluated_first = name == "evaluation_samples.jsonl"
        runfiles.keep_rows_before(workdir / name, step + evaluated_first)
    write_description(workdir, config, provenance)


def write_description(
    workdir: pathlib.Path, config: dict[str, Any], provenance: dict[str, Any]
) -> None:
    """Writes whose the directory is."""
    runfiles.write_json(workdir / "config.json", config)
    runfiles.write_json(workdir / "provenance.json", provenance)
