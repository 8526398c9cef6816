"""Does PAPO's signal control entropy, and is it the signal that does it?

    python -m experiments.studies.control [--scale=full]

PAPO against the same weights with the signal fixed, turned round, taken away, or replaced by random
signs of the same
histogram: permuted over the batch, within the sign of A, and within the sign of A and bins of
probability (deciles, or tenths of the mass of abs(P)). And the question beyond the paper: does
parameter polarity hold a set entropy more tightly? Entries with a target hold 0.3 H_0.
In the world `chains`, where what is to be learned has to be found (`experiments.studies.lab.worlds`).
Seen on two CPU cores: quick a minute and a half.
"""

import numpy as np

from experiments.studies.lab import curves, results, suite
from experiments.studies.lab.agreement import shown
from experiments.studies.lab.suite import Entry, Scale

NAME = "control"
TARGET = {"target_start": 0.3, "target_end": 0.3}
# s is 0.76 where entropy is 0.05 H_0 away from the target, and weights go from 0.1 to 1.9.
TIGHT = {"lam": 0.9, "w_min": 0.1, "w_max": 1.9, "tau": 0.05}
ENTRIES = [
    Entry("dapo", "dapo"),
    Entry("papo", "papo", {"lam": 0.5}),
    Entry("papo 0.2", "papo"),
    Entry("reversed", "papo_reversed", {"lam": 0.5}),
    Entry("s = +1", "papo_up", {"lam": 0.5}),
    Entry("s = -1", "papo_down", {"lam": 0.5}),
    Entry("-A S", "papo_sampled", {"lam": 0.5}),
    Entry("-sign(A)", "sign_advantage", {"lam": 0.5}),
    Entry("permuted", "papo_random", {"lam": 0.5}),
    Entry("permuted in sign(A)", "papo_random_in_sign", {"lam": 0.5}),
    Entry("permuted in sign(A) x decile of p", "papo_random_in_probability", {"lam": 0.5}),
    Entry("permuted in sign(A) x tenth of mass", "papo_random_in_mass", {"lam": 0.5}),
    Entry("papo, 0.3 H0", "papo", {"lam": 0.5, **TARGET}),
    Entry("parameter, 0.3 H0", "papo_parameter", {"lam": 0.5, **TARGET}),
    Entry("papo, 0.3 H0, tight", "papo", {**TIGHT, **TARGET}),
    Entry("parameter, 0.3 H0, tight", "papo_parameter", {**TIGHT, **TARGET}),
]
SCALES = {"quick": Scale(rollouts=30, seeds=2, rates=(1e-4,)), "full": Scale(rollouts=150, seeds=5)}
QUICK = ("dapo", "papo", "reversed", "permuted")
SIGNALS = ("dapo", "papo", "-A S", "permuted in sign(A) x tenth of mass")
STEERING = ("dapo", "papo", "papo 0.2", "reversed", "s = +1", "s = -1")
HOLDING = (
    "dapo",
    "papo, 0.3 H0",
    "parameter, 0.3 H0",
    "papo, 0.3 H0, tight",
    "parameter, 0.3 H0, tight",
)
FIGURES = (  # name, entries, those with their 95 %, the entropy that is aimed at, title
    ("signals", SIGNALS, SIGNALS, None, "which signal steers"),
    ("steering", STEERING, STEERING[:2], None, "towards more entropy or less"),
    ("holding", HOLDING, HOLDING, TARGET["target_end"], "towards 0.3 of the first entropy"),
)


def holding(outcomes: list[suite.Outcome]) -> list[str]:
    """How far entropy stays from 0.3 H_0 over the last half, root mean square, nats, for the
    entries that are to hold it."""
    lines = [
        "",
        "Distance of entropy from 0.3 H_0 over the last half (root mean square of each run, nats):",
        "",
    ]
    for outcome in outcomes:
        if outcome.entry.numbers.get("target_start") or outcome.entry.label == "dapo":
            entropies = [run["entropy"].astype(np.float64) for run in outcome.runs]
            gaps = [
                np.sqrt(np.mean((entropy[len(entropy) // 2 :] - 0.3 * entropy[0]) ** 2))
                for entropy in entropies
            ]
            lines.append(f"- {outcome.entry.label}: {shown(gaps)}")
    return lines


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    entries = [entry for entry in ENTRIES if asked.scale == "full" or entry.label in QUICK]
    outcomes = suite.compare(asked.place, "chains", entries, SCALES[asked.scale])
    rows = results.table(asked.place / "control.csv", suite.rows_of(outcomes))
    for name, labels, shaded, level, title in FIGURES:
        shown_here = [outcome for outcome in outcomes if outcome.entry.label in labels]
        curves.draw(
            asked.place / f"{name}.png",
            shown_here,
            title=f"chains: {title}",
            shaded=shaded,
            level=level,
        )
    gentle = [
        outcome for outcome in outcomes if "tight" not in outcome.entry.label
    ]  # the others would stretch every axis
    curves.forest(
        asked.place / "ends.png", gentle, title="chains: after the last rollout", base="dapo"
    )
    results.verdict(
        asked.place / "verdict.md",
        ["# Control", "", *suite.summary(rows, base="dapo"), *holding(outcomes)],
    )


if __name__ == "__main__":
    main()
