"""Cautions of a report: what a reader should know before believing its charts and figures."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from papo_jax.evaluation.schema import Entry
from papo_jax.report.run_data import RunData
from papo_jax.report.series import first_and_last_means, metric_series


class Caution(NamedTuple):
    """Something to be wary of: what, where, how bad, and what it means."""

    what: str
    where: str
    worst: str
    meaning: str


class Threshold(NamedTuple):
    """A metric, the value above which it deserves a caution, and the caution's words."""

    metric: str
    bound: float
    what: str
    meaning: str


_THRESHOLDS = (
    Threshold(
        metric="update/skipped",
        bound=0.0,
        what="Update skipped",
        meaning="The step changed nothing: something was not finite.",
    ),
    Threshold(
        metric="length/truncated",
        bound=0.2,
        what="Many completions truncated",
        meaning="Raise rollout.max_new_tokens: cut answers count as failures.",
    ),
    Threshold(
        metric="reward/all_wrong",
        bound=0.9,
        what="Nearly all groups all wrong",
        meaning="The task is too hard now: little signal.",
    ),
    Threshold(
        metric="reward/all_right",
        bound=0.9,
        what="Nearly all groups all right",
        meaning="The task is too easy now: little signal.",
    ),
    Threshold(
        metric="logprob_gap/max",
        bound=1e-3,
        what="Sampler and trainer disagree",
        meaning="Expected in bfloat16; in float32 it is a fault.",
    ),
    Threshold(
        metric="grader/error",
        bound=0.0,
        what="Grader errors",
        meaning="Some answers have no verdict.",
    ),
    Threshold(
        metric="grader/timeout",
        bound=0.0,
        what="Grader timeouts",
        meaning="The grader ran past its deadline.",
    ),
)


def find_cautions(run: RunData) -> list[Caution]:
    """Lists the cautions that a run deserves."""
    found = [_check_threshold(run.rows, threshold) for threshold in _THRESHOLDS]
    found += [
        _check_verdicts(run.evaluation.entries),
        _check_collapse(run.rows),
        _check_finite_values(run.rows),
    ]
    return [caution for caution in found if caution]


def _check_threshold(rows: list[dict], threshold: Threshold) -> Caution | None:
    steps, values = metric_series(rows, threshold.metric)
    over = steps[values > threshold.bound]
    if not len(over):
        return None
    span = f"step {over[0]:g}" if len(over) == 1 else f"steps {over.min():g} to {over.max():g}"
    return Caution(
        what=threshold.what,
        where=f"{len(over)} of {len(steps)}, {span}",
        worst=f"{threshold.metric} {values.max():.3g}",
        meaning=threshold.meaning,
    )


def _check_verdicts(entries: Sequence[Entry]) -> Caution | None:
    affected = [entry for entry in entries if entry.scores.errors > 0]
    if not affected:
        return None
    worst = max(affected, key=lambda entry: entry.scores.errors)
    errors, timeouts = worst.scores.errors, worst.scores.timeouts
    return Caution(
        what="Evaluation without verdicts",
        where=f"{len(affected)} of {len(entries)} evaluations",
        worst=f"{errors} answers at step {worst.step}, {timeouts} by a timeout",
        meaning="They count as not right in every figure of the evaluation set.",
    )


def _check_collapse(rows: list[dict]) -> Caution | None:
    means = first_and_last_means(rows, "entropy")
    if not means or means[1] >= 0.2 * means[0]:
        return None
    return Caution(
        what="Entropy collapsed",
        where="last tenth",
        worst=f"{means[0]:.3g} to {means[1]:.3g} nats",
        meaning="Less than a fifth of the first entropy is left: samples of a group hardly differ.",
    )


def _check_finite_values(rows: list[dict]) -> Caution | None:
    # A group of the breakdown may be empty, and its mean then is no fault: those names have two
    # slashes.
    by_row = [
        [name for name, value in row.items() if name.count("/") < 2 and _is_not_finite(value)]
        for row in rows
    ]
    names = sorted({name for found in by_row for name in found})
    if not names:
        return None
    return Caution(
        what="Values not finite",
        where=f"{sum(map(bool, by_row))} of {len(rows)} steps",
        worst=", ".join(names),
        meaning="These points are left out of the charts.",
    )


def _is_not_finite(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
