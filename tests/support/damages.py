"""Damages that disks, copies and people do to files, for tests of what is read back."""

import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

Damage = Callable[[pathlib.Path, np.random.Generator], None]


def flip_bit(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Flips one bit anywhere."""
    content = bytearray(path.read_bytes())
    if content:
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def zero_block(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Zeroes a block, 4 KiB in a large file and a part of a small one."""
    content = bytearray(path.read_bytes())
    size = min(4096, max(1, len(content) // 4))
    start = int(rng.integers(max(1, len(content) - size)))
    content[start : start + size] = bytes(len(content[start : start + size]))
    path.write_bytes(content)


def truncate(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Cuts a file anywhere."""
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(max(1, len(content))))])


def append_bytes(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Adds bytes that nobody wrote."""
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 64))))


def replace_bytes(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Puts other bytes of the same number there."""
    path.write_bytes(rng.bytes(path.stat().st_size))


def remove(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Deletes a file, or a folder with all that is in it."""
    del rng
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def swap_kind(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Puts a folder where a file belongs, and a file where a folder belongs."""
    folder = path.is_dir()
    remove(path, rng)
    path.write_bytes(b"not a folder") if folder else path.mkdir()


def dangle(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Puts a link to nothing there."""
    remove(path, rng)
    path.symlink_to(path.with_name("nothing"))


def loop(path: pathlib.Path, rng: np.random.Generator) -> None:
    """Puts a link to itself there."""
    remove(path, rng)
    path.symlink_to(path.name)


OF_FILES: tuple[Damage, ...] = (
    flip_bit,
    zero_block,
    truncate,
    append_bytes,
    replace_bytes,
    remove,
    swap_kind,
    dangle,
    loop,
)
OF_FOLDERS: tuple[Damage, ...] = (remove, swap_kind, dangle, loop)


def list_targets(folder: pathlib.Path) -> list[tuple[pathlib.Path, tuple[Damage, ...]]]:
    """Lists every file and folder below, itself too, with the damages that fit, in fixed order."""
    found = [folder, *folder.rglob("*")]
    return [
        (path, OF_FOLDERS if path.is_dir() else OF_FILES) for path in sorted(found, key=os.fspath)
    ]
