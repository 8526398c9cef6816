"""What is each branch of polarity for?

    python -m experiments.studies.branches [--scale=full]

Updates that expand entropy alone, updates that contract it alone, as many at random, both, and both
reweighted, in both worlds: reward, entropy and pass@k over training. Nearly all that expand are
  tokens of wrong answers, so that a branch alone also has
other signs of A than both: the random ones are a half, and as many of each sign of A as a branch
has. Tokens in the dead band, about half of all, stay in every one of them. The paper (arXiv
2605.11775) calls the branches complementary: exploration kept, exploitation strengthened. A quick
run has the first world, and of the random ones the half.
"""

from experiments.studies.lab import curves, results, suite
from experiments.studies.lab.suite import Entry, Scale

NAME = "branches"
ENTRIES = [
    Entry("both", "dapo"),
    Entry("expanding only", "positive_branch"),
    Entry("contracting only", "negative_branch"),
    Entry("a random half", "random_branch"),
    Entry("random, A as expanding", "random_positive_branch"),
    Entry("random, A as contracting", "random_negative_branch"),
    Entry("reweighted (papo)", "papo", {"lam": 0.5, "target_start": 0.3, "target_end": 0.3}),
]
QUICK = ("both", "expanding only", "contracting only", "a random half", "reweighted (papo)")
SCALES = {"quick": Scale(rollouts=30, seeds=2, rates=(1e-4,)), "full": Scale(rollouts=150, seeds=5)}


def main() -> None:
    """Makes, draws and judges."""
    asked = results.arguments(__doc__, NAME)
    entries = [entry for entry in ENTRIES if asked.scale == "full" or entry.label in QUICK]
    lines, rows = ["# Branches"], []
    for world in ("chains", "sums") if asked.scale == "full" else ("chains",):
        outcomes = suite.compare(asked.place, world, entries, SCALES[asked.scale])
        own = suite.rows_of(outcomes)
        rows += [{"world": world, **row} for row in own]
        curves.draw(
            asked.place / f"{world}.png",
            outcomes,
            title=world,
            shaded=tuple(entry.label for entry in entries),
        )
        lines += ["", f"## {world}", "", *suite.summary(own, base="both")]
    results.table(asked.place / "branches.csv", rows)
    results.verdict(asked.place / "verdict.md", lines)


if __name__ == "__main__":
    main()
