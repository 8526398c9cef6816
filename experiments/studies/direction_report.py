"""What the study of direction shows: tables, figure and verdict, from its rows and stored runs."""

import pathlib

import numpy as np

from experiments.studies.lab import results
from experiments.studies.lab.agreement import interval, shown, sign_by_size

DIRECTIONAL = "directional derivative"
BY_SIZE = ("polarity P", "P over equal states", DIRECTIONAL)
JUDGED = {"sgd": 1e-3, "adam": 1e-6}  # learning rates at which first order holds
FIGURES = {
    "silent": "says 0",
    "sign": "sign",
    "sign_large": "sign, larger half",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "slope": "slope",
}

Found = dict[tuple[str, str], list[results.Arrays]]  # (setting, optimizer) -> a run for each seed


def by_size(place: pathlib.Path, found: Found) -> list[dict]:
    """Sign agreement by the size of the realized change at the judged rates, the tokens of all
    seeds together."""
    rows = []
    for (setting, optimizer), runs in found.items():
        at = [int(np.argmin(np.abs(np.log(run["rates"] / JUDGED[optimizer])))) for run in runs]
        realized = np.concatenate(
            [run["realized"][step] for run, step in zip(runs, at, strict=True)]
        )
        for name in BY_SIZE:
            parts = [
                run["directional"][step] if name == DIRECTIONAL else run[f"predicted/{name}"]
                for run, step in zip(runs, at, strict=True)
            ]
            binned = sign_by_size(np.concatenate(parts), realized)
            rows += [
                {"setting": setting, "optimizer": optimizer, "predictor": name, **row}
                for row in binned
            ]
    return results.table(place / "by_size.csv", rows)


def draw(place: pathlib.Path, rows: list[dict], binned: list[dict]) -> None:
    """Logit space; sign agreement by size in the shipped policy; rank correlation against the
    step's size in every model."""
    settings = [
        pair
        for pair in dict.fromkeys((row["setting"], row["optimizer"]) for row in rows)
        if pair[0] != "logits"
    ]
    signals = [
        name for name in dict.fromkeys(row["predictor"] for row in rows) if name != DIRECTIONAL
    ]
    colors = {
        DIRECTIONAL: "black",
        **{name: f"C{number}" for number, name in enumerate(signals)},
    }  # there are ten of C

    def panels(axes):
        exact = [row for row in rows if row["setting"] == "logits"]
        first, second, *others = axes.flat
        first.semilogx(
            [r["step"] for r in exact], [r["sign"] for r in exact], "o-", label="sign agreement"
        )
        first.semilogx([r["step"] for r in exact], [r["slope"] for r in exact], "s-", label="slope")
        first.set(
            title="logit space: polarity P",
            xlabel="step of the logits",
            ylabel="sign agreement, slope",
            ylim=(0.85, 1.01),
        )
        first.legend(loc="lower left")
        for name in BY_SIZE:
            own = [
                row
                for row in binned
                if (row["setting"], row["optimizer"], row["predictor"]) == ("tiny", "sgd", name)
            ]
            own = [row for row in own if row["silent"] < 0.5]  # in the smallest bins P says 0
            second.semilogx(
                [row["realized"] for row in own],
                [row["sign"] for row in own],
                "o-",
                color=colors[name],
                label=name,
                markersize=3,
            )
        second.set(
            title="tiny, sgd: by the size of the change",
            xlabel="size of the realized change, nats",
            ylabel="sign agreement",
            ylim=(0.4, 1.02),
        )
        second.legend(fontsize=7)
        for axis, pair in zip(others, settings, strict=False):
            _correlations(
                axis, [row for row in rows if (row["setting"], row["optimizer"]) == pair], colors
            )
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

    results.figure(place / "direction.png", panels, rows=2, columns=3, size=(4.2, 3.4))


def _correlations(axis, rows: list[dict], colors: dict[str, str]) -> None:
    """A line for each predictor: the mean over seeds, and its 95 %."""
    steps = sorted({row["step"] for row in rows})
    for name in dict.fromkeys(row["predictor"] for row in rows):
        bands = [
            interval(
                [
                    row["spearman"]
                    for row in rows
                    if row["predictor"] == name and row["step"] == step
                ]
            )
            for step in steps
        ]
        mean, low, high = np.array(bands).T
        axis.semilogx(steps, mean, "o-", color=colors[name], label=name, markersize=3)
        axis.fill_between(steps, low, high, color=colors[name], alpha=0.12, linewidth=0)


def judge(rows: list[dict]) -> list[str]:
    """What the study says: a table for each model, with the difference from P paired by seed."""
    small = min(row["step"] for row in rows if row["setting"] == "logits")
    exact = next(row for row in rows if row["setting"] == "logits" and row["step"] == small)
    lines = [
        "# Direction",
        "",
        f"Logit space, step {small:g}: sign agreement {exact['sign']:.5f}, slope {exact['slope']:.5f}.",
    ]
    lines += [
        "",
        "In models a token signal's slope is per unit of the learning rate; the directional derivative's should be 1.",
    ]
    for setting, optimizer in dict.fromkeys(
        (row["setting"], row["optimizer"]) for row in rows if row["setting"] != "logits"
    ):
        step = min(
            {row["step"] for row in rows if row["optimizer"] == optimizer},
            key=lambda rate: abs(np.log(rate / JUDGED[optimizer])),
        )
        own = [
            row
            for row in rows
            if (row["setting"], row["optimizer"], row["step"]) == (setting, optimizer, step)
        ]
        columns = [
            "predictor",
            *FIGURES.values(),
            "Spearman of P less it, paired",
            "sign, larger half, of P less it, paired",
        ]
        lines += [
            "",
            f"{setting}, {optimizer}, learning rate {step:g}, mean over seeds [95 %]:",
            "",
            f"| {' | '.join(columns)} |",
            "|" + "---|" * len(columns),
        ]

        def of(name, figure):
            return np.array([row[figure] for row in own if row["predictor"] == name])

        for name in dict.fromkeys(row["predictor"] for row in own):
            cells = [shown(of(name, figure)) for figure in FIGURES]
            less = [
                shown(of("polarity P", figure) - of(name, figure), sign="+")
                for figure in ("spearman", "sign_large")
            ]
            lines.append(
                f"| {name} | {' | '.join(cells + ([''] * 2 if name == 'polarity P' else less))} |"
            )
    return lines
