"""Control of entropy by PAPO's signal, beside fixed, reversed and random signals.

    python -m experiments.studies.control [--scale=full]

Does PAPO control entropy, and is it the signal that does it? PAPO is compared with the same weights
whose signal is fixed, reversed, taken away, or replaced by random signs of the same histogram:
permuted over the batch, within the sign of A, and within the sign of A and bins of probability
(deciles, or tenths of the mass of abs(P)). And the question beyond the paper: does parameter
polarity hold a set entropy more tightly? Entries with a target hold 0.3 H_0.
On the toy task `chains`, where what is to be learned has to be found
(`experiments.studies.lab.toy_tasks`). Seen on two CPU cores: quick a minute and a half.
"""

from typing import NamedTuple

import numpy as np

from experiments.studies.lab import benchmark_figures, benchmark_tables, study_output
from experiments.studies.lab.benchmark import EntryResult, MethodEntry, Scale, compare_entries
from experiments.studies.lab.seed_intervals import format_interval

NAME = "control"
HALF = {"lam": 0.5}
TARGET = {"target_start": 0.3, "target_end": 0.3}
# s is 0.76 where entropy is 0.05 H_0 away from the target, and weights go from 0.1 to 1.9.
TIGHT = {"lam": 0.9, "w_min": 0.1, "w_max": 1.9, "tau": 0.05}
ENTRIES = [
    MethodEntry("dapo", "dapo"),
    MethodEntry("papo", "papo", HALF),
    MethodEntry("papo 0.2", "papo"),
    MethodEntry("reversed", "papo_reversed", HALF),
    MethodEntry("s = +1", "papo_up", HALF),
    MethodEntry("s = -1", "papo_down", HALF),
    MethodEntry("-A S", "papo_sampled", HALF),
    MethodEntry("-sign(A)", "sign_advantage", HALF),
    MethodEntry("permuted", "papo_random", HALF),
    MethodEntry("permuted in sign(A)", "papo_random_in_sign", HALF),
    MethodEntry("permuted in sign(A) x decile of p", "papo_random_in_probability", HALF),
    MethodEntry("permuted in sign(A) x tenth of mass", "papo_random_in_mass", HALF),
    MethodEntry("papo, 0.3 H0", "papo", {**HALF, **TARGET}),
    MethodEntry("parameter, 0.3 H0", "papo_parameter", {**HALF, **TARGET}),
    MethodEntry("papo, 0.3 H0, tight", "papo", {**TIGHT, **TARGET}),
    MethodEntry("parameter, 0.3 H0, tight", "papo_parameter", {**TIGHT, **TARGET}),
]
SCALES = {"quick": Scale(rollouts=30, seeds=2, rates=(1e-4,)), "full": Scale(rollouts=150, seeds=5)}
QUICK = ("dapo", "papo", "reversed", "permuted")


class CurveFigure(NamedTuple):
    """A figure of training curves.

    Attributes:
      name: of its file.
      labels: of the entries that it shows.
      shaded: labels of those with their 95 %.
      title: after the task's name.
      level: the entropy that is aimed at, as a share of the first one.
    """

    name: str
    labels: tuple[str, ...]
    shaded: tuple[str, ...]
    title: str
    level: float | None = None


SIGNALS = ("dapo", "papo", "-A S", "permuted in sign(A) x tenth of mass")
STEERING = ("dapo", "papo", "papo 0.2", "reversed", "s = +1", "s = -1")
HOLDING = (
    "dapo",
    "papo, 0.3 H0",
    "parameter, 0.3 H0",
    "papo, 0.3 H0, tight",
    "parameter, 0.3 H0, tight",
)
FIGURES = (
    CurveFigure("signals", SIGNALS, SIGNALS, "which signal steers"),
    CurveFigure("steering", STEERING, STEERING[:2], "towards more entropy or less"),
    CurveFigure(
        "holding", HOLDING, HOLDING, "towards 0.3 of the first entropy", level=TARGET["target_end"]
    ),
)


def target_distance_lines(compared: list[EntryResult]) -> list[str]:
    """Writes the distance of entropy from 0.3 H_0 for the entries that are to hold it.

    Root mean square over the last half of each run, nats.
    """
    lines = [
        "",
        "Distance of entropy from 0.3 H_0 over the last half (root mean square of each run, nats):",
        "",
    ]
    for result in compared:
        if result.entry.numbers.get("target_start") or result.entry.label == "dapo":
            entropies = [run["entropy"].astype(np.float64) for run in result.runs]
            distances = [
                np.sqrt(np.mean((entropy[len(entropy) // 2 :] - 0.3 * entropy[0]) ** 2))
                for entropy in entropies
            ]
            lines.append(f"- {result.entry.label}: {format_interval(distances)}")
    return lines


def main() -> None:
    """Makes the runs and writes table, figures and verdict."""
    arguments = study_output.parse_arguments(__doc__, NAME)
    directory = arguments.directory
    entries = [e for e in ENTRIES if arguments.scale == "full" or e.label in QUICK]
    compared = compare_entries(directory, "chains", entries, SCALES[arguments.scale])
    rows = benchmark_tables.endpoint_rows(compared)
    study_output.write_table(directory / "control.csv", rows)

    for figure in FIGURES:
        benchmark_figures.plot_training_curves(
            directory / f"{figure.name}.png",
            [result for result in compared if result.entry.label in figure.labels],
            title=f"chains: {figure.title}",
            shaded=figure.shaded,
            level=figure.level,
        )
    # The tight entries would stretch every axis.
    gentle = [result for result in compared if "tight" not in result.entry.label]
    benchmark_figures.plot_endpoints(
        directory / "ends.png", gentle, title="chains: after the last rollout", base="dapo"
    )

    summary = benchmark_tables.summarize_rows(rows, base="dapo")
    lines = ["# Control", "", *summary, *target_distance_lines(compared)]
    study_output.write_verdict(directory / "verdict.md", lines)


if __name__ == "__main__":
    main()
