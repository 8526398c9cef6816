"""Branches of polarity: training on expanding or contracting updates alone, and on both.

    python -m experiments.studies.branches [--scale=full]

Updates that expand entropy alone, updates that contract it alone, as many at random, both, and both
reweighted, on both toy tasks: reward, entropy and pass@k over training. Nearly all that expand are
tokens of wrong completions, so that a branch alone also has other signs of A than both: the random
ones are a half, and as many of each sign of A as a branch has. Tokens in the dead band, about half
of all, stay in every one of them. The paper (arXiv 2605.11775) calls the branches complementary:
exploration kept, exploitation strengthened. A quick run has the task `chains`, and of the random
entries the half.
"""

from experiments.studies.lab import benchmark_figures, benchmark_tables, study_output
from experiments.studies.lab.benchmark import MethodEntry, Scale, compare_entries

NAME = "branches"
PAPO_NUMBERS = {"lam": 0.5, "target_start": 0.3, "target_end": 0.3}
ENTRIES = [
    MethodEntry("both", "dapo"),
    MethodEntry("expanding only", "positive_branch"),
    MethodEntry("contracting only", "negative_branch"),
    MethodEntry("a random half", "random_branch"),
    MethodEntry("random, A as expanding", "random_positive_branch"),
    MethodEntry("random, A as contracting", "random_negative_branch"),
    MethodEntry("reweighted (papo)", "papo", PAPO_NUMBERS),
]
QUICK = ("both", "expanding only", "contracting only", "a random half", "reweighted (papo)")
SCALES = {"quick": Scale(rollouts=30, seeds=2, rates=(1e-4,)), "full": Scale(rollouts=150, seeds=5)}


def main() -> None:
    """Makes the runs and writes tables, figures and verdict."""
    arguments = study_output.parse_arguments(__doc__, NAME)
    directory, full = arguments.directory, arguments.scale == "full"
    entries = [entry for entry in ENTRIES if full or entry.label in QUICK]
    labels = tuple(entry.label for entry in entries)

    lines, rows = ["# Branches"], []
    for task in ("chains", "sums") if full else ("chains",):
        compared = compare_entries(directory, task, entries, SCALES[arguments.scale])
        own = benchmark_tables.endpoint_rows(compared)
        rows += [{"world": task, **row} for row in own]
        benchmark_figures.plot_training_curves(
            directory / f"{task}.png", compared, title=task, shaded=labels
        )
        lines += ["", f"## {task}", "", *benchmark_tables.summarize_rows(own, base="both")]
    study_output.write_table(directory / "branches.csv", rows)
    study_output.write_verdict(directory / "verdict.md", lines)


if __name__ == "__main__":
    main()
