"""Tables, figure and verdict of the study of direction, from its rows and stored runs."""

import pathlib

import numpy as np

from experiments.studies.lab import study_output
from experiments.studies.lab.agreement import bin_signs_by_size
from experiments.studies.lab.seed_intervals import confidence_interval, format_interval
from experiments.studies.lab.study_output import Arrays

DIRECTIONAL = "directional derivative"
BINNED_PREDICTORS = ("polarity P", "P over equal states", DIRECTIONAL)
JUDGED_RATES = {"sgd": 1e-3, "adam": 1e-6}  # learning rates at which first order holds
COLUMNS = {  # figure -> its column in the verdict
    "silent": "says 0",
    "sign": "sign",
    "sign_large": "sign, larger half",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "slope": "slope",
}

RunsBySetting = dict[tuple[str, str], list[Arrays]]  # (setting, optimizer) -> a run for each seed


def write_size_table(directory: pathlib.Path, runs: RunsBySetting) -> list[dict]:
    """Writes by_size.csv: sign agreement by the size of the realized change.

    At the judged rates, the tokens of all seeds together.

    Args:
      directory: the study's.
      runs: of the models.

    Returns:
      The table's rows.
    """
    rows = []
    for (setting, optimizer), by_seed in runs.items():
        # The rate of each run that is nearest to the judged one.
        steps = [
            int(np.argmin(np.abs(np.log(run["rates"] / JUDGED_RATES[optimizer]))))
            for run in by_seed
        ]
        run_steps = list(zip(by_seed, steps, strict=True))
        realized = np.concatenate([run["realized"][step] for run, step in run_steps])

        for name in BINNED_PREDICTORS:
            predicted = [
                run["directional"][step] if name == DIRECTIONAL else run[f"predicted/{name}"]
                for run, step in run_steps
            ]
            rows += [
                {"setting": setting, "optimizer": optimizer, "predictor": name, **row}
                for row in bin_signs_by_size(np.concatenate(predicted), realized)
            ]
    return study_output.write_table(directory / "by_size.csv", rows)


def plot_direction(directory: pathlib.Path, rows: list[dict], binned: list[dict]) -> None:
    """Plots logit space, sign agreement by size, and rank correlation against the step's size.

    Args:
      directory: the study's.
      rows: of direction.csv.
      binned: of by_size.csv.
    """
    settings = [pair for pair in dict.fromkeys(map(_setting, rows)) if pair[0] != "logits"]
    predictors = dict.fromkeys(row["predictor"] for row in rows)
    signals = [name for name in predictors if name != DIRECTIONAL]
    # There are ten colors.
    colors = {DIRECTIONAL: "black", **{name: f"C{index}" for index, name in enumerate(signals)}}

    def draw_axes(axes):
        first, second, *others = axes.flat
        _plot_logit_space(first, [row for row in rows if row["setting"] == "logits"])
        _plot_sizes(second, binned, colors)
        for axis, pair in zip(others, settings, strict=False):
            _plot_correlations(axis, [row for row in rows if _setting(row) == pair], colors)
            axis.set(
                title=", ".join(pair),
                xlabel="learning rate",
                ylabel="Spearman, predicted and realized",
                ylim=(-1, 1.05),
            )
        for axis in others[len(settings) :]:
            axis.axis("off")
        first.figure.legend(
            *others[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=4
        )

    study_output.write_figure(
        directory / "direction.png", draw_axes, rows=2, columns=3, size=(4.2, 3.4)
    )


def _setting(row: dict) -> tuple[str, str]:
    return row["setting"], row["optimizer"]


def _plot_logit_space(axis, rows: list[dict]) -> None:
    steps = [row["step"] for row in rows]
    axis.semilogx(steps, [row["sign"] for row in rows], "o-", label="sign agreement")
    axis.semilogx(steps, [row["slope"] for row in rows], "s-", label="slope")
    axis.set(
        title="logit space: polarity P",
        xlabel="step of the logits",
        ylabel="sign agreement, slope",
        ylim=(0.85, 1.01),
    )
    axis.legend(loc="lower left")


def _plot_sizes(axis, binned: list[dict], colors: dict[str, str]) -> None:
    """Plots sign agreement by size in the shipped policy with SGD."""
    for name in BINNED_PREDICTORS:
        own = [
            row
            for row in binned
            if (*_setting(row), row["predictor"]) == ("tiny", "sgd", name)
            and row["silent"] < 0.5  # in the smallest bins P says 0
        ]

        axis.semilogx(
            [row["realized"] for row in own],
            [row["sign"] for row in own],
            "o-",
            color=colors[name],
            label=name,
            markersize=3,
        )
    axis.set(
        title="tiny, sgd: by the size of the change",
        xlabel="size of the realized change, nats",
        ylabel="sign agreement",
        ylim=(0.4, 1.02),
    )
    axis.legend(fontsize=7)


def _plot_correlations(axis, rows: list[dict], colors: dict[str, str]) -> None:
    """Plots a line for each predictor: the mean over seeds, and its 95 %."""
    steps = sorted({row["step"] for row in rows})
    for name in dict.fromkeys(row["predictor"] for row in rows):
        own = [row for row in rows if row["predictor"] == name]
        intervals = [
            confidence_interval([row["spearman"] for row in own if row["step"] == step])
            for step in steps
        ]
        mean, low, high = np.array(intervals).T
        axis.semilogx(steps, mean, "o-", color=colors[name], label=name, markersize=3)
        axis.fill_between(steps, low, high, color=colors[name], alpha=0.12, linewidth=0)


def verdict_lines(rows: list[dict]) -> list[str]:
    """Writes a table for each model, with the difference from P paired by seed."""
    small = min(row["step"] for row in rows if row["setting"] == "logits")
    exact = next(row for row in rows if row["setting"] == "logits" and row["step"] == small)
    sign, slope = f"{exact['sign']:.5f}", f"{exact['slope']:.5f}"
    lines = [
        "# Direction",
        "",
        f"Logit space, step {small:g}: sign agreement {sign}, slope {slope}.",
        "",
        "In models a token signal's slope is per unit of the learning rate; the directional "
        "derivative's should be 1.",
    ]

    for setting, optimizer in dict.fromkeys(map(_setting, rows)):
        if setting == "logits":
            continue
        step = min(
            {row["step"] for row in rows if row["optimizer"] == optimizer},
            key=lambda rate, judged=JUDGED_RATES[optimizer]: abs(np.log(rate / judged)),
        )
        own = [row for row in rows if (*_setting(row), row["step"]) == (setting, optimizer, step)]
        title = f"{setting}, {optimizer}, learning rate {step:g}, mean over seeds [95 %]:"
        lines += ["", title, "", *_setting_table(own)]
    return lines


def _setting_table(rows: list[dict]) -> list[str]:
    """Writes the table of one model and optimizer at one learning rate."""
    columns = [
        "predictor",
        *COLUMNS.values(),
        "Spearman of P less it, paired",
        "sign, larger half, of P less it, paired",
    ]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]

    def values_of(predictor: str, figure: str) -> np.ndarray:
        return np.array([row[figure] for row in rows if row["predictor"] == predictor])

    for name in dict.fromkeys(row["predictor"] for row in rows):
        cells = [name, *(format_interval(values_of(name, figure)) for figure in COLUMNS)]
        for figure in ("spearman", "sign_large"):
            less = values_of("polarity P", figure) - values_of(name, figure)
            cells.append("" if name == "polarity P" else format_interval(less, sign="+"))
        lines.append(f"| {' | '.join(cells)} |")
    return lines
