"""Evaluation on a frozen panel: avg@k, unbiased pass@k and maj@k, each with a 95 % interval over
problems.

Shapes: M problems of the panel, K samples each, F figures, R resamples. A figure is a share, and
its value for the panel is the mean of its values for the problems. Figures go by name: "avg_at_k",
  "pass_at_k/1", ..., "maj_at_k".
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from papo_jax.grading.judgment import ERROR, RIGHT, TIMEOUT, Judgment
from papo_jax.tasks.problem import Problem

RESAMPLES = 2000
_DRAWN_AT_ONCE = 2**18  # indices; 2,000 resamples of 2,000 problems would be 32 MB, these are 2


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimates without bias the chance that at least one of k samples is right.

        pass@k = 1 - C(n - c, k) / C(n, k)

    Source: Chen et al. 2021, arXiv 2107.03374.

    Args:
      n: samples drawn.
      c: right ones among them.
      k: at most n.

    Returns:
      The estimate, in [0, 1].

    Raises:
      ValueError: if not 0 <= c <= n and 1 <= k <= n.

    >>> round(pass_at_k(4, 1, 2), 3)  # 1 - C(3, 2) / C(4, 2) = 1 - 3 / 6
    0.5
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, not n = {n}, c = {c}, k = {k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority(judgments: Sequence[Judgment]) -> float:
    """Returns a problem's maj@k: how far the most frequent answer is right.

    Equal answers are one class. Every sample with an answer votes, judged or not, since a grader's
    failure is no reason to take the policy's vote away; a sample without an answer does not vote.
    The winning class counts by the share of its votes that were judged right, so that an error
    counts as not right here too, and classes that tie count by the mean of theirs. That is the
    chance to be judged right of a sample drawn from the winners.

    >>> seven, other = Judgment("right", "7"), Judgment("wrong", "8")
    >>> majority([seven, seven, other]), majority([seven, other])
    (1.0, 0.5)
    >>> majority([seven, Judgment("error", "7", "timeout"), other])
    0.5
    """
    classes = defaultdict(list)
    for judgment in judgments:
        if judgment.answer is not None:
            classes[judgment.answer].append(judgment.verdict == RIGHT)
    most = max(map(len, classes.values()), default=0)
    return (
        float(np.mean([np.mean(votes) for votes in classes.values() if len(votes) == most]))
        if most
        else 0.0
    )


def resample(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Draws panels of M problems with replacement and returns the figures' means over each.

    All rows see the same problems, and so do all calls with the same M and seed: the difference of
    two runs' draws is a draw of their paired difference.

    Args:
      values: [F, M], a row a figure.
      seed: of the resampling.

    Returns:
      [R, F].
    """
    values = np.asarray(values, np.float64)
    size, generator = values.shape[1], np.random.default_rng(seed)
    at_once, means = max(1, _DRAWN_AT_ONCE // size), []
    for start in range(0, RESAMPLES, at_once):
        drawn = generator.integers(0, size, (min(at_once, RESAMPLES - start), size))
        cells = (drawn + size * np.arange(len(drawn))[:, None]).ravel()
        counts = np.bincount(cells, minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        means.append(
            np.einsum("rm,fm->rf", counts, values) / size
        )  # not BLAS, whose sums depend on its threads
    return np.concatenate(means)


def bounds(value: float, draws: np.ndarray) -> dict[str, float]:
    """Returns {"value", "low", "high"}: a figure with the 2.5 and 97.5 % quantiles of its draws
    [R]."""
    low, high = np.quantile(draws, [0.025, 0.975])
    # Where all problems agree, the draws differ from the value by rounding alone.
    return {"value": float(value), "low": float(min(low, value)), "high": float(max(high, value))}


def interval(values: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Returns the mean over problems with its bootstrap interval.

    Args:
      values: [M], one figure a problem. Where all are equal the interval has no width, whatever M
        is: the bootstrap knows of no problem outside the panel.
      seed: of the resampling; the same values always give the same interval.

    Returns:
      {"value", "low", "high"}, the bounds at 2.5 and 97.5 %.
    """
    values = np.asarray(values, np.float64)
    return bounds(values.mean(), resample(values[None], seed=seed)[:, 0])


def figures(
    right: Sequence[int], votes: Sequence[float] | None, samples: int
) -> dict[str, np.ndarray]:
    """Returns every figure's value for each problem.

    Args:
      right: [M], right samples of K.
      votes: [M], each problem's `majority`; None where a file of old has none, and then there is no
        "maj_at_k".
      samples: K.

    Returns:
      [M] each: "avg_at_k", "pass_at_k/1", "pass_at_k/2", "pass_at_k/4", ..., "pass_at_k/K",
      "maj_at_k".

    >>> {name: values.tolist() for name, values in figures([1, 2], [0.5, 1.0], 2).items()}
    {'avg_at_k': [0.5, 1.0], 'pass_at_k/1': [0.5, 1.0], 'pass_at_k/2': [1.0, 1.0], 'maj_at_k': [0.5,
    1.0]}
    """
    right = np.asarray(right)
    found = {"avg_at_k": right / samples}
    for k in sorted({2**power for power in range(samples.bit_length())} | {samples}):
        of_count = {c: pass_at_k(samples, c, k) for c in set(right.tolist())}
        found[f"pass_at_k/{k}"] = np.array([of_count[c] for c in right.tolist()])
    return found if votes is None else {**found, "maj_at_k": np.asarray(votes, np.float64)}


def summarize(judgments: Sequence[Sequence[Judgment]], sources: Sequence[str]) -> dict[str, Any]:
    """Turns verdicts into the figures of one evaluation. An answer that could not be judged counts
    as not right.

    Args:
      judgments: [M][K].
      sources: [M], the task that each problem comes from.

    Returns:
      {"avg_at_k", "pass_at_k": {"1", "2", "4", ..., "K"}, "maj_at_k"}, intervals all; "right":
      counts a problem; "majority": `majority` a problem; "errors": verdicts that are missing,
      "timeouts": those of them that a deadline made; and where there are several sources
      "by_source": {source: {"problems", and the figures over those}}.

    Raises:
      ValueError: if there is no sample, if problems differ in the number of theirs, or if a source
        is missing.
    """
    sizes = {len(row) for row in judgments}
    if len(sizes) != 1 or 0 in sizes or len(sources) != len(judgments):
        raise ValueError(
            f"{len(judgments)} problems with {sorted(sizes)} samples and {len(sources)} sources; all need K samples and a source"
        )
    right = [sum(judgment.verdict == RIGHT for judgment in row) for row in judgments]
    votes = [majority(row) for row in judgments]
    errors = [judgment.reason for row in judgments for judgment in row if judgment.verdict == ERROR]
    values, by_source = figures(right, votes, sizes.pop()), {}
    for source in dict.fromkeys(sources):
        mine = np.array([other == source for other in sources])
        of_source = {name: value[mine] for name, value in values.items()}
        by_source[source] = {"problems": int(mine.sum()), **_intervals(of_source)}
    return {
        **_intervals(values),
        "right": right,
        "majority": votes,
        "errors": len(errors),
        "timeouts": errors.count(TIMEOUT),
        **({"by_source": by_source} if len(by_source) > 1 else {}),
    }


def paired(first: dict[str, Any], last: dict[str, Any], samples: int) -> dict[str, Any]:
    """Returns what changed between two evaluations of one panel, each figure problem by problem.

    Args:
      first: an entry, of which "right" and "majority" [M] count; without "majority" the change of
        maj@k is left out.
      last: another one.
      samples: K of both.

    Returns:
      {"avg_at_k", "pass_at_k": {"1", ...}, "maj_at_k"}, last minus first, with the interval of the
      paired difference.

    Raises:
      ValueError: if the two have different numbers of problems.
    """
    if len(first["right"]) != len(last["right"]):
        raise ValueError(
            f"evaluations of {len(first['right'])} and of {len(last['right'])} problems cannot be paired"
        )
    before, after = (
        figures(entry["right"], entry.get("majority"), samples) for entry in (first, last)
    )
    return _intervals({name: after[name] - before[name] for name in before if name in after})


def last_and_best(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns {"last", "best"}, each {"step", "avg_at_k"}, of entries in the order of their steps.

    Best is the highest avg@k, the earliest of equal ones. It is chosen on the panel that measures
    it, so it flatters.
    """
    best = max(entries, key=lambda entry: entry["avg_at_k"]["value"])
    return {
        name: {key: entry[key] for key in ("step", "avg_at_k")}
        for name, entry in (("last", entries[-1]), ("best", best))
    }


def panel_fingerprint(problems: Sequence[Problem]) -> str:
    """Returns the SHA-256 of a panel's problems, in order: prompts, gold answers, graders and
    sources."""
    text = "\n".join(
        f"{p.identifier}\t{p.prompt!r}\t{p.answer!r}\t{p.grader!r}\t{p.source!r}" for p in problems
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _intervals(values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Gives each figure [M] its interval, from the same resamples, and puts those with a k into a
    dictionary of their own."""
    draws, nested = resample(np.stack(list(values.values()))), {}
    for (name, value), drawn in zip(values.items(), draws.T, strict=True):
        field, _, k = name.partition("/")
        place, key = (nested.setdefault(field, {}), k) if k else (nested, field)
        place[key] = bounds(value.mean(), drawn)
    return nested
