"""What the record of a run says in plain words: how it went, and what to be wary of."""

import math
from typing import Any, NamedTuple

from papo_jax.report.evaluation_figures import (
    Interval,
    entries,
    measures,
    paired_difference,
    percent,
    points,
    without_verdict,
)
from papo_jax.report.run_data import Run, look_up
from papo_jax.report.series import series


class Caution(NamedTuple):
    """Something to be wary of: what, where, how bad, and what it means."""

    what: str
    where: str
    worst: str
    meaning: str


def headline(run: Run) -> str:
    """Says in one sentence what happened: method, model, task, steps, time, and the panel before
    and after."""
    return f"{_training(run)}; {_panel(run)}."


def cautions(run: Run) -> list[Caution]:
    """Lists what a reader should know before believing the charts and the panel's figures."""
    checks = (
        (
            "update/skipped",
            0.0,
            "Update skipped",
            "The step changed nothing: something was not finite.",
        ),
        (
            "length/truncated",
            0.2,
            "Many completions truncated",
            "Raise rollout.max_new_tokens: cut answers count as failures.",
        ),
        (
            "reward/all_wrong",
            0.9,
            "Nearly all groups all wrong",
            "The task is too hard now: little signal.",
        ),
        (
            "reward/all_right",
            0.9,
            "Nearly all groups all right",
            "The task is too easy now: little signal.",
        ),
        (
            "logprob_gap/max",
            1e-3,
            "Sampler and trainer disagree",
            "Expected in bfloat16; in float32 it is a fault.",
        ),
        ("grader/error", 0.0, "Grader errors", "Some answers have no verdict."),
        ("grader/timeout", 0.0, "Grader timeouts", "The grader ran past its deadline."),
    )
    found = [_above(run.rows, *check) for check in checks]
    return [
        caution
        for caution in (*found, _without_verdict(run), _collapse(run.rows), _not_finite(run.rows))
        if caution
    ]


def duration(seconds: float) -> str:
    """Formats seconds in the two units that matter.

    >>> duration(3725.0)
    '1 h 2 min'
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def seconds_spent(run: Run) -> float:
    """Sums the seconds of rollout, grading and updates over the run."""
    return float(
        sum(series(run.rows, f"time/{part}")[1].sum() for part in ("rollout", "grade", "update"))
    )


def ends_of(rows: list[dict], metric: str) -> tuple[float, float] | None:
    """Returns the mean of a metric over the first and the last tenth of its steps; None without
    values."""
    values = series(rows, metric)[1]
    width = max(1, len(values) // 10)
    return (float(values[:width].mean()), float(values[-width:].mean())) if len(values) else None


def _training(run: Run) -> str:
    named = (
        look_up(run.config, *path)
        for path in (("method", "name"), ("model", "path"), ("task", "name"))
    )
    method, model, task = (
        name or f"an unnamed {kind}" for name, kind in zip(named, ("method", "model", "task"))
    )
    count, planned = len(series(run.rows, "step")[1]), look_up(run.config, "training", "steps")
    if not count:
        return f"{method} on {task} with {model} has logged no training step"
    steps = (
        f"{count} of {planned} steps"
        if planned and planned != count
        else f"{count} step{'s' * (count > 1)}"
    )
    spent = seconds_spent(run)
    time = f" in {duration(spent)} of rollout, grading and updates" if spent else ""
    return f"{method} trained {model} on {task} for {steps}{time}"


def _panel(run: Run) -> str:
    samples, found = run.evaluation.get("samples"), entries(run)
    named = [next(iter(measures(entry, samples).items()), None) for entry in found]
    if not named or named[0] is None:
        return "there is no evaluation"
    size = look_up(run.evaluation, "panel", "problems")
    (name, first), where = named[0], f"on {size} panel problems, " if size else "on the panel, "
    start, end = (entry.get("step", "unknown") for entry in (found[0], found[-1]))
    if len(named) < 2 or named[-1] is None or named[-1][0] != name:
        return f"{where}{name} was {percent(first)} at step {start}, with no later evaluation"
    last, paired = named[-1][1], paired_difference(run).get(name)
    change = f"a paired difference of {points(paired)}" if paired else _unpaired(first, last)
    return f"{where}{name} went from {percent(first)} at step {start} to {percent(last)} at step {end}, {change}"


def _unpaired(first: Interval, last: Interval) -> str:
    change = points(Interval(last.value - first.value, None, None))
    if None in first or None in last:
        return f"a change of {change} without an interval"
    overlap = first.low <= last.high and last.low <= first.high
    return f"a change of {change}, where the two intervals {'overlap' if overlap else 'do not overlap'}"


def _above(rows: list[dict], metric: str, bound: float, what: str, meaning: str) -> Caution | None:
    steps, values = series(rows, metric)
    over = steps[values > bound]
    if not len(over):
        return None
    span = f"step {over[0]:g}" if len(over) == 1 else f"steps {over.min():g} to {over.max():g}"
    where = f"{len(over)} of {len(steps)}, {span}"
    return Caution(what, where, f"{metric} {values.max():.3g}", meaning)


def _without_verdict(run: Run) -> Caution | None:
    found = entries(run)
    lost = [(entry.get("step", "unknown"), *without_verdict(entry)) for entry in found]
    lost = [(step, errors, timeouts) for step, errors, timeouts in lost if errors > 0]
    if not lost:
        return None
    step, errors, timeouts = max(lost, key=lambda entry: entry[1])
    return Caution(
        "Evaluation without verdicts",
        f"{len(lost)} of {len(found)} evaluations",
        f"{errors} answers at step {step}, {timeouts} by a timeout",
        "They count as not right in every figure of the panel.",
    )


def _collapse(rows: list[dict]) -> Caution | None:
    ends = ends_of(rows, "entropy")
    if not ends or ends[1] >= 0.2 * ends[0]:
        return None
    return Caution(
        "Entropy collapsed",
        "last tenth",
        f"{ends[0]:.3g} to {ends[1]:.3g} nats",
        "Less than a fifth of the first entropy is left: samples of a group hardly differ.",
    )


def _not_finite(rows: list[dict]) -> Caution | None:
    # A group of the breakdown may be empty, and its mean then is no fault: those names have two
    # slashes.
    lost = [
        [name for name, value in row.items() if name.count("/") < 2 and _is_lost(value)]
        for row in rows
    ]
    names, count = sorted({name for found in lost for name in found}), sum(map(bool, lost))
    meaning = "These points are left out of the charts."
    return (
        Caution("Values not finite", f"{count} of {len(rows)} steps", ", ".join(names), meaning)
        if count
        else None
    )


def _is_lost(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
