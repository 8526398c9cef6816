"""Figures of an evaluation: shares with intervals, by the name that a reader sees.

A figure is called "avg@8", "pass@1" or "maj@8", after its estimator and its k. JSON nests them:

    {"avg_at_k": interval, "pass_at_k": {"1": interval, "2": interval, ...}, "maj_at_k": interval}

where an interval is {"value", "low", "high"}.
"""

from typing import Any, NamedTuple

from papo_jax.json_files import finite_number, look_up

_KEYS = {"avg": "avg_at_k", "pass": "pass_at_k", "maj": "maj_at_k"}  # in reading order


class Interval(NamedTuple):
    """A share with its 95 % interval; the bounds are None where a file has none."""

    value: float
    low: float | None
    high: float | None


Figures = dict[str, Interval]


def figures_to_json(figures: Figures) -> dict[str, Any]:
    """Nests figures as JSON holds them.

    >>> figures_to_json({"avg@2": Interval(0.5, 0.4, 0.6), "pass@1": Interval(0.5, 0.4, 0.6)})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'avg_at_k': {'value': 0.5, 'low': 0.4, 'high': 0.6},
     'pass_at_k': {'1': {'value': 0.5, 'low': 0.4, 'high': 0.6}}}
    """
    document: dict[str, Any] = {}
    for name, interval in figures.items():
        estimator, _, k = name.partition("@")
        if estimator == "pass":
            document.setdefault(_KEYS[estimator], {})[k] = interval._asdict()
        else:
            document[_KEYS[estimator]] = interval._asdict()
    return document


def parse_figures(document: Any, samples: int) -> Figures:
    """Reads the figures of a JSON object, and leaves out what is none.

    Args:
      document: holds `avg_at_k`, `pass_at_k` and `maj_at_k`, each a figure or a dictionary of them
        by k.
      samples: the k of a figure that names none; 0 where it is not known.

    Returns:
      Figures by name, in reading order.

    >>> parse_figures({"pass_at_k": {"8": 0.5, "1": 0.25}}, 8)["pass@8"].value
    0.5
    """
    figures = {}
    for estimator, key in _KEYS.items():
        value = look_up(document, key)
        nested = isinstance(value, dict) and "value" not in value
        by_k = value if nested else {str(samples or "k"): value}
        for k in sorted(by_k, key=lambda text: (len(text), text)):  # "2" before "16"
            interval = parse_interval(by_k[k])
            if interval:
                figures[f"{estimator}@{k}"] = interval
    return figures


def parse_interval(value: Any) -> Interval | None:
    """Reads {"value", "low", "high"} or a bare number; None for anything else."""
    if not isinstance(value, dict):
        value = {"value": value}
    share = finite_number(value.get("value"))
    if share is None:
        return None
    return Interval(share, finite_number(value.get("low")), finite_number(value.get("high")))
