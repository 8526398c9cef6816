"""All methods on one budget: which is best, which is last, what each spends of its entropy, and how
soon it gets there.

    python -m experiments.studies.baselines [--scale=full]

Every preset of the field and PAPO, each with the same search: three learning rates at the published
strength and three at one that is scaled to this batch (64 answers and 300 to 1,200 tokens an
update, where a share of 2e-4 is the least there is, one token). Methods without a strength of their
own get twice the seeds instead; so do DAPO's two clips, an entry each. Four updates a rollout, so
that clips and KL-Cov can act. Dynamic sampling and length penalties are off for all: every method
has the same rollouts. Comparators are matched, as nearly as their strengths allow, to the entropy
of PAPO with lam = 0.5, which keeps some (`experiments.studies.lab.matching`). A quick run has four
methods and no matching; a full one takes hours, and stopped and started again it goes on run by
run.
"""

import csv
import pathlib
from collections import defaultdict

import numpy as np

from experiments.studies.lab import curves, matching, results, suite
from experiments.studies.lab.suite import Entry, Scale

NAME = "baselines"
TARGET = {"target_start": 0.3, "target_end": 0.3}
DAPO = Entry(
    "dapo", "dapo", {"clip_high": 0.28}, scaled={}
)  # as published: what PAPO reweights, and what all are compared with
ENTRIES = [
    Entry("grpo", "grpo", scaled={"clip_low": 0.1, "clip_high": 0.1}),
    DAPO,
    Entry("dapo, clip 0.5", "dapo", {"clip_high": 0.5}, scaled={}),
    Entry("dr_grpo", "dr_grpo", scaled={"clip_low": 0.1, "clip_high": 0.1}),
    Entry("gspo", "gspo", scaled={"clip_low": 0.03, "clip_high": 0.04}),
    Entry("reinforce", "reinforce", scaled={}),
    Entry("rloo", "rloo", scaled={}),
    Entry("cispo", "cispo", scaled={"weight_high": 2.0}),
    Entry("psr", "psr", scaled={"clip_low": 0.1, "clip_high": 0.1}),
    Entry("nsr", "nsr", scaled={"clip_low": 0.1, "clip_high": 0.1}),
    Entry("w_reinforce", "w_reinforce", scaled={"right": 0.5}),
    Entry("opefo", "opefo", scaled={}),
    Entry("aer", "aer", scaled={"bonus_gain": 1e-2, "bonus_max": 0.05}),
    Entry("clip_low", "clip_low", scaled={"clip_low": 0.05}),
    Entry("epo", "epo", scaled={"entropy_coefficient": 1e-2}),
    Entry("entropy_bonus", "entropy_bonus", scaled={"entropy_coefficient": 1e-2}),
    Entry("adaptive_entropy", "adaptive_entropy", scaled={"bonus_step": 1e-3, "bonus_max": 0.05}),
    Entry("entropy_advantage", "entropy_advantage", scaled={"entropy_alpha": 1.0}),
    Entry("high_entropy_tokens", "high_entropy_tokens", scaled={"entropy_share": 0.5}),
    Entry("clip_cov", "clip_cov", scaled={"covariance_share": 2e-2}),
    Entry("kl_cov", "kl_cov", scaled={"penalized_share": 5e-2}),
    Entry("clip_b", "clip_b", scaled={"batch_mu": 1.5}),
    Entry("clip_v", "clip_v", scaled={"vocabulary_mu": 3.0, "vocabulary_share": 1e-2}),
    Entry("steer", "steer", scaled={"damping_min": 0.5}),
    Entry("ce_gppo", "ce_gppo", scaled={"below_beta": 0.5}),
    Entry("a3po", "a3po", scaled={"right_factor": 2.0, "wrong_factor": 2.0}),
    Entry("qae", "qae", scaled={"quantile": 0.6}),
    Entry("bapo", "bapo", scaled={"positive_ratio": 1.0}),
    Entry("bapo_code", "bapo_code", scaled={"positive_ratio": 1.0}),
    Entry("stare", "stare", scaled={"right_weight": 1.5}),
    Entry("stare_c2", "stare_c2", scaled={"right_weight": 1.5, "wrong_weight": 0.5}),
    Entry("papo", "papo", scaled={"lam": 0.5}),
    Entry("papo, 0.3 H0", "papo", TARGET, scaled={"lam": 0.5}),
    Entry("-sign(A), 0.3 H0", "sign_advantage", TARGET, scaled={"lam": 0.5}),
    Entry("permuted, 0.3 H0", "papo_random", TARGET, scaled={"lam": 0.5}),
]
KEEPING = Entry(
    "papo 0.5", "papo", {"lam": 0.5}
)  # at the preset's 0.2 there is no entropy to be matched
WIDE = {"w_min": 0.1, "w_max": 1.9}
# Strengths above 0.03 and 0.5, kl_cov and clip_b came when nothing of a first grid was seen to have
# an entropy like PAPO's.
MATCHED = {
    "entropy_bonus, nearest": [
        Entry(f"entropy_bonus {size:g}", "entropy_bonus", {"entropy_coefficient": size})
        for size in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
    ],
    "stare, nearest": [
        Entry(f"stare {size:g}", "stare", {"right_weight": size})
        for size in (1.1, 1.3, 1.6, 2.0, 3.0)
    ],
    "-sign(A), nearest": [
        *(
            Entry(f"-sign(A) {size:g}", "sign_advantage", {"lam": size})
            for size in (0.1, 0.2, 0.3, 0.4, 0.5)
        ),
        *(
            Entry(f"-sign(A) {size:g}", "sign_advantage", {"lam": size, **WIDE})
            for size in (0.7, 0.9)
        ),
    ],
    "kl_cov, nearest": [
        Entry(f"kl_cov {size:g}", "kl_cov", {"penalized_share": size})
        for size in (2e-2, 5e-2, 1e-1, 2e-1)
    ],
    "clip_b, nearest": [
        Entry(f"clip_b {size:g}", "clip_b", {"batch_mu": size}) for size in (1.0, 1.25, 1.5, 2.0)
    ],
    DAPO.label: [DAPO],  # the yardstick
}
QUICK = ("grpo", "dapo", "papo", "clip_cov")
SCALES = {"quick": Scale(rollouts=20, seeds=2, rates=(1e-4,)), "full": Scale(rollouts=150, seeds=5)}


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    entries = [entry for entry in ENTRIES if asked.scale == "full" or entry.label in QUICK]
    outcomes = suite.compare(asked.place, "chains", entries, SCALES[asked.scale])
    order = sorted(outcomes, key=lambda outcome: -sum(suite.avg(run)[-1] for run in outcome.runs))
    rows = results.table(asked.place / "baselines.csv", suite.rows_of(order))
    best = [
        outcome
        for outcome in order
        if outcome in order[:6] or outcome.entry.label in (DAPO.label, "papo")
    ]
    curves.draw(
        asked.place / "baselines.png",
        best,
        title="chains: the best six, DAPO and PAPO",
        shaded=(DAPO.label, "papo"),
    )
    curves.forest(
        asked.place / "ends.png", order, title="chains: after the last rollout", base=DAPO.label
    )
    lines = ["# Baselines", "", "Best first.", "", *suite.summary(rows, base=DAPO.label)]
    if asked.scale == "full":
        lines += by_rate(asked.place / "search_chains.csv")
        lines += matched(asked.place, outcomes)
    results.verdict(asked.place / "verdict.md", lines)


def by_rate(searched: pathlib.Path) -> list[str]:
    """Tells what the learning rate is worth beside the method: avg@16 of all trials of the search
    at each rate."""
    found = defaultdict(list)
    with open(searched, newline="") as file:
        for row in csv.DictReader(file):
            found[row["learning_rate"]].append(float(row["avg@16"]))
    lines = [
        "",
        "avg@16 of all trials of the search:",
        "",
        "| rate | trials | median | lowest | highest | deviation |",
        "|" + "---|" * 6,
    ]

    def figures(values):
        return (np.median(values), min(values), max(values), np.std(values, ddof=1))

    return lines + [
        f"| {rate} | {len(values)} | {' | '.join(f'{figure:.3f}' for figure in figures(values))} |"
        for rate, values in found.items()
    ]


def matched(place: pathlib.Path, outcomes: list[suite.Outcome]) -> list[str]:
    """Makes, draws and tells of PAPO beside other means to its entropy."""
    rate = next(outcome.trial.rate for outcome in outcomes if outcome.entry.label == "papo")
    keeping = suite.report(
        place, "chains", [(KEEPING, suite.trial_of(KEEPING, rate))], SCALES["full"]
    )
    beside = [*keeping, *matching.match(place, "chains", *keeping, MATCHED, SCALES["full"])]
    title = "chains: PAPO with lam = 0.5, and each method where it comes nearest to PAPO's entropy"
    curves.draw(place / "matched.png", beside, title=title, shaded=(KEEPING.label, DAPO.label))
    rows = results.table(place / "matched.csv", suite.rows_of(beside))
    lines = [
        "",
        "PAPO with lam = 0.5, and each method at the strength that comes nearest to its entropy, at its rate:",
        "",
    ]
    return (
        lines + suite.summary(rows, base=KEEPING.label) + distances(place / "matching_chains.csv")
    )


def distances(found: pathlib.Path) -> list[str]:
    """Tells how near to the entropy wanted each comparator came: where none is near, it is not
    matched."""
    with open(found, newline="") as file:
        chosen = [row for row in csv.DictReader(file) if row["chosen"] == "1"]
    lines = [
        "",
        "Root mean square difference of log entropy, over the run:",
        "",
        "| method | strength | difference |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {row['entry']} | {row['numbers']} | {float(row['distance']):.3f} |" for row in chosen
    ]


if __name__ == "__main__":
    main()
