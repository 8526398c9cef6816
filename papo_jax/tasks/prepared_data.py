"""Prepared problems on disk: written once, checked on every use, made again where damaged.

The name of a directory holds a fingerprint of all that made its problems. It is written under a
temporary name and renamed when it is complete; a manifest lists the SHA-256 of every file, so that
a damaged one is noticed.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from papo_jax.errors import InputError
from papo_jax.tasks.builder import FORMAT, PreparedSplit, ProblemsBuilder
from papo_jax.tasks.problem import Problem, ProblemSplits

_MANIFEST = "manifest.json"
_TEMPORARY_PREFIX = ".preparing-"
_ABANDONED_AFTER = 24 * 3600  # seconds after which no living process still writes a directory


class PreparedData(NamedTuple):
    """The prepared problems of one part of a task.

    Attributes:
      splits: by name, read from disk as they are used.
      fingerprint: the SHA-256 of their contents.
      notes: what a reader of the figures should know, a line each.
    """

    splits: Mapping[str, Sequence[Problem]]
    fingerprint: str
    notes: tuple[str, ...]


def open_prepared(
    key: Mapping, make_problems: Callable[[], ProblemSplits], cache: Path
) -> PreparedData:
    """Opens the problems that `key` describes, after preparing them where no intact copy exists.

    Args:
      key: everything that decides the contents, as JSON; `key["task"]` also begins the directory's
        name.
      make_problems: makes the splits, none of them empty.
      cache: the directory that holds prepared problems.

    Returns:
      The `PreparedData`.

    Raises:
      InputError: if the cache cannot be written.
    """
    content = json.dumps({"format": FORMAT, **key}, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    directory = Path(cache) / f"{key['task'].replace('/', '-')}-{digest[:20]}"

    manifest = _read_intact_manifest(directory)
    if manifest is None:
        problems = make_problems()
        try:
            manifest = _prepare_directory(directory, problems)
        except OSError as error:
            raise InputError(
                f"the task cache {cache} cannot be written ({error}); "
                "point the environment variable XDG_CACHE_HOME to a directory with room"
            ) from error

    # Untyped, since a wrapper of tensorflow_datasets hides the parameters of `as_data_source`.
    builder: Any = tfds.builder_from_directory(directory / manifest["builder"])
    splits = {name: PreparedSplit(builder.as_data_source(name)) for name in builder.info.splits}
    return PreparedData(splits, manifest["fingerprint"], tuple(manifest["notes"]))


def fingerprint_contents(splits: Mapping[str, Sequence[Problem]]) -> str:
    """Returns the SHA-256 of every problem of every split, in order."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        for problem in splits[name]:
            digest.update(json.dumps([name, *problem]).encode() + b"\n")
    return digest.hexdigest()


def _read_intact_manifest(directory: Path) -> dict | None:
    """Reads the manifest of a directory; None unless all its files are there and unchanged."""
    try:
        manifest = json.loads((directory / _MANIFEST).read_text())
        intact = all(
            _digest_file(directory / name) == digest for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if intact else None


def _prepare_directory(directory: Path, problems: ProblemSplits) -> dict:
    """Writes problems and moves them to `directory`; returns the manifest that is then there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(directory.parent)
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=directory.parent))
    try:
        complete = temporary / "complete"
        builder = ProblemsBuilder(problems.splits, data_dir=complete)
        # tensorflow_datasets prints notes and progress bars even where nobody watches.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder.download_and_prepare(
                file_format="array_record",
                download_dir=temporary / "downloads",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )

        # The manifest is written last, over all the other files.
        manifest = {
            "builder": str(builder.data_path.relative_to(complete)),
            "fingerprint": fingerprint_contents(problems.splits),
            "notes": problems.notes,
            "files": {
                str(path.relative_to(complete)): _digest_file(path)
                for path in sorted(complete.rglob("*"))
                if path.is_file()
            },
        }
        (complete / _MANIFEST).write_text(json.dumps(manifest, indent=2))
        return _move_into_place(complete, directory, temporary / "replaced") or manifest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(complete: Path, directory: Path, replaced: Path) -> dict | None:
    """Renames `complete` to `directory`; returns the manifest of another process that was first."""
    try:
        os.replace(complete, directory)
    except OSError:  # something is there: an intact copy since a moment ago, or a damaged one
        other_manifest = _read_intact_manifest(directory)
        if other_manifest is not None:
            return other_manifest
        os.replace(directory, replaced)
        os.replace(complete, directory)
    return None


def _remove_abandoned(parent: Path) -> None:
    """Removes what killed preparations left behind long ago."""
    for path in parent.glob(f"{_TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(path, ignore_errors=True)


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
