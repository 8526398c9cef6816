"""Writer of a step's figures: metrics.jsonl, samples.jsonl, grader_errors.jsonl and TensorBoard."""

import pathlib
from types import TracebackType

from papo_jax.telemetry import runfiles
from papo_jax.telemetry.tensorboard_events import EventWriter


class StepWriter:
    """A context manager over the files that grow with every step."""

    def __init__(self, workdir: pathlib.Path, *, step: int, events: bool):
        """Continues files whose rows of `step` and later have been dropped already.

        Args:
          workdir: of the run.
          step: the first that will be written.
          events: whether to write TensorBoard events too.
        """
        self._workdir = workdir
        self._events = EventWriter(workdir, step=step) if events else None

    def write_step(self, row: dict[str, float], samples: list[dict], failures: list[dict]) -> None:
        """Writes one step's row, its samples, and completions that could not be judged."""
        runfiles.append_row(self._workdir / "metrics.jsonl", row)
        for name, rows in (("samples.jsonl", samples), ("grader_errors.jsonl", failures)):
            for one in rows:
                runfiles.append_row(self._workdir / name, one)
        if self._events:
            self._events.write_row(row)

    def __enter__(self) -> "StepWriter":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events:
            self._events.close()
