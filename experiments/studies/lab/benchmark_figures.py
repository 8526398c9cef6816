"""Figures of a benchmark: curves over training and against entropy, and endpoints by method."""

import pathlib

import matplotlib.ticker
import numpy as np

from experiments.studies.lab import study_output
from experiments.studies.lab.benchmark import EntryResult
from experiments.studies.lab.run_metrics import (
    SAMPLES,
    average_at_k,
    measure_endpoints,
    pass_at_k_by_evaluation,
    running_mean,
)
from experiments.studies.lab.seed_intervals import confidence_interval

ENTROPY_LABEL, ROLLOUT_LABEL = "entropy, nats", "rollouts of 256 answers"
LEGEND = "shaded: 95 % over seeds\n(dashes only tell lines apart)"
CURVE_LABELS = ("reward", "avg@16, held out", "pass@16, held out")


def plot_training_curves(
    path: pathlib.Path,
    entry_results: list[EntryResult],
    *,
    title: str,
    shaded: tuple[str, ...],
    level: float | None = None,
) -> None:
    """Plots entropy by rollout; reward, avg@16 and pass@16 by rollout (above) and entropy (below).

    Lines are means over seeds; the entries named in `shaded` have their 95 % beside. Reward and
    entropy are running means of ten rollouts. Against entropy training runs from right to left,
    mostly, and ends at the dot.

    Args:
      path: of the PNG.
      entry_results: to plot.
      title: above all axes.
      shaded: labels.
      level: a target entropy to be marked, as a share of the first rollout's.
    """

    def draw_axes(axes):
        for number, result in enumerate(entry_results):
            # Dashed lines are on top, so that of two that are one both are seen.
            style = dict(
                color=f"C{number % 10}",
                linestyle=("--", "-")[number % 2],
                linewidth=1.3,
                zorder=3 - number % 2,
            )
            _plot_entry(axes, result, style, result.entry.label in shaded)

        if level:
            _mark_target(axes[0, 0], entry_results, level)
        _label_curves(axes)
        seeds = len(entry_results[0].runs)
        axes[0, 0].figure.suptitle(
            f"{title} (means of {seeds} seeds; reward and entropy: running means of ten rollouts)"
        )

    study_output.write_figure(path, draw_axes, rows=2, columns=4, size=(3.9, 3.2))


def _mark_target(axis, entry_results: list[EntryResult], level: float) -> None:
    first = [run["entropy"][0] for result in entry_results for run in result.runs]
    axis.axhline(
        level * float(np.mean(first)),
        color="black",
        linestyle=":",
        linewidth=1,
        label=f"the target, {level:g} H0",
    )


def _label_curves(axes) -> None:
    """Labels all axes, and puts the legend into the one that is left free."""
    axes[0, 0].set(xlabel=ROLLOUT_LABEL, ylabel=ENTROPY_LABEL, yscale="log")
    _set_decimal_ticks(axes[0, 0].yaxis)
    for above, below, label in zip(axes[0, 1:], axes[1, 1:], CURVE_LABELS, strict=True):
        above.set(xlabel=ROLLOUT_LABEL, ylabel=label)
        below.set(xlabel=f"{ENTROPY_LABEL} (training ends at the dot)", ylabel=label, xscale="log")
        _set_decimal_ticks(below.xaxis)

    axes[1, 0].axis("off")
    axes[1, 0].legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="center",
        fontsize=9,
        frameon=False,
        title=LEGEND,
    )


def _plot_entry(axes, result: EntryResult, style: dict, shade: bool) -> None:
    """Plots an entry's curves by rollout (above) and by entropy (below)."""
    runs, label = result.runs, result.entry.label
    entropy = np.stack([running_mean(run["entropy"]) for run in runs])
    rollouts, evaluated = np.arange(entropy.shape[1]), runs[0]["evaluated"]
    _plot_band(axes[0, 0], rollouts, entropy, label=label, style=style, shade=shade)

    # A policy that has made k rollouts is the one whose entropy the next one shows; the running
    # mean ends before it.
    last_rollout = np.maximum(evaluated.astype(int) - 1, 0)
    curves = (
        (rollouts, rollouts, [running_mean(run["reward/mean"]) for run in runs]),
        (evaluated, last_rollout, [average_at_k(run) for run in runs]),
        (evaluated, last_rollout, [pass_at_k_by_evaluation(run, SAMPLES) for run in runs]),
    )
    for column, (x, entropy_index, by_seed) in enumerate(curves, start=1):
        values = np.stack(by_seed)
        _plot_band(axes[0, column], x, values, label=label, style=style, shade=shade)
        mean_entropy, mean_value = entropy.mean(axis=0)[entropy_index], values.mean(axis=0)
        axes[1, column].plot(mean_entropy, mean_value, **style)
        axes[1, column].plot(
            mean_entropy[-1:], mean_value[-1:], "o", color=style["color"], markersize=4
        )


def _plot_band(axis, x, curves: np.ndarray, *, label: str, style: dict, shade: bool) -> None:
    """Plots the mean of curves [seeds, x], and their 95 % interval if `shade`."""
    axis.plot(x, curves.mean(axis=0), label=label, **style)
    if shade and len(curves) > 1:
        low, high = np.array([confidence_interval(column)[1:] for column in curves.T]).T
        axis.fill_between(
            x, np.maximum(low, 1e-4), high, color=style["color"], alpha=0.12, linewidth=0
        )


def _set_decimal_ticks(axis) -> None:
    """Marks 1, 2, 3 and 5 of each decade of a logarithmic axis, as plain numbers."""
    marks = [digit * 10.0**decade for decade in range(-4, 1) for digit in (1, 2, 3, 5)]
    axis.set_major_locator(matplotlib.ticker.FixedLocator(marks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def plot_endpoints(
    path: pathlib.Path, entry_results: list[EntryResult], *, title: str, base: str
) -> None:
    """Plots a row for each entry: endpoints with 95 % over seeds, and a line at the base's.

    Args:
      path: of the PNG.
      entry_results: to plot, the first on top.
      title: above all axes.
      base: the label of the entry to compare with.
    """
    columns = {
        "avg@16": "avg@16, held out",
        "pass@16": "pass@16, held out",
        "area": "mean reward",
        "entropy": f"{ENTROPY_LABEL}, at the end",
    }
    labels = [result.entry.label for result in entry_results]

    def draw_axes(axes):
        endpoints = [[measure_endpoints(run) for run in result.runs] for result in entry_results]
        for axis, (column, label) in zip(axes[0], columns.items(), strict=True):
            intervals = np.array(
                [confidence_interval([end[column] for end in by_seed]) for by_seed in endpoints]
            )
            mean, low, high = intervals.T
            axis.errorbar(
                mean,
                range(len(labels)),
                xerr=(mean - low, high - mean),
                fmt="o",
                markersize=3,
                linewidth=1,
            )
            axis.axvline(mean[labels.index(base)], color="gray", linewidth=0.6)
            axis.set(
                xlabel=label,
                yticks=range(len(labels)),
                yticklabels=labels if axis is axes[0, 0] else (),
            )
            axis.invert_yaxis()
        axes[0, -1].set_xscale("log")
        _set_decimal_ticks(axes[0, -1].xaxis)
        axes[0, 0].figure.suptitle(title)

    study_output.write_figure(path, draw_axes, columns=4, size=(3.4, 1 + 0.2 * len(labels)))
