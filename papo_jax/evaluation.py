"""Evaluation on a frozen panel: avg@k, unbiased pass@k and maj@k, each with a 95 % interval over problems.

Shapes: M problems of the panel, K samples each. Verdicts are booleans [M, K]; answers are texts.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from papo_jax.tasks.problem import Problem

RESAMPLES = 2000


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


def majority(answers: Sequence[str | None], right: Sequence[bool]) -> float:
    """Returns the share of right answers among the most frequent ones, a tie counting in parts.

    >>> majority(["7", "7", "8", None], [True, True, False, False])
    1.0
    """
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return 0.0
    most = max(counts.values())
    winners = {answer for answer, count in counts.items() if count == most}
    verdict = dict(zip(answers, right, strict=True))
    return sum(verdict[answer] for answer in winners) / len(winners)


def interval(values: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Returns the mean over problems with its bootstrap interval.

    Args:
      values: [M], one figure a problem.
      seed: of the resampling; the same values always give the same interval.

    Returns:
      {"value", "low", "high"}, the bounds at 2.5 and 97.5 %.
    """
    values = np.asarray(values, np.float64)
    rows = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[rows].mean(axis=1), [0.025, 0.975])
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def summarise(right: np.ndarray, answers: Sequence[Sequence[str | None]]) -> dict[str, Any]:
    """Turns verdicts into the figures of one evaluation.

    Args:
      right: [M, K] boolean.
      answers: [M][K] extracted answers, None where there was none.

    Returns:
      {"avg_at_k", "pass_at_k": {"1", "2", "4", ..., "K"}, "maj_at_k", "right": counts a problem}.
    """
    samples = right.shape[1]
    counts = right.sum(axis=1)
    ks = sorted({2**power for power in range(samples.bit_length()) if 2**power <= samples} | {samples})
    return {
        "avg_at_k": interval(right.mean(axis=1)),
        "pass_at_k": {str(k): interval(np.array([pass_at_k(samples, int(c), k) for c in counts])) for k in ks},
        "maj_at_k": interval(np.array([majority(a, r) for a, r in zip(answers, right, strict=True)])),
        "right": counts.tolist(),
    }


def paired_difference(first: Sequence[int], last: Sequence[int], samples: int) -> dict[str, float]:
    """Returns the change of avg@k between two evaluations of one panel, with the interval of the paired difference."""
    return interval((np.asarray(last, np.float64) - np.asarray(first, np.float64)) / samples)


def panel_fingerprint(problems: Sequence[Problem]) -> str:
    """Returns the SHA-256 of a panel's problems, in order."""
    text = "\n".join(f"{p.identifier}\t{p.prompt!r}\t{p.answer!r}" for p in problems)
    return hashlib.sha256(text.encode()).hexdigest()
