"""Plots of a report over steps: each turns metrics into a titled drawing with a line on reading it.

A line whose metric is not there is left out, and a plot without any comes back empty and names the
metrics that it misses.
"""

from typing import NamedTuple

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papo_jax.json_files import finite_number
from papo_jax.report.series import metric_series, running_mean
from papo_jax.report.svg import INK, render_svg

_FEW = 40  # up to this many points each one is marked, so that a run of one step shows
_LOG_RANGE = 100.0  # largest over smallest value from which an axis turns logarithmic


class Chart(NamedTuple):
    """A drawing and how to read it.

    Attributes:
      title: a few words.
      reading: one line: what up and down mean.
      svg: the drawing; empty where the run has none of its metrics.
      metrics: the names it is drawn from.
      wide: whether it needs the whole width of the page.
    """

    title: str
    reading: str
    svg: str
    metrics: tuple[str, ...]
    wide: bool = False


class Line(NamedTuple):
    """One curve.

    Attributes:
      metric: its name in the rows.
      label: its name in the legend.
      color: one of `INK`.
      stroke: matplotlib's line style.
      smooth: whether a running mean carries it, the values being faint.
    """

    metric: str
    label: str
    color: str = INK.blue
    stroke: str = "-"
    smooth: bool = False


class ProgressPoint(NamedTuple):
    """A share of one evaluation, with its interval."""

    step: int
    value: float
    low: float
    high: float


def draw_curves(
    rows: list[dict],
    lines: list[Line],
    *,
    title: str,
    reading: str,
    unit: str,
    limits: tuple[float, float | None] | None = None,
    zero: bool = False,
    magnitude: bool = False,
    wide: bool = False,
) -> Chart:
    """Draws lines over steps.

    Args:
      rows: objects of a metrics file.
      lines: what to draw; lines without a value are left out.
      title: names the chart, and is unique on the page.
      reading: what up and down mean.
      unit: the label of the vertical axis.
      limits: the ends of the vertical axis, the upper one None to fit it. Without limits the axis
        turns logarithmic where positive values span two decades.
      zero: whether to draw a line at zero.
      magnitude: whether to draw absolute values.
      wide: whether the chart takes the whole width of the page.

    Returns:
      The chart, empty where no line has a value.
    """
    names = tuple(line.metric for line in lines)
    found = [(line, *metric_series(rows, line.metric)) for line in lines]
    found = [
        (line, steps, abs(values) if magnitude else values)
        for line, steps, values in found
        if len(values)
    ]
    if not found:
        return Chart(title=title, reading=reading, svg="", metrics=names, wide=wide)

    def paint_figure(figure: Figure) -> None:
        axes = add_axes(figure, unit)
        for line, steps, values in found:
            plot_line(axes, line, steps, values)
        if zero:
            axes.axhline(0.0, color=INK.muted, linewidth=0.8)
        _scale_axis(axes, np.concatenate([values for _, _, values in found]), limits)
        if len(found) > 1:
            figure.legend(loc="outside upper left", ncols=len(found))

    size = (10.8, 2.75) if wide else (5.2, 2.75)
    svg = render_svg(paint_figure, label=title, size=size)
    return Chart(title=title, reading=reading, svg=svg, metrics=names, wide=wide)


def draw_durations(rows: list[dict]) -> Chart:
    """Stacks the seconds of a step by what they went into."""
    parts = ("rollout", "grade", "update")
    names = tuple(f"time/{part}" for part in parts)
    title = "Time per step"
    reading = (
        "Stacked; the top edge is the whole step. Down is better, and the thickest layer is the"
        " one to speed up."
    )
    timed = [row for row in rows if finite_number(row.get("step")) is not None]
    values = np.array([[finite_number(row.get(name)) or 0.0 for row in timed] for name in names])
    if not values.any():
        return Chart(title=title, reading=reading, svg="", metrics=names)

    def paint_figure(figure: Figure) -> None:
        axes = add_axes(figure, "seconds")
        steps, stack = metric_series(timed, "step")[1], values
        if len(steps) == 1:  # an area over one step has no width
            steps, stack = np.array([steps[0] - 0.5, steps[0] + 0.5]), np.repeat(values, 2, axis=1)
        colors = (INK.blue, INK.purple, INK.orange)
        axes.stackplot(steps, stack, labels=parts, colors=colors, alpha=0.75)
        figure.legend(loc="outside upper left", ncols=len(parts))

    svg = render_svg(paint_figure, label=title)
    return Chart(title=title, reading=reading, svg=svg, metrics=names)


def draw_progress(points: list[ProgressPoint], name: str) -> Chart:
    """Draws a figure of the evaluation set over training.

    Args:
      points: of the evaluations.
      name: of the figure, written by this program and not by a model.

    Returns:
      The chart; empty below two points.
    """
    title = "Evaluation set over training"
    reading = "Up is better. The band is the 95 % bootstrap interval over problems."
    if len(points) < 2:
        return Chart(title=title, reading=reading, svg="", metrics=(name,))
    steps, values, low, high = np.array(points, dtype=float).T

    def paint_figure(figure: Figure) -> None:
        axes = add_axes(figure, f"{name}, %")
        axes.fill_between(steps, 100 * low, 100 * high, color=INK.blue, alpha=0.18, linewidth=0)
        axes.plot(steps, 100 * values, color=INK.blue, marker="o", markersize=3.5)

    svg = render_svg(paint_figure, label=title)
    return Chart(title=title, reading=reading, svg=svg, metrics=(name,))


def add_axes(figure: Figure, unit: str, horizontal: str = "step") -> Axes:
    """Adds axes with their labels to an empty figure."""
    axes = figure.subplots()
    label_axes(axes, unit, horizontal)
    return axes


def label_axes(axes: Axes, unit: str, horizontal: str) -> None:
    """Labels axes; steps get whole numbers as ticks."""
    axes.set_ylabel(unit)
    axes.set_xlabel(horizontal)
    axes.grid(False, axis="x")
    if horizontal == "step":
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def plot_line(axes: Axes, line: Line, steps: np.ndarray, values: np.ndarray) -> None:
    """Plots values over steps; few of them are marked, and smooth lines get a running mean."""
    marker = "o" if len(values) <= _FEW else ""
    if line.smooth and len(values) > 5:
        axes.plot(steps, values, color=line.color, alpha=0.3, linewidth=0.9)
        values, marker = running_mean(values)[0], ""
    axes.plot(
        steps,
        values,
        color=line.color,
        linestyle=line.stroke,
        marker=marker,
        markersize=2.5,
        label=line.label,
    )


def _scale_axis(axes: Axes, values: np.ndarray, limits: tuple[float, float | None] | None) -> None:
    """Scales the vertical axis: to its limits, or logarithmic for values of several decades."""
    if limits is not None:
        # Leave room for a line that lies on an end.
        low, high = limits
        top = max(high or 0.0, 1.08 * values.max()) or 1.0
        axes.set_ylim(min(low, values.min()) - 0.03 * top, top if high is None else 1.03 * top)
    elif values.min() > 0 and values.max() > _LOG_RANGE * values.min():
        axes.set_yscale("log")
        axes.minorticks_off()
