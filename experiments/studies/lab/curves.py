"""Figures of a comparison: whole curves, against the answers drawn and against entropy, and where
methods end."""

import pathlib

import matplotlib.ticker
import numpy as np

from experiments.studies.lab import results, suite
from experiments.studies.lab.agreement import interval
from experiments.studies.lab.suite import Outcome

ENTROPY, DRAWN = "entropy, nats", "rollouts of 256 answers"
LEGEND = "shaded: 95 % over seeds\n(dashes only tell lines apart)"


def draw(
    path: pathlib.Path,
    outcomes: list[Outcome],
    *,
    title: str,
    shaded: tuple[str, ...],
    level: float | None = None,
) -> None:
    """Entropy by rollout, and reward, avg@16 and pass@16 by rollout (above) and by entropy (below).

    Lines are means over seeds; the entries named in `shaded` have their 95 % beside. Reward and
    entropy are running means of ten rollouts. Against entropy training runs from right to left,
    mostly, and ends at the dot.

    Args:
      path: of the PNG.
      outcomes: what is drawn.
      title: above all panels.
      shaded: labels.
      level: an entropy that is aimed at, as a share of the first rollout's, to be marked.
    """

    def panels(axes):
        for number, outcome in enumerate(outcomes):
            # Dashed lines are on top, so that of two that are one both are seen.
            style = dict(
                color=f"C{number % 10}",
                linestyle=("--", "-")[number % 2],
                linewidth=1.3,
                zorder=3 - number % 2,
            )
            _curves(axes, outcome, style, outcome.entry.label in shaded)
        if level:
            aim = level * float(
                np.mean([run["entropy"][0] for outcome in outcomes for run in outcome.runs])
            )
            axes[0, 0].axhline(
                aim, color="black", linestyle=":", linewidth=1, label=f"the target, {level:g} H0"
            )
        axes[0, 0].set(xlabel=DRAWN, ylabel=ENTROPY, yscale="log")
        _in_decimals(axes[0, 0].yaxis)
        for above, below, what in zip(
            axes[0, 1:],
            axes[1, 1:],
            ("reward", "avg@16, held out", "pass@16, held out"),
            strict=True,
        ):
            above.set(xlabel=DRAWN, ylabel=what)
            below.set(xlabel=f"{ENTROPY} (training ends at the dot)", ylabel=what, xscale="log")
            _in_decimals(below.xaxis)
        axes[1, 0].axis("off")
        axes[1, 0].legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="center",
            fontsize=9,
            frameon=False,
            title=LEGEND,
        )
        axes[0, 0].figure.suptitle(
            f"{title} (means of {len(outcomes[0].runs)} seeds; reward and entropy: running means of ten rollouts)"
        )

    results.figure(path, panels, rows=2, columns=4, size=(3.9, 3.2))


def _curves(axes, outcome: Outcome, style: dict, band: bool) -> None:
    entropy = np.stack([suite.smooth(run["entropy"]) for run in outcome.runs])
    drawn, evaluated = np.arange(entropy.shape[1]), outcome.runs[0]["evaluated"]
    # A policy that has made k rollouts is the one whose entropy the next one shows; the running
    # mean ends before it.
    before = np.maximum(evaluated.astype(int) - 1, 0)
    _line(axes[0, 0], drawn, entropy, outcome.entry.label, style, band)
    for column, (x, places, figure) in enumerate(
        (
            (drawn, drawn, lambda run: suite.smooth(run["reward/mean"])),
            (evaluated, before, suite.avg),
            (evaluated, before, lambda run: suite.passed(run, suite.SAMPLES)),
        ),
        start=1,
    ):
        values = np.stack([figure(run) for run in outcome.runs])
        _line(axes[0, column], x, values, outcome.entry.label, style, band)
        path = entropy.mean(axis=0)[places], values.mean(axis=0)
        axes[1, column].plot(*path, **style)
        axes[1, column].plot(
            path[0][-1:], path[1][-1:], "o", color=style["color"], markersize=4
        )  # the end


def _line(axis, x, curves: np.ndarray, label: str, style: dict, band: bool) -> None:
    axis.plot(x, curves.mean(axis=0), label=label, **style)
    if band and len(curves) > 1:
        low, high = np.array([interval(column)[1:] for column in curves.T]).T
        axis.fill_between(
            x, np.maximum(low, 1e-4), high, color=style["color"], alpha=0.12, linewidth=0
        )


def _in_decimals(axis) -> None:
    """Marks 1, 2, 3 and 5 of each decade of a logarithmic axis, as plain numbers."""
    marks = [digit * 10.0**decade for decade in range(-4, 1) for digit in (1, 2, 3, 5)]
    axis.set_major_locator(matplotlib.ticker.FixedLocator(marks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def forest(path: pathlib.Path, outcomes: list[Outcome], *, title: str, base: str) -> None:
    """A row a method, as given: its endpoints with 95 % intervals over seeds, beside a line at the
    base's.

    Args:
      path: of the PNG.
      outcomes: what is drawn, the first on top.
      title: above all panels.
      base: the label of the method to compare with.
    """
    figures = {
        "avg@16": "avg@16, held out",
        "pass@16": "pass@16, held out",
        "area": "mean reward",
        "entropy": f"{ENTROPY}, at the end",
    }
    labels = [outcome.entry.label for outcome in outcomes]

    def panels(axes):
        ended = [[suite.endpoints(run) for run in outcome.runs] for outcome in outcomes]
        for axis, (figure, what) in zip(axes[0], figures.items(), strict=True):
            found = np.array([interval([end[figure] for end in ends]) for ends in ended])
            mean, low, high = found.T
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
                xlabel=what,
                yticks=range(len(labels)),
                yticklabels=labels if axis is axes[0, 0] else (),
            )
            axis.invert_yaxis()
        axes[0, -1].set_xscale("log")
        _in_decimals(axes[0, -1].xaxis)
        axes[0, 0].figure.suptitle(title)

    results.figure(path, panels, columns=4, size=(3.4, 1 + 0.2 * len(labels)))
