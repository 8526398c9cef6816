"""The evaluation panel's figures as a run's record holds them: avg@k, pass@k and maj@k with their
intervals."""

from typing import Any, NamedTuple

from papo_jax.report.run_data import Run, look_up
from papo_jax.report.series import number


class Interval(NamedTuple):
    """A share with its 95 % interval; the ends are None where the file has none."""

    value: float
    low: float | None
    high: float | None


def interval(found: Any) -> Interval | None:
    """Reads {"value", "low", "high"} or a bare number; None for anything else."""
    if not isinstance(found, dict):
        found = {"value": found}
    value = number(found.get("value"))
    return (
        None
        if value is None
        else Interval(value, number(found.get("low")), number(found.get("high")))
    )


def measures(entry: Any, samples: Any) -> dict[str, Interval]:
    """Names the figures of one evaluation, in reading order.

    Args:
      entry: holds `avg_at_k`, `pass_at_k` and `maj_at_k`, each a figure or a dictionary of them by
        k.
      samples: the k of a bare figure.

    Returns:
      Figures by name, such as "pass@8".

    >>> measures({"pass_at_k": {"8": 0.5, "1": 0.25}}, 8)["pass@8"].value
    0.5
    """
    found = {}
    for field in ("avg_at_k", "pass_at_k", "maj_at_k"):
        word, value = field[:4].rstrip("_"), look_up(entry, field)
        by_k = (
            value
            if isinstance(value, dict) and "value" not in value
            else {str(samples or "k"): value}
        )
        for k in sorted(by_k, key=lambda text: (len(text), text)):  # "2" before "16"
            if interval(by_k[k]):
                found[f"{word}@{k}"] = interval(by_k[k])
    return found


def entries(run: Run) -> list[dict]:
    """Returns the evaluations that are objects, the first from before training."""
    found = run.evaluation.get("entries")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def by_source(entry: Any, samples: Any) -> dict[str, tuple[int, dict[str, Interval]]]:
    """Returns the number of problems and the figures of each source of a mixture; empty where there
    is one source.

    >>> by_source({"by_source": {"gsm8k": {"problems": 3, "avg_at_k": 0.5}, "odd": 1}}, 8)["gsm8k"][
    ...     0
    ... ]
    3
    """
    found = look_up(entry, "by_source")
    found = found if isinstance(found, dict) else {}
    read = {
        source: (number(look_up(part, "problems")), measures(part, samples))
        for source, part in found.items()
    }
    return {
        source: (int(problems), figures)
        for source, (problems, figures) in read.items()
        if problems and figures
    }


def without_verdict(entry: Any) -> tuple[int, int]:
    """Returns how many answers of an evaluation have no verdict, and how many of those ran into a
    deadline."""
    errors, timeouts = (number(look_up(entry, name)) or 0.0 for name in ("errors", "timeouts"))
    return int(errors), int(timeouts)


def paired_difference(run: Run) -> dict[str, Interval]:
    """Returns the paired differences, last minus first entry, by figure; empty where the file has
    none.

    The key `paired_difference` is looked for in the file and in its last entry. It holds one
    figure, of avg@k, or figures by name in the form of an entry.
    """
    samples = run.evaluation.get("samples")
    last = entries(run)[-1:] or [{}]
    found = run.evaluation.get("paired_difference") or last[0].get("paired_difference")
    return measures({"avg_at_k": found}, samples) if interval(found) else measures(found, samples)


def percent(share: Interval) -> str:
    """Formats a share with its interval.

    >>> percent(Interval(0.3125, 0.28, 0.351))
    '31.2 % [28.0, 35.1]'
    """
    ends = "" if None in share else f" [{100 * share.low:.1f}, {100 * share.high:.1f}]"
    return f"{100 * share.value:.1f} %{ends}"


def points(difference: Interval) -> str:
    """Formats a difference of shares in percentage points."""
    ends = (
        ""
        if None in difference
        else f" [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    )
    return f"{100 * difference.value:+.1f} points{ends}"
