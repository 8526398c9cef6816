"""Record of a checkpoint: the checksums of its arrays, and what else a resumed run must find again.

It is written when the arrays are on disk, so a checkpoint that has a whole record is complete.
Disks, copies and compression libraries return damaged bytes without a word; checksums find them,
worked out beside the writing. An array's is the CRC-32 of the sums, modulo 2^64, of its blocks of
64 KiB, and of the rest of its bytes. A sum reads memory at full speed, which a CRC of everything
does not; it changes with every flipped bit and every changed word, and for other damage of a block
it stays the same once in 2^64. A cryptographic hash, which a forger could not fool, would take many
times as long.
"""

import concurrent.futures
import contextlib
import json
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from papo_jax.errors import InputError
from papo_jax.json_files import look_up
from papo_jax.telemetry import runfiles

RECORD = "record.json"  # in a checkpoint's folder
_SMALL = 2**20  # bytes; files that describe arrays are smaller, but for those of many arrays
_BLOCK = 2**16  # bytes
_ENTRIES_AT_ONCE = 2**26  # on the host, of an array


class DamagedCheckpointError(ValueError):
    """A checkpoint does not hold what was saved."""


class CheckpointRecord(NamedTuple):
    """A checkpoint's description of itself and of its run.

    Attributes:
      checksums: path of an array in the training state -> checksum of its shape, dtype and bytes.
      sizes: path of a file in the checkpoint's folder -> its size, bytes.
      small_files: path of a file of at most a MiB -> its CRC-32. Such files describe arrays, and
        are checked before a library believes them.
      score: what "best" means, higher is better; None for a checkpoint that does not compete.
      origin: name -> fingerprint of the data and the base weights that the run leans on.
      files: name of a file that grows with the run -> its size when this was saved, bytes.
      evaluated: the steps that had an evaluation by then.
    """

    checksums: dict[str, str]
    sizes: Mapping[str, int] = {}
    small_files: Mapping[str, str] = {}
    score: float | None = None
    origin: Mapping[str, str] = {}
    files: Mapping[str, int] = {}
    evaluated: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the record and its own checksum, as plain values."""
        content = {
            "checksums": self.checksums,
            "sizes": dict(self.sizes),
            "small_files": dict(self.small_files),
            "score": self.score,
            "origin": dict(self.origin),
            "files": dict(self.files),
            "evaluated": list(self.evaluated),
        }
        return {"content": content, "crc32": _checksum_json(content)}


def write_record(checkpoint: pathlib.Path, record: CheckpointRecord) -> None:
    """Writes the record into a checkpoint's folder."""
    runfiles.write_json(checkpoint / RECORD, record.to_json())


def read_record(checkpoint: pathlib.Path) -> CheckpointRecord:
    """Reads the record of a checkpoint's folder.

    Raises:
      DamagedCheckpointError: if there is none, or it is not what was written.
      PermissionError: if it may not be read.
    """
    path = checkpoint / RECORD
    try:
        document = json.loads(path.read_bytes())
    except PermissionError:
        raise
    except FileNotFoundError:
        raise DamagedCheckpointError(
            f"{RECORD} is missing: another version wrote the checkpoint, or it is damaged"
        ) from None
    except OSError as error:
        raise DamagedCheckpointError(f"{RECORD} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DamagedCheckpointError(f"{RECORD} is damaged") from None
    content = look_up(document, "content")
    if not isinstance(content, dict) or look_up(document, "crc32") != _checksum_json(content):
        raise DamagedCheckpointError(f"{RECORD} is damaged")
    try:
        return CheckpointRecord(**{**content, "evaluated": tuple(content["evaluated"])})
    except (KeyError, TypeError):
        raise DamagedCheckpointError(f"{RECORD} is of another version") from None


def checksum_arrays(tree: Any, prefix: str = "") -> dict[str, str]:
    """Returns the checksum of every array of a tree.

    Args:
      tree: of JAX or NumPy arrays.
      prefix: of the paths, for a tree that is a part of a training state.

    Returns:
      Path -> checksum of shape, dtype and bytes, eight hexadecimal digits.

    >>> checksum_arrays({"w": np.zeros(2, np.float32)}, ".params")
    {".params['w']": '41750abc'}
    """
    with start_checksums(tree, prefix) as finish:
        return finish()


@contextlib.contextmanager
def start_checksums(tree: Any, prefix: str = "") -> Iterator[Callable[[], dict[str, str]]]:
    """Computes checksums in a thread while the body of `with` does something else.

    Args:
      tree: as for `checksum_arrays`; its arrays must live as long as the body.
      prefix: as for `checksum_arrays`.

    Yields:
      A function that waits and returns what `checksum_arrays` does.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        checksums = {
            prefix + jax.tree_util.keystr(path): thread.submit(_checksum_array, leaf)
            for path, leaf in leaves
        }
        yield lambda: {path: checksum.result() for path, checksum in checksums.items()}


def describe_files(checkpoint: pathlib.Path) -> tuple[dict[str, int], dict[str, str]]:
    """Returns the sizes of a checkpoint's files and the checksums of the small ones.

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a").write_bytes(b"123456789")
    >>> describe_files(folder)
    ({'a': 9}, {'a': 'cbf43926'})
    """
    found = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    files = {str(path.relative_to(checkpoint)): path for path in found if path.name != RECORD}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    small = {
        name: f"{zlib.crc32(path.read_bytes()):08x}"
        for name, path in files.items()
        if sizes[name] <= _SMALL
    }
    return sizes, small


def check_files(checkpoint: pathlib.Path, record: CheckpointRecord) -> None:
    """Raises `DamagedCheckpointError` if a file is missing, of another size, or small and changed.

    What this finds no library has to stumble over.
    """
    sizes, small = describe_files(checkpoint)
    for name, size in record.sizes.items():
        if name not in sizes:
            raise DamagedCheckpointError(f"the file {name} is missing")
        if sizes[name] != size or small.get(name) != record.small_files.get(name):
            raise DamagedCheckpointError(f"the file {name} is not what was saved")


def check_arrays(tree: Any, record: CheckpointRecord, prefix: str = "") -> None:
    """Raises `DamagedCheckpointError` if arrays that were read are not those that were saved."""
    for path, checksum in checksum_arrays(tree, prefix).items():
        if record.checksums.get(path) != checksum:
            raise DamagedCheckpointError(f"the array {path} is not what was saved")


def check_origin(
    record: CheckpointRecord, origin: Mapping[str, str], checkpoint: pathlib.Path
) -> None:
    """Raises `InputError` if a checkpoint leans on anything else than what is at hand.

    Args:
      record: of the checkpoint.
      origin: name -> fingerprint of those at hand.
      checkpoint: its folder, for the message.
    """
    different = [name for name in sorted(origin) if origin[name] != record.origin.get(name)]
    if different and different[0] not in record.origin:
        raise InputError(
            f"checkpoint {checkpoint} does not say which {different[0]} its run began with: another"
            " version of papo_jax wrote it; resume it with that version, or choose another"
            " --workdir"
        )
    if different:
        raise InputError(
            f"checkpoint {checkpoint} belongs to a run whose {different[0]} differed; put back what"
            " the run began with, or choose another --workdir"
        )


def _checksum_array(leaf: Any) -> str:
    checksum = zlib.crc32(f"{leaf.shape} {leaf.dtype}".encode())
    for piece in _split_array(leaf):
        checksum = _checksum_bytes(np.ascontiguousarray(piece).reshape(-1).view(np.uint8), checksum)
    return f"{checksum:08x}"


def _checksum_bytes(data: np.ndarray, checksum: int) -> int:
    """Carries a checksum on over [n] uint8."""
    whole = data.size // _BLOCK * _BLOCK
    sums = data[:whole].view("<u8").reshape(-1, _BLOCK // 8).sum(axis=1, dtype="<u8")
    return zlib.crc32(data[whole:].data, zlib.crc32(sums.tobytes(), checksum))


def _split_array(leaf: Any) -> Iterator[np.ndarray]:
    """Brings an array to the host, a large one by rows: there need not be room for all of it."""
    if leaf.size <= _ENTRIES_AT_ONCE:
        yield np.asarray(leaf)
        return
    rows = max(1, _ENTRIES_AT_ONCE * leaf.shape[0] // leaf.size)
    for start in range(0, leaf.shape[0], rows):
        yield np.asarray(leaf[start : start + rows])


def _checksum_json(content: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
