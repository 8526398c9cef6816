"""A study's output directory, `results/NAME/`: stored runs, tables, figures and a verdict.

runs/*.npz     raw numbers, one file a run; a run that is stored is not made again, so a study that
               was stopped resumes
*.csv          tables
*.png          figures, drawn from the stored runs alone
verdict.md     the conclusion, in a few lines
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

RESULTS = pathlib.Path(__file__).parents[3] / "results"

Arrays = dict[str, np.ndarray]


def parse_arguments(description: str | None, name: str) -> argparse.Namespace:
    """Reads a study's command line and makes its output directory.

    Args:
      description: the help text.
      name: of the study.

    Returns:
      `scale`, "quick" or "full", and `directory`, the study's output directory.
    """
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

    home = RESULTS if parsed.scale == "full" else RESULTS / "quick"
    parsed.directory = parsed.output or home / name
    try:
        (parsed.directory / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(
            f"--output {parsed.directory} cannot hold results: {str(error.strerror).lower()}; "
            "choose another folder"
        )
    return parsed


def run_path(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of a stored run in a study's directory."""
    return directory / "runs" / f"{name}.npz"


def load_or_make(directory: pathlib.Path, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Returns a run's arrays, made and stored now unless they are stored already.

    Args:
      directory: the study's.
      name: of the run; it says everything that the numbers depend on.
      make: () -> name -> array.

    Returns:
      name -> array.
    """
    path = run_path(directory, name)
    if not path.exists():
        save_arrays(path, make())
    return load_arrays(path)


def load_arrays(path: pathlib.Path) -> Arrays:
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


def save_arrays(path: pathlib.Path, arrays: Arrays) -> None:
    """Writes arrays atomically, so that a run that is killed leaves no half a file."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
    os.replace(part, path)


def write_table(path: pathlib.Path, rows: Iterable[dict]) -> list[dict]:
    """Writes rows as CSV, numbers with five digits, and returns them."""
    rows = list(rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _format_cell(value) for key, value in row.items()})
    return rows


def _format_cell(value):
    return f"{value:.5g}" if isinstance(value, float) else value


def write_figure(
    path: pathlib.Path,
    draw_axes: Callable,
    *,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (4.2, 3.2),
) -> None:
    """Writes a figure as PNG.

    Args:
      path: of the PNG.
      draw_axes: called with the figure's axes, [rows, columns].
      rows: of axes.
      columns: of axes.
      size: (width, height) of each of the axes, inches.
    """
    figure = matplotlib.figure.Figure(
        figsize=(size[0] * columns, size[1] * rows), layout="constrained"
    )
    draw_axes(figure.subplots(rows, columns, squeeze=False))
    figure.savefig(path, dpi=110)


def write_verdict(path: pathlib.Path, lines: Iterable[str]) -> None:
    """Writes and prints a study's conclusion."""
    text = "\n".join(lines) + "\n"
    path.write_text(text)
    print(text, end="")
