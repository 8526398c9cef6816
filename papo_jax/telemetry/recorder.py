"""Where a step's figures go: metrics.jsonl, samples.jsonl, grader_errors.jsonl, and TensorBoard if
asked for."""

import pathlib
from types import TracebackType

from papo_jax.telemetry import runfiles, tensorboard


class Recorder:
    """A context manager over the files that grow with every step."""

    def __init__(self, workdir: pathlib.Path, *, step: int, events: bool):
        """Goes on from `step`; the rows after it have been dropped before
        (`training.workdir.claim`)."""
        self._workdir = workdir
        self._events = tensorboard.Writer(workdir, step=step) if events else None

    def add(self, row: dict[str, float], samples: list[dict], failures: list[dict]) -> None:
        """Writes one step's row, its samples, and answers that could not be judged."""
        runfiles.append_row(self._workdir / "metrics.jsonl", row)
        for name, rows in (("samples.jsonl", samples), ("grader_errors.jsonl", failures)):
            for one in rows:
                runfiles.append_row(self._workdir / name, one)
        if self._events:
            self._events.add(row)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events:
            self._events.close()
