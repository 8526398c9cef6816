"""The kinds of plot that a report is made of: each turns metrics into a titled drawing with a line
on how to read it.

A line whose metric is not there is left out, and a plot without any comes back empty and names what
it misses.
"""

import math
from typing import NamedTuple

import numpy as np
from matplotlib import axes as matplotlib_axes
from matplotlib import figure as matplotlib_figure
from matplotlib import ticker

from papo_jax.report import svg
from papo_jax.report.series import correlations, number, running_mean, series
from papo_jax.report.svg import INK

# The hue tells the sign of the advantage, the stroke the branch of the polarity.
GROUPS = {
    "reinforced_expanding": ("reinforced, expanding", INK.blue, "-"),
    "reinforced_contracting": ("reinforced, contracting", INK.blue, "--"),
    "penalized_expanding": ("penalized, expanding", INK.orange, "-"),
    "penalized_contracting": ("penalized, contracting", INK.orange, "--"),
}
_FIGURES = {
    "polarity": ("Predicted by polarity", "relative scale"),
    "directional": ("Predicted by the derivative", "nats per token"),
    "realized": ("Realized", "nats per token"),
}
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
    """One curve: the metric, its name in the legend, its color, its stroke, and whether a running
    mean carries it."""

    metric: str
    label: str
    color: str = INK.blue
    stroke: str = "-"
    smooth: bool = False


def curves(
    rows: list[dict],
    title: str,
    reading: str,
    unit: str,
    lines: list[Line],
    *,
    limits: tuple[float, float | None] | None = None,
    zero: bool = False,
    magnitude: bool = False,
    wide: bool = False,
) -> Chart:
    """Draws lines over steps.

    Args:
      rows: objects of a metrics file.
      title: names the chart, and is unique on the page.
      reading: what up and down mean.
      unit: the label of the vertical axis.
      lines: what to draw; lines without a value are left out.
      limits: the ends of the vertical axis, the upper one None to fit it. Without limits the axis
        turns logarithmic where positive values span two decades.
      zero: whether to draw a line at zero.
      magnitude: whether to draw absolute values.
      wide: whether the chart takes the whole width of the page.

    Returns:
      The chart, empty where no line has a value.
    """
    names = tuple(line.metric for line in lines)
    found = [(line, *series(rows, line.metric)) for line in lines]
    found = [
        (line, steps, abs(values) if magnitude else values)
        for line, steps, values in found
        if len(values)
    ]
    if not found:
        return Chart(title, reading, "", names, wide)

    def paint(figure):
        axes = _axes(figure, unit)
        for line, steps, values in found:
            _stroke(axes, line, steps, values)
        everything = np.concatenate([values for _, _, values in found])
        if zero:
            axes.axhline(0.0, color=INK.muted, linewidth=0.8)
        if (
            limits is None
            and everything.min() > 0
            and everything.max() > _LOG_RANGE * everything.min()
        ):
            axes.set_yscale("log")
            axes.minorticks_off()
        elif limits is not None:
            _limit(axes, everything, *limits)
        if len(found) > 1:
            figure.legend(loc="outside upper left", ncols=len(found))

    size = (10.8, 2.75) if wide else (5.2, 2.75)
    return Chart(title, reading, svg.draw(paint, label=title, size=size), names, wide)


def scatter(rows: list[dict], metric: str, title: str, reading: str, *, diagonal: bool) -> Chart:
    """Draws the realized change of entropy against a predicted one, with both correlations in the
    title.

    Args:
      rows: objects of a metrics file; those with both figures are the points.
      metric: the prediction.
      title: names the prediction.
      reading: what the places of the plane mean.
      diagonal: whether the prediction has the scale of the realized change, so that y = x means
        something.

    Returns:
      The chart, empty where no step has both.
    """
    target = "entropy_change/realized"
    both = [
        row
        for row in rows
        if None not in [number(row.get(name)) for name in ("step", metric, target)]
    ]
    if not both:
        return Chart(title, reading, "", (metric, target))
    x, y = series(both, metric)[1], series(both, target)[1]
    pearson, spearman = (
        "undefined" if math.isnan(value) else f"{value:.2f}" for value in correlations(x, y)
    )
    heading = f"{title}: Pearson {pearson}, Spearman {spearman}, n = {len(x)}"

    def paint(figure):
        axes = _axes(
            figure,
            "realized, nats per token",
            f"predicted, {'nats per token' if diagonal else 'relative scale'}",
        )
        axes.grid(True, axis="x")
        axes.axhline(0.0, color=INK.muted, linewidth=0.8)
        axes.axvline(0.0, color=INK.muted, linewidth=0.8)
        if diagonal:
            ends = [min(x.min(), y.min(), 0.0), max(x.max(), y.max(), 0.0)]
            axes.plot(ends, ends, color=INK.muted, linestyle="--", linewidth=1.0)
        axes.plot(
            x,
            y,
            color=INK.blue,
            linestyle="",
            marker="o",
            markersize=3.5,
            alpha=0.6,
            markeredgewidth=0,
        )

    return Chart(heading, reading, svg.draw(paint, label=title, size=(5.2, 3.4)), (metric, target))


def breakdown(rows: list[dict]) -> Chart:
    """Draws each figure of the change of entropy by sign of the advantage and branch of the
    polarity."""
    title = "Where the change comes from"
    reading = (
        "The change of entropy at the states of four groups of tokens: the advantage's sign (reinforced or penalized) "
        "by the polarity's branch (expanding or contracting). First order holds where prediction and outcome agree."
    )
    names = tuple(name for figure in _FIGURES for name in _group_metrics(figure))
    shown = [
        figure
        for figure in _FIGURES
        if any(len(series(rows, name)[1]) for name in _group_metrics(figure))
    ]
    if not shown:
        return Chart(title, reading, "", names, wide=True)

    def paint(figure):
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, name in zip(panels, shown):
            _dress(axes, _FIGURES[name][1], "step")
            axes.set_title(_FIGURES[name][0])
            axes.axhline(0.0, color=INK.muted, linewidth=0.8)
            for metric, (label, color, stroke) in zip(_group_metrics(name), GROUPS.values()):
                _stroke(axes, Line(metric, label, color, stroke), *series(rows, metric))
        _share_scale([axes for axes, name in zip(panels, shown) if name != "polarity"])
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(GROUPS)
        )

    return Chart(title, reading, svg.draw(paint, label=title, size=(10.8, 3.1)), names, wide=True)


def durations(rows: list[dict]) -> Chart:
    """Stacks the seconds of a step by what they went into."""
    parts = ("rollout", "grade", "update")
    names = tuple(f"time/{part}" for part in parts)
    title = "Time per step"
    reading = "Stacked; the top edge is the whole step. Down is better, and the thickest layer is the one to speed up."
    timed = [row for row in rows if number(row.get("step")) is not None]
    values = np.array([[number(row.get(name)) or 0.0 for row in timed] for name in names])
    if not values.any():
        return Chart(title, reading, "", names)

    def paint(figure):
        axes = _axes(figure, "seconds")
        steps = series(timed, "step")[1]
        if len(steps) == 1:  # an area over one step has no width
            steps, stack = np.array([steps[0] - 0.5, steps[0] + 0.5]), np.repeat(values, 2, axis=1)
        else:
            stack = values
        axes.stackplot(
            steps, stack, labels=parts, colors=(INK.blue, INK.purple, INK.orange), alpha=0.75
        )
        figure.legend(loc="outside upper left", ncols=len(parts))

    return Chart(title, reading, svg.draw(paint, label=title), names)


def progress(points: list[tuple[float, float, float, float]], label: str) -> Chart:
    """Draws a figure of the evaluation panel over training.

    Args:
      points: (step, value, low, high) of each evaluation, shares of one.
      label: the name of the figure, written by this program and not by a model.

    Returns:
      The chart; empty below two points.
    """
    reading = "Up is better. The band is the 95 % bootstrap interval over problems."
    if len(points) < 2:
        return Chart("Panel over training", reading, "", (label,))
    step, value, low, high = np.array(points, dtype=float).T

    def paint(figure):
        axes = _axes(figure, f"{label}, %")
        axes.fill_between(step, 100 * low, 100 * high, color=INK.blue, alpha=0.18, linewidth=0)
        axes.plot(step, 100 * value, color=INK.blue, marker="o", markersize=3.5)

    return Chart(
        "Panel over training", reading, svg.draw(paint, label="Panel over training"), (label,)
    )


def _axes(
    figure: matplotlib_figure.Figure, unit: str, horizontal: str = "step"
) -> matplotlib_axes.Axes:
    axes = figure.subplots()
    _dress(axes, unit, horizontal)
    return axes


def _dress(axes: matplotlib_axes.Axes, unit: str, horizontal: str) -> None:
    axes.set_ylabel(unit)
    axes.set_xlabel(horizontal)
    axes.grid(False, axis="x")
    if horizontal == "step":
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def _stroke(axes: matplotlib_axes.Axes, line: Line, steps: np.ndarray, values: np.ndarray) -> None:
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


def _limit(axes: matplotlib_axes.Axes, values: np.ndarray, low: float, high: float | None) -> None:
    """Pins the ends of the vertical axis, with room for a line that lies on an end."""
    top = max(high or 0.0, 1.08 * values.max()) or 1.0
    axes.set_ylim(min(low, values.min()) - 0.03 * top, top if high is None else 1.03 * top)


def _group_metrics(figure: str) -> tuple[str, ...]:
    return tuple(f"entropy_change/{figure}/{group}" for group in GROUPS)


def _share_scale(panels: list[matplotlib_axes.Axes]) -> None:
    """Gives panels of one unit one scale, since they are there to be compared."""
    ends = [end for axes in panels for end in axes.get_ylim()]
    for axes in panels:
        axes.set_ylim(min(ends), max(ends))
