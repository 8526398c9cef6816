"""Table, figure and verdict of the study of authority, from its stored runs."""

import pathlib

import numpy as np

from experiments.studies.lab import study_output
from experiments.studies.lab.seed_intervals import confidence_interval, format_interval
from experiments.studies.lab.study_output import Arrays

CONTROL_LABELS = {  # random control -> its label in tables
    "random": "P permuted",
    "random_in_sign": "P permuted in sign(A)",
    "random_in_probability": "P permuted in sign(A) x decile of p",
    "random_in_mass": "P permuted in sign(A) x tenth of mass",
}


def control_key(control: str) -> str:
    """Returns a random control's name in stored runs."""
    return f"P permuted ({control})"


def authority_rows(setting: str, optimizer: str, seed: int, measured: Arrays) -> list[dict]:
    """Returns a row for each signal; of several random draws the mean, and the mean size."""
    labels = {control_key(control): label for control, label in CONTROL_LABELS.items()}
    return [
        {
            "setting": setting,
            "optimizer": optimizer,
            "seed": seed,
            "signal": labels.get(name, name),
            "authority": float(np.mean(values)),
            "size": float(np.mean(np.abs(values))),
        }
        for name, values in measured.items()
    ]


def add_exact_share(rows: list[dict]) -> list[dict]:
    """Adds the authority as a share of the exact signal's (parameter polarity).

    The unit is the exact signal's mean over the seeds of a setting. That makes settings and
    optimizers comparable; a run's own exact authority may be near 0, so it is no unit.
    """
    exact: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["signal"] == "parameter polarity":
            exact.setdefault((row["setting"], row["optimizer"]), []).append(row["authority"])
    unit = {key: float(np.mean(values)) for key, values in exact.items()}
    return [
        {**row, "of_exact": row["authority"] / unit[row["setting"], row["optimizer"]]}
        for row in rows
    ]


def plot_authority(directory: pathlib.Path, rows: list[dict]) -> None:
    """Plots shares of the exact signal's authority: axes for each policy and optimizer.

    A gray dot is a seed in a setting.
    """
    groups = list(dict.fromkeys(map(_policy_and_optimizer, rows)))
    first = [row for row in rows if _policy_and_optimizer(row) == groups[0]]
    upwards = sorted(
        dict.fromkeys(row["signal"] for row in rows),
        key=lambda name: float(np.mean(mean_share_by_seed(first, name))),
    )

    def draw_axes(axes):
        axes[0, 0].figure.suptitle("gray: a seed in a setting; blue: mean and 95 % over seeds")
        for axis, group in zip(axes[0], groups, strict=True):
            own = [row for row in rows if _policy_and_optimizer(row) == group]
            for height, name in enumerate(upwards):
                values = [row["of_exact"] for row in own if row["signal"] == name]
                mean, low, high = confidence_interval(mean_share_by_seed(own, name))
                axis.plot(values, [height] * len(values), ".", color="0.7", markersize=4)
                axis.plot([low, high], [height] * 2, "-", color="C0")
                axis.plot([mean], [height], "o", color="C0", markersize=5)
            axis.set(
                title=", ".join(group),
                xlabel="authority / that of parameter polarity",
                yticks=range(len(upwards)),
                xlim=(-1.0, 1.9),
            )
            axis.set_yticklabels(upwards if axis is axes[0, 0] else ())
            axis.axvline(0, color="0.8", linewidth=0.8)

    study_output.write_figure(
        directory / "authority.png", draw_axes, columns=len(groups), size=(4.4, 4.0)
    )


def _policy_and_optimizer(row: dict) -> tuple[str, str]:
    return row["setting"].split(",")[0], row["optimizer"]


def mean_share_by_seed(rows: list[dict], signal: str) -> np.ndarray:
    """Averages a signal's share of the exact authority over each seed's settings, [seeds]."""
    seeds: dict[int, list[float]] = {}
    for row in rows:
        if row["signal"] == signal:
            seeds.setdefault(row["seed"], []).append(row["of_exact"])
    return np.array([np.mean(values) for _, values in sorted(seeds.items())])


def verdict_lines(rows: list[dict]) -> list[str]:
    """Writes tables: a line for each signal with its share, and P less it, paired by seed."""
    lines = [
        "# Authority",
        "",
        "Share of parameter polarity's authority, mean [95 %] over seeds, each the mean of its "
        "settings.",
        "",
    ]
    for group in dict.fromkeys(map(_policy_and_optimizer, rows)):
        own = [row for row in rows if _policy_and_optimizer(row) == group]
        lines += [f"{', '.join(group)}:", "", *_group_table(own), ""]
    return lines


def _group_table(rows: list[dict]) -> list[str]:
    """Writes the table of one policy and optimizer, with a column for each of several settings."""
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    shown_settings = settings if len(settings) > 1 else []
    setting_columns = [setting.split(", ", 1)[1] for setting in shown_settings]
    columns = ["signal", "share", "P less it, paired", *setting_columns]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]

    polarity = mean_share_by_seed(rows, "polarity P")
    for signal in dict.fromkeys(row["signal"] for row in rows):
        share = mean_share_by_seed(rows, signal)
        less = format_interval(polarity - share, sign="+") if signal != "polarity P" else ""
        cells = [signal, format_interval(share), less]
        for setting in shown_settings:
            values = [
                row["of_exact"]
                for row in rows
                if (row["setting"], row["signal"]) == (setting, signal)
            ]
            cells.append(f"{np.mean(values):.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines
