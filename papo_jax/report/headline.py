"""Headline of a report: one sentence on a run's training and evaluation."""

from papo_jax.evaluation.figures import Interval
from papo_jax.json_files import look_up
from papo_jax.report.formatting import format_difference, format_duration, format_share
from papo_jax.report.run_data import RunData
from papo_jax.report.series import metric_series


def write_headline(run: RunData) -> str:
    """Says in one sentence what happened: method, model, task, steps, time and evaluation."""
    return f"{_describe_training(run)}; {_describe_evaluation(run)}."


def seconds_spent(run: RunData) -> float:
    """Sums the seconds of rollout, grading and updates over the run."""
    parts = [f"time/{part}" for part in ("rollout", "grade", "update")]
    return float(sum(metric_series(run.rows, part)[1].sum() for part in parts))


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
