"""Problems served by TensorFlow Datasets, from array-record files, without TensorFlow.

A data set is prepared once, into a directory whose name holds a fingerprint of all that made it. It
is written beside its place and moved there whole; a manifest lists the SHA-256 of every file, so
that a damaged one is made again.
"""

import contextlib
import hashlib
import io
import json
import operator
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from papo_jax.errors import InputError
from papo_jax.tasks.problem import Made, Problem

FORMAT = 2  # of the prepared files; a new number leaves the old directories alone
_MANIFEST = "manifest.json"
_TEXTS = Problem._fields[1:]  # all but the identifier
_BLOCK = 1024  # rows read at once; one by one is five times slower
_PREPARING = ".preparing-"
_ABANDONED = 24 * 3600  # seconds after which a half-made directory has no living maker


class Served(NamedTuple):
    """A prepared data set: its splits by name, the SHA-256 of their contents, and notes on them."""

    splits: dict[str, Sequence[Problem]]
    fingerprint: str
    notes: tuple[str, ...]


class Rows(Sequence):
    """One split, read from disk row by row; `rows[i].identifier == i`."""

    def __init__(self, source: Sequence[Mapping]):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self._read(range(*index.indices(len(self)))))
        return next(self._read([range(len(self))[operator.index(index)]]))

    def __iter__(self) -> Iterator[Problem]:
        return self._read(range(len(self)))

    def _read(self, identifiers: Sequence[int]) -> Iterator[Problem]:
        for start in range(0, len(identifiers), _BLOCK):
            block = list(identifiers[start : start + _BLOCK])
            for wanted, row in zip(block, self._source.__getitems__(block), strict=True):
                if (
                    row["identifier"] != wanted
                ):  # an unshuffled split keeps its order, says tensorflow_datasets
                    raise RuntimeError(
                        f"row {wanted} of a prepared data set holds problem {row['identifier']}"
                    )
                yield Problem(wanted, *(row[name].decode() for name in _TEXTS))


class LocalInfo(tfds.core.DatasetInfo):
    """The description of a data set that no bucket elsewhere knows of."""

    def initialize_from_bucket(self) -> None:
        """Looks nothing up: nothing here may touch the network."""


class ProblemsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes splits of problems in the order of their identifiers."""

    VERSION = tfds.core.Version(f"{FORMAT}.0.0")
    code_path = None  # else 4.9.10 looks for a list of downloads here, through a package that it does not require

    def __init__(self, splits: Mapping[str, Sequence[Problem]], **settings):
        self._splits = splits
        super().__init__(**settings)

    def _info(self) -> tfds.core.DatasetInfo:
        texts = {name: tfds.features.Text() for name in _TEXTS}
        features = tfds.features.FeaturesDict({"identifier": np.int64, **texts})
        return LocalInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is ever fetched
        return {name: self._generate_examples(problems) for name, problems in self._splits.items()}

    def _generate_examples(self, problems):
        for problem in problems:
            yield problem.identifier, problem._asdict()


def serve(key: Mapping, make: Callable[[], Made], cache: Path) -> Served:
    """Opens the data set that `key` describes, after preparing it where there is no whole one.

    Args:
      key: everything that decides the contents, as JSON; `key["task"]` also begins the directory's
        name.
      make: makes the splits, none of them empty.
      cache: the directory that holds prepared data sets.

    Returns:
      The splits, read from disk as they are used, the fingerprint of their contents, and the
      maker's notes.

    Raises:
      InputError: if the cache cannot be written.
    """
    digest = hashlib.sha256(
        json.dumps({"format": FORMAT, **key}, sort_keys=True).encode()
    ).hexdigest()
    directory = Path(cache) / f"{key['task'].replace('/', '-')}-{digest[:20]}"
    manifest = _whole(directory)
    if manifest is None:
        made = make()
        try:
            manifest = _prepare(directory, made)
        except OSError as error:
            raise InputError(
                f"the task cache {cache} cannot be written ({error}); "
                "point the environment variable XDG_CACHE_HOME to a directory with room"
            ) from error
    builder = tfds.builder_from_directory(directory / manifest["builder"])
    splits = {name: Rows(builder.as_data_source(name)) for name in builder.info.splits}
    return Served(splits, manifest["fingerprint"], tuple(manifest["notes"]))


def content_fingerprint(splits: Mapping[str, Sequence[Problem]]) -> str:
    """Returns the SHA-256 of every problem of every split, in order."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        for problem in splits[name]:
            digest.update(json.dumps([name, *problem]).encode() + b"\n")
    return digest.hexdigest()


def _whole(directory: Path) -> dict | None:
    """The manifest of a data set whose files are all there and unchanged, else None."""
    try:
        manifest = json.loads((directory / _MANIFEST).read_text())
        whole = all(
            _sha256(directory / name) == digest for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def _prepare(directory: Path, problems: Made) -> dict:
    """Writes a data set beside its place, then moves it there; returns the manifest of what then
    stands there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    _sweep(directory.parent)
    work = Path(tempfile.mkdtemp(prefix=_PREPARING, dir=directory.parent))
    try:
        made = work / "made"
        builder = ProblemsBuilder(problems.splits, data_dir=made)
        # tensorflow_datasets prints notes and progress bars whether or not anyone watches.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder.download_and_prepare(
                file_format="array_record",
                download_dir=work / "downloads",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        files = {
            str(path.relative_to(made)): _sha256(path)
            for path in sorted(made.rglob("*"))
            if path.is_file()
        }
        place = str(builder.data_path.relative_to(made))
        manifest = {
            "builder": place,
            "fingerprint": content_fingerprint(problems.splits),
            "notes": problems.notes,
            "files": files,
        }
        (made / _MANIFEST).write_text(json.dumps(manifest, indent=2))
        return _move(made, directory, work / "replaced") or manifest
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move(made: Path, directory: Path, replaced: Path) -> dict | None:
    """Puts `made` in its place unless another process was first; then returns that one's
    manifest."""
    try:
        os.replace(made, directory)
    except OSError:  # something stands there: a whole data set since a moment ago, or a damaged one
        other = _whole(directory)
        if other is not None:
            return other
        os.replace(directory, replaced)
        os.replace(made, directory)
    return None


def _sweep(parent: Path) -> None:
    """Removes what killed preparations left behind long ago."""
    for path in parent.glob(f"{_PREPARING}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
