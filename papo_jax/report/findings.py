"""Findings of a report in plain words: how a run went, and what to be wary of."""

import math
from typing import Any, NamedTuple

from papo_jax.evaluation.figures import Interval
from papo_jax.json_files import look_up
from papo_jax.report.formatting import format_difference, format_duration, format_share
from papo_jax.report.run_data import RunData
from papo_jax.report.series import metric_series


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


def write_headline(run: RunData) -> str:
    """Says in one sentence what happened: method, model, task, steps, time and evaluation."""
    return f"{_describe_training(run)}; {_describe_evaluation(run)}."


def find_cautions(run: RunData) -> list[Caution]:
    """Lists what a reader should know before believing the charts and the evaluation."""
    found = [_check_threshold(run.rows, threshold) for threshold in _THRESHOLDS]
    found += [_check_verdicts(run), _check_collapse(run.rows), _check_finite_values(run.rows)]
    return [caution for caution in found if caution]


def seconds_spent(run: RunData) -> float:
    """Sums the seconds of rollout, grading and updates over the run."""
    parts = [f"time/{part}" for part in ("rollout", "grade", "update")]
    return float(sum(metric_series(run.rows, part)[1].sum() for part in parts))


def first_and_last_means(rows: list[dict], metric: str) -> tuple[float, float] | None:
    """Averages a metric over the first and the last tenth of its steps; None without values."""
    values = metric_series(rows, metric)[1]
    if not len(values):
        return None
    width = max(1, len(values) // 10)
    return float(values[:width].mean()), float(values[-width:].mean())


def _describe_training(run: RunData) -> str:
    method, model, task = (
        look_up(run.config, section, key) or f"an unnamed {section}"
        for section, key in (("method", "name"), ("model", "path"), ("task", "name"))
    )
    count = len(metric_series(run.rows, "step")[1])
    planned = look_up(run.config, "training", "steps")
    if not count:
        return f"{method} on {task} with {model} has logged no training step"

    steps = f"{count} step{'s' * (count > 1)}"
    if planned and planned != count:
        steps = f"{count} of {planned} steps"
    spent = seconds_spent(run)
    time = f" in {format_duration(spent)} of rollout, grading and updates" if spent else ""
    return f"{method} trained {model} on {task} for {steps}{time}"


def _describe_evaluation(run: RunData) -> str:
    """Says what the first figure was at first and at last, and how it changed."""
    evaluation = run.evaluation
    headlines = [next(iter(entry.scores.figures.items()), None) for entry in evaluation.entries]
    if not headlines or headlines[0] is None:
        return "there is no evaluation"
    name, first = headlines[0]
    size = evaluation.eval_set.problems
    where = f"on the {size} problems of the evaluation set" if size else "on the evaluation set"

    start, end = evaluation.entries[0].step, evaluation.entries[-1].step
    if len(headlines) < 2 or headlines[-1] is None or headlines[-1][0] != name:
        before = f"{name} was {format_share(first)} at step {start}"
        return f"{where}, {before}, with no later evaluation"
    last = headlines[-1][1]
    shares = f"{format_share(first)} at step {start} to {format_share(last)} at step {end}"

    paired = evaluation.paired_difference.get(name)
    change = (
        f"a paired difference of {format_difference(paired)}"
        if paired
        else _describe_unpaired_change(first, last)
    )
    return f"{where}, {name} went from {shares}, {change}"


def _describe_unpaired_change(first: Interval, last: Interval) -> str:
    change = format_difference(Interval(last.value - first.value, None, None))
    if first.low is None or first.high is None or last.low is None or last.high is None:
        return f"a change of {change} without an interval"
    overlap = first.low <= last.high and last.low <= first.high
    relation = "overlap" if overlap else "do not overlap"
    return f"a change of {change}, where the two intervals {relation}"


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


def _check_verdicts(run: RunData) -> Caution | None:
    entries = run.evaluation.entries
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
