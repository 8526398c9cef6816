"""Records of grader checks that were passed, kept between runs on the same problems and graders."""

import hashlib
import json
import pathlib
from typing import NamedTuple

from papo_jax import grading
from papo_jax.cache_directory import cache_directory
from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.telemetry import runfiles

VERSION = 1  # of the check; a new number leaves the old records alone


class CheckRecord(NamedTuple):
    """The file of one check.

    Attributes:
      path: of the file, whose name holds the digest of `key`.
      key: everything that decides the check's outcome, as JSON.
    """

    path: pathlib.Path
    key: str

    def read_lines(self) -> tuple[str, ...] | None:
        """Returns what the check found, a line each; None where no whole record of it exists."""
        try:
            stored = read_object(self.path, missing="no record")
        except InputError:
            return None
        lines = stored.get("lines")
        if stored.get("key") != self.key or not isinstance(lines, list):
            return None
        return tuple(map(str, lines))

    def write_lines(self, lines: tuple[str, ...]) -> None:
        """Keeps what a check found that was passed; where nothing can be kept it is made again."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            runfiles.write_text(self.path, json.dumps({"key": self.key, "lines": lines}))
        except OSError:
            return


def locate_record(fingerprints: list[str]) -> CheckRecord:
    """Returns the record of the check of some problems by the present graders.

    Args:
      fingerprints: of the problems that the check asks.
    """
    key = json.dumps([VERSION, fingerprints, grading.versions()], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return CheckRecord(cache_directory() / "checked" / f"{digest[:20]}.json", key)
