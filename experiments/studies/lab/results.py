"""Where a study puts what it found, `results/NAME/`: raw numbers, a table, a figure and a verdict.

runs/*.npz     raw numbers, one file a run: what is there is not made again, so a study that was stopped goes on
*.csv          tables
*.png          figures, drawn from the stored runs alone
verdict.md     what the study says, in a few lines
"""

import argparse
import csv
import os
import pathlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable

import matplotlib.figure
import numpy as np

HOME = pathlib.Path(__file__).parents[3] / "results"

Arrays = dict[str, np.ndarray]


def arguments(description: str | None, name: str) -> argparse.Namespace:
    """Reads a study's command line: `scale`, and `place`, its folder (made here)."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=("quick", "full"), default="quick")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=None,
        help="a folder; results/NAME (full) or results/quick/NAME",
    )
    parsed = parser.parse_args()
    parsed.place = parsed.output or (
        HOME / name if parsed.scale == "full" else HOME / "quick" / name
    )
    try:
        (parsed.place / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(
            f"--output {parsed.place} cannot hold results: {error.strerror.lower()}; choose another folder"
        )
    return parsed


def stored(place: pathlib.Path, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Returns the arrays of a run, made now unless they are there already.

    Args:
      place: the study's folder.
      name: of the run; it says everything that the numbers depend on.
      make: () -> name -> array.

    Returns:
      name -> array.
    """
    path = place / "runs" / f"{name}.npz"
    if not path.exists():
        save(path, make())
    return load(path)


def load(path: pathlib.Path) -> Arrays:
    """Reads a stored run; exits with code 2 and one line where the file is damaged."""
    try:
        with np.load(path) as file:
            return dict(file)
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error):
        print(
            f"error: {path} is damaged; remove it, and the same command makes that run again",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


def save(path: pathlib.Path, arrays: Arrays) -> None:
    """Writes arrays so that a run that is killed leaves no half a file."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(part, path)


def table(path: pathlib.Path, rows: Iterable[dict]) -> list[dict]:
    """Writes rows as CSV, numbers with five digits, and returns them."""
    rows = list(rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {
                key: f"{value:.5g}" if isinstance(value, float) else value
                for key, value in row.items()
            }
            for row in rows
        )
    return rows


def figure(
    path: pathlib.Path,
    draw: Callable,
    *,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (4.2, 3.2),
) -> None:
    """Draws panels: draw(axes [rows, columns]) on a figure that is then written as PNG."""
    canvas = matplotlib.figure.Figure(
        figsize=(size[0] * columns, size[1] * rows), layout="constrained"
    )
    draw(canvas.subplots(rows, columns, squeeze=False))
    canvas.savefig(path, dpi=110)


def verdict(path: pathlib.Path, lines: Iterable[str]) -> None:
    """Writes and prints what a study says."""
    text = "\n".join(lines) + "\n"
    path.write_text(text)
    print(text, end="")
