"""Where a step's figures go: metrics.jsonl, samples.jsonl, and TensorBoard if asked for."""

import pathlib
from types import TracebackType

from papo_jax.telemetry import runfiles, tensorboard


class Recorder:
    """A context manager over the files that grow with every step."""

    def __init__(self, workdir: pathlib.Path, *, step: int, events: bool):
        """Goes on from `step`; the rows after it have been dropped before (`training.workdir.claim`)."""
        self._workdir = workdir
        self._events = tensorboard.Writer(workdir, step=step) if events else None

    def add(self, row: dict[str, float], samples: list[dict]) -> None:
        """Writes one step's row and samples."""
        runfiles.append_row(self._workdir / "metrics.jsonl", row)
        for sample in samples:
            runfiles.append_row(self._workdir / "samples.jsonl", sample)
        if self._events:
            self._events.add(row)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._events:
            self._events.close()
