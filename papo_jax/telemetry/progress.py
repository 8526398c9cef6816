"""Progress of a run: a bar on a terminal, and a line now and then where there is none."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from papo_jax.printable import printable_lines, printable_text

QUIET_SECONDS = 15.0  # between lines without a terminal


class Progress:
    """A context manager over the steps of a run."""

    def __init__(self, total: int, start: int, *, enabled: bool = True):
        """Starts at `start` of `total` steps; shows nothing where not `enabled`."""
        self._terminal = sys.stderr.isatty()
        self._enabled = enabled
        self._total = total
        self._last_line = time.monotonic()
        self._bar = tqdm(
            total=total,
            initial=start,
            unit="step",
            dynamic_ncols=True,
            disable=not (enabled and self._terminal),
        )

    def print_line(self, text: str) -> None:
        """Prints a line without tearing the bar."""
        if not self._enabled:
            return
        text = printable_lines(text)
        if self._terminal:
            tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def show_status(self, text: str) -> None:
        """Shows what is awaited, so that a long compile does not look like a hang."""
        self._bar.set_description(text)

    def count_step(self, row: dict) -> None:
        """Counts one step and shows its reward, entropy and speed."""
        reward, entropy = row["reward/mean"], row["entropy"]
        speed = f"{row['tokens_per_second']:,.0f} tokens/s"
        figures = f"reward {reward:.3f}  entropy {entropy:.3f}  {speed}"
        self._bar.set_postfix_str(figures)
        self._bar.update(1)

        # Without a terminal, print a line now and then, and one for the last step.
        now = time.monotonic()
        due = now - self._last_line > QUIET_SECONDS or row["step"] + 1 == self._total
        if not self._terminal and due:
            self._last_line = now
            self.print_line(f"step {row['step'] + 1}/{self._total}  {figures}")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def format_table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Lays out (name, value) pairs under a title.

    >>> print(format_table("sizes", [("prompts", "16"), ("updates", "4")]))
    sizes
      prompts  16
      updates  4
    """
    rows = [(printable_text(name, None), printable_text(value, None)) for name, value in rows]
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])
