"""What a person sees while a run goes on: a bar where there is a terminal, a line now and then
where there is none."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

QUIET_SECONDS = 15.0  # between lines without a terminal


class Progress:
    """A context manager over the steps of a run."""

    def __init__(self, total: int, start: int, *, enabled: bool = True):
        """Starts at `start` of `total` steps; shows nothing where not `enabled`."""
        self._terminal = sys.stderr.isatty()
        self._enabled = enabled
        self._total = total
        self._told = time.monotonic()
        self._bar = tqdm(
            total=total,
            initial=start,
            unit="step",
            dynamic_ncols=True,
            disable=not (enabled and self._terminal),
        )

    def say(self, text: str) -> None:
        """Prints a line without tearing the bar."""
        if self._enabled:
            tqdm.write(text, file=sys.stderr) if self._terminal else print(
                text, file=sys.stderr, flush=True
            )

    def waiting_for(self, what: str) -> None:
        """Tells what is awaited, so that a long compile does not look like a hang."""
        self._bar.set_description(what)

    def step(self, row: dict) -> None:
        """Counts one step and shows its reward, entropy and speed."""
        figures = f"reward {row['reward/mean']:.3f}  entropy {row['entropy']:.3f}  {row['tokens_per_second']:,.0f} tokens/s"
        self._bar.set_postfix_str(figures)
        self._bar.update(1)
        now = time.monotonic()
        if not self._terminal and (
            now - self._told > QUIET_SECONDS or row["step"] + 1 == self._total
        ):
            self._told = now
            self.say(f"step {row['step'] + 1}/{self._total}  {figures}")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Lays out (what, how much) pairs under a title."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])
