"""Plots of predicted and realized changes of entropy: scatter plots, and a breakdown by tokens."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papo_jax.json_files import finite_number
from papo_jax.report.plots import Chart, Line, add_axes, label_axes, plot_line
from papo_jax.report.series import metric_series, pearson_and_spearman
from papo_jax.report.svg import INK, render_svg

# The hue tells the sign of the advantage, the stroke the branch of the polarity.
TOKEN_GROUPS = {
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


def draw_scatter(
    rows: list[dict], metric: str, *, title: str, reading: str, diagonal: bool
) -> Chart:
    """Draws the realized change of entropy against a predicted one, and says how they correlate.

    Args:
      rows: objects of a metrics file; those with both figures are the points.
      metric: the prediction.
      title: names the prediction; the correlations are put behind it.
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
        if None not in [finite_number(row.get(name)) for name in ("step", metric, target)]
    ]
    if not both:
        return Chart(title=title, reading=reading, svg="", metrics=(metric, target))
    x, y = metric_series(both, metric)[1], metric_series(both, target)[1]
    pearson, spearman = (
        "undefined" if math.isnan(value) else f"{value:.2f}" for value in pearson_and_spearman(x, y)
    )

    def paint_figure(figure: Figure) -> None:
        unit = "nats per token" if diagonal else "relative scale"
        axes = add_axes(figure, "realized, nats per token", f"predicted, {unit}")
        axes.grid(True, axis="x")
        axes.axhline(0.0, color=INK.muted, linewidth=0.8)
        axes.axvline(0.0, color=INK.muted, linewidth=0.8)
        if diagonal:
            ends = [min(x.min(), y.min(), 0.0), max(x.max(), y.max(), 0.0)]
            axes.plot(ends, ends, color=INK.muted, linestyle="--", linewidth=1.0)
        points = {"linestyle": "", "marker": "o", "markersize": 3.5, "markeredgewidth": 0}
        axes.plot(x, y, color=INK.blue, alpha=0.6, **points)

    return Chart(
        title=f"{title}: Pearson {pearson}, Spearman {spearman}, n = {len(x)}",
        reading=reading,
        svg=render_svg(paint_figure, label=title, size=(5.2, 3.4)),
        metrics=(metric, target),
    )


def draw_breakdown(rows: list[dict]) -> Chart:
    """Draws each figure by sign of the advantage and branch of the polarity."""
    title = "Where the change comes from"
    reading = (
        "The change of entropy at the states of four groups of tokens: the advantage's sign"
        " (reinforced or penalized) by the polarity's branch (expanding or contracting)."
        " First order holds where prediction and outcome agree."
    )
    names = tuple(name for figure in _FIGURES for name in _group_metrics(figure))
    shown = [
        figure
        for figure in _FIGURES
        if any(len(metric_series(rows, name)[1]) for name in _group_metrics(figure))
    ]
    if not shown:
        return Chart(title=title, reading=reading, svg="", metrics=names, wide=True)

    def paint_figure(figure: Figure) -> None:
        in_nats = []
        all_axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, name in zip(all_axes, shown, strict=True):
            heading, unit = _FIGURES[name]
            label_axes(axes, unit, "step")
            axes.set_title(heading)
            axes.axhline(0.0, color=INK.muted, linewidth=0.8)
            for metric, style in zip(_group_metrics(name), TOKEN_GROUPS.values(), strict=True):
                plot_line(axes, Line(metric, *style), *metric_series(rows, metric))
            if name != "polarity":  # whose scale is its own
                in_nats.append(axes)
        _share_scale(in_nats)
        legend = all_axes[0].get_legend_handles_labels()
        figure.legend(*legend, loc="outside upper left", ncols=len(TOKEN_GROUPS))

    svg = render_svg(paint_figure, label=title, size=(10.8, 3.1))
    return Chart(title=title, reading=reading, svg=svg, metrics=names, wide=True)


def _group_metrics(figure: str) -> tuple[str, ...]:
    return tuple(f"entropy_change/{figure}/{group}" for group in TOKEN_GROUPS)


def _share_scale(all_axes: list[Axes]) -> None:
    """Gives axes of one unit one scale, since they are there to be compared."""
    ends = [end for axes in all_axes for end in axes.get_ylim()]
    for axes in all_axes:
        axes.set_ylim(min(ends), max(ends))
