"""Baselines: all methods on one budget, their accuracy, entropy and speed after an equal search.

    python -m experiments.studies.baselines [--scale=full]

Every preset of the field and PAPO, each with the same search: three learning rates at the published
strength and three at one that is scaled to this batch (64 completions and 300 to 1,200 tokens an
update, where a share of 2e-4 is the least there is, one token). Methods without a strength of their
own get twice the seeds instead; so do DAPO's two clips, an entry each. Four updates a rollout, so
that clips and KL-Cov can act. Dynamic sampling and length penalties are off for all: every method
has the same rollouts. Comparators are matched, as nearly as their strengths allow, to the entropy
of PAPO with lam = 0.5, which keeps some (`experiments.studies.lab.entropy_matching`). A quick run
has four methods and no matching; a full one takes hours, and resumes run by run.
"""

import csv
import pathlib
from collections import defaultdict

import numpy as np

from experiments.studies.lab import benchmark_figures, benchmark_tables, study_output
from experiments.studies.lab.benchmark import (
    EntryResult,
    MethodEntry,
    Scale,
    compare_entries,
    make_trial,
    report_entries,
)
from experiments.studies.lab.entropy_matching import match_entropy
from experiments.studies.lab.run_metrics import average_at_k

NAME = "baselines"
TASK = "chains"
TARGET = {"target_start": 0.3, "target_end": 0.3}
CLIP_TENTH = {"clip_low": 0.1, "clip_high": 0.1}
BONUS = {"entropy_coefficient": 1e-2}
# DAPO as published: what PAPO reweights, and what all are compared with.
DAPO = MethodEntry("dapo", "dapo", {"clip_high": 0.28}, scaled={})


def _preset_entry(preset: str, **scaled: float) -> MethodEntry:
    """Returns a preset with the numbers of its second strength."""
    return MethodEntry(preset, preset, scaled=scaled)


ENTRIES = [
    _preset_entry("grpo", **CLIP_TENTH),
    DAPO,
    MethodEntry("dapo, clip 0.5", "dapo", {"clip_high": 0.5}, scaled={}),
    _preset_entry("dr_grpo", **CLIP_TENTH),
    _preset_entry("gspo", clip_low=0.03, clip_high=0.04),
    _preset_entry("reinforce"),
    _preset_entry("rloo"),
    _preset_entry("cispo", weight_high=2.0),
    _preset_entry("psr", **CLIP_TENTH),
    _preset_entry("nsr", **CLIP_TENTH),
    _preset_entry("w_reinforce", right=0.5),
    _preset_entry("opefo"),
    _preset_entry("aer", bonus_gain=1e-2, bonus_max=0.05),
    _preset_entry("clip_low", clip_low=0.05),
    _preset_entry("epo", **BONUS),
    _preset_entry("entropy_bonus", **BONUS),
    _preset_entry("adaptive_entropy", bonus_step=1e-3, bonus_max=0.05),
    _preset_entry("entropy_advantage", entropy_alpha=1.0),
    _preset_entry("high_entropy_tokens", entropy_share=0.5),
    _preset_entry("clip_cov", covariance_share=2e-2),
    _preset_entry("kl_cov", penalized_share=5e-2),
    _preset_entry("clip_b", batch_mu=1.5),
    _preset_entry("clip_v", vocabulary_mu=3.0, vocabulary_share=1e-2),
    _preset_entry("steer", damping_min=0.5),
    _preset_entry("ce_gppo", below_beta=0.5),
    _preset_entry("a3po", right_factor=2.0, wrong_factor=2.0),
    _preset_entry("qae", quantile=0.6),
    _preset_entry("bapo", positive_ratio=1.0),
    _preset_entry("bapo_code", positive_ratio=1.0),
    _preset_entry("stare", right_weight=1.5),
    _preset_entry("stare_c2", right_weight=1.5, wrong_weight=0.5),
    _preset_entry("papo", lam=0.5),
    MethodEntry("papo, 0.3 H0", "papo", TARGET, scaled={"lam": 0.5}),
    MethodEntry("-sign(A), 0.3 H0", "sign_advantage", TARGET, scaled={"lam": 0.5}),
    MethodEntry("permuted, 0.3 H0", "papo_random", TARGET, scaled={"lam": 0.5}),
]

# PAPO whose entropy the comparators are matched to: at the preset's 0.2 it keeps next to none.
ENTROPY_KEEPING_PAPO = MethodEntry("papo 0.5", "papo", {"lam": 0.5})
WIDE_WEIGHTS = {"w_min": 0.1, "w_max": 1.9}


def _list_strengths(label: str, preset: str, number: str, sizes: tuple[float, ...], **fixed: float):
    """Returns a method at each size of one of its numbers."""
    return [MethodEntry(f"{label} {size:g}", preset, {number: size, **fixed}) for size in sizes]


# Strengths above 0.03 and 0.5, kl_cov and clip_b came when nothing of a first grid was seen to have
# an entropy like PAPO's.
COMPARATORS = {
    "entropy_bonus, nearest": _list_strengths(
        "entropy_bonus",
        "entropy_bonus",
        "entropy_coefficient",
        (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    ),
    "stare, nearest": _list_strengths("stare", "stare", "right_weight", (1.1, 1.3, 1.6, 2.0, 3.0)),
    "-sign(A), nearest": [
        *_list_strengths("-sign(A)", "sign_advantage", "lam", (0.1, 0.2, 0.3, 0.4, 0.5)),
        *_list_strengths("-sign(A)", "sign_advantage", "lam", (0.7, 0.9), **WIDE_WEIGHTS),
    ],
    "kl_cov, nearest": _list_strengths(
        "kl_cov", "kl_cov", "penalized_share", (2e-2, 5e-2, 1e-1, 2e-1)
    ),
    "clip_b, nearest": _list_strengths("clip_b", "clip_b", "batch_mu", (1.0, 1.25, 1.5, 2.0)),
    DAPO.label: [DAPO],  # the yardstick
}
MATCHED_TITLE = (
    "chains: PAPO with lam = 0.5, and each method where it comes nearest to PAPO's entropy"
)
QUICK = ("grpo", "dapo", "papo", "clip_cov")
SCALES = {"quick": Scale(rollouts=20, seeds=2, rates=(1e-4,)), "full": Scale(rollouts=150, seeds=5)}


def main() -> None:
    """Makes the runs and writes tables, figures and verdict."""
    arguments = study_output.parse_arguments(__doc__, NAME)
    directory, full = arguments.directory, arguments.scale == "full"
    entries = [entry for entry in ENTRIES if full or entry.label in QUICK]
    compared = compare_entries(directory, TASK, entries, SCALES[arguments.scale])

    # The best avg@16 at the last evaluation first.
    ranked = sorted(compared, key=lambda r: -sum(average_at_k(run)[-1] for run in r.runs))
    rows = study_output.write_table(
        directory / "baselines.csv", benchmark_tables.endpoint_rows(ranked)
    )
    shown = [
        result
        for rank, result in enumerate(ranked)
        if rank < 6 or result.entry.label in (DAPO.label, "papo")
    ]
    benchmark_figures.plot_training_curves(
        directory / "baselines.png",
        shown,
        title="chains: the best six, DAPO and PAPO",
        shaded=(DAPO.label, "papo"),
    )
    benchmark_figures.plot_endpoints(
        directory / "ends.png", ranked, title="chains: after the last rollout", base=DAPO.label
    )

    summary = benchmark_tables.summarize_rows(rows, base=DAPO.label)
    lines = ["# Baselines", "", "Best first.", "", *summary]
    if full:
        lines += rate_table(directory / "search_chains.csv")
        lines += compare_matched(directory, compared)
    study_output.write_verdict(directory / "verdict.md", lines)


def rate_table(search_path: pathlib.Path) -> list[str]:
    """Writes a table of avg@16 of all trials at each learning rate of the search.

    It shows how much the learning rate is worth beside the method.

    Args:
      search_path: search_chains.csv.
    """
    by_rate = defaultdict(list)
    with open(search_path, newline="") as file:
        for row in csv.DictReader(file):
            by_rate[row["learning_rate"]].append(float(row["avg@16"]))

    lines = [
        "",
        "avg@16 of all trials of the search:",
        "",
        "| rate | trials | median | lowest | highest | deviation |",
        "|" + "---|" * 6,
    ]
    for rate, values in by_rate.items():
        figures = (np.median(values), min(values), max(values), np.std(values, ddof=1))
        cells = [rate, str(len(values)), *(f"{figure:.3f}" for figure in figures)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def compare_matched(directory: pathlib.Path, compared: list[EntryResult]) -> list[str]:
    """Compares PAPO with other means to its entropy: runs, figure, tables; returns their lines."""
    rate = next(result.trial.rate for result in compared if result.entry.label == "papo")
    chosen = [(ENTROPY_KEEPING_PAPO, make_trial(ENTROPY_KEEPING_PAPO, rate))]
    (target,) = report_entries(directory, TASK, chosen, SCALES["full"])
    matched = match_entropy(
        directory, TASK, target=target, candidates=COMPARATORS, scale=SCALES["full"]
    )

    benchmark_figures.plot_training_curves(
        directory / "matched.png",
        [target, *matched],
        title=MATCHED_TITLE,
        shaded=(ENTROPY_KEEPING_PAPO.label, DAPO.label),
    )
    rows = study_output.write_table(
        directory / "matched.csv", benchmark_tables.endpoint_rows([target, *matched])
    )
    return [
        "",
        "PAPO with lam = 0.5, and each method at the strength that comes nearest to its entropy, "
        "at its rate:",
        "",
        *benchmark_tables.summarize_rows(rows, base=ENTROPY_KEEPING_PAPO.label),
        *distance_table(directory / "matching_chains.csv"),
    ]


def distance_table(matching_path: pathlib.Path) -> list[str]:
    """Writes a table of each comparator's distance to the entropy wanted.

    Where none is near, it is not matched.

    Args:
      matching_path: matching_chains.csv.
    """
    with open(matching_path, newline="") as file:
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
