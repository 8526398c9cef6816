"""Metrics of a stored training run: avg@16 and pass@k by evaluation, and its endpoints.

Shapes: K rollouts, E evaluations, M problems.
"""

import math

import numpy as np

from experiments.studies.lab.study_output import Arrays
from papo_jax.evaluation.estimators import pass_at_k

SAMPLES = 16  # completions of each held-out problem


def average_at_k(run: Arrays) -> np.ndarray:
    """Returns avg@16 at every evaluation, [E]."""
    return run["counts"].mean(axis=1) / SAMPLES


def pass_at_k_by_evaluation(run: Arrays, k: int) -> np.ndarray:
    """Returns pass@k at every evaluation, [E]."""
    by_count = np.array([pass_at_k(SAMPLES, count, k) for count in range(SAMPLES + 1)])
    return by_count[run["counts"]].mean(axis=1)


def running_mean(values: np.ndarray, width: int = 10) -> np.ndarray:
    """Averages over the last `width` rollouts, [K] -> [K]; the first value stands for earlier ones.

    >>> running_mean(np.array([0.0, 1.0, 1.0]), width=2).tolist()
    [0.0, 0.5, 1.0]
    """
    padded = np.concatenate([np.full(width - 1, values[0]), values]).astype(np.float64)
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def measure_endpoints(run: Arrays, *, target: float = 0.6, share: float = 0.1) -> dict[str, float]:
    """Measures what a run is judged by: the columns of a table's row.

    Args:
      run: its stored arrays.
      target: a reward, to be reached.
      share: of the first entropy, to be fallen to: what had been learned by then?

    Returns:
      name -> figure, NaN for what was never reached. Thresholds are those of running means.
    """
    # The first rollout at which a running mean reaches its threshold.
    reward, entropy = running_mean(run["reward/mean"]), running_mean(run["entropy"])
    reached = np.nonzero(reward >= target)[0]
    spent = np.nonzero(entropy <= share * run["entropy"][0])[0]

    # Nats of a completion, by its tokens' mean.
    entropy_per_answer = run["entropy"] * run["length/mean"].astype(np.float64)
    selected = run.get("selected/tokens")
    return {
        "avg@16": float(average_at_k(run)[-1]),
        "avg@16 best": float(average_at_k(run).max()),
        "pass@16": float(pass_at_k_by_evaluation(run, 16)[-1]),
        "pass@4": float(pass_at_k_by_evaluation(run, 4)[-1]),
        "area": float(run["reward/mean"].mean(dtype=np.float64)),
        "entropy": float(run["entropy"][-10:].mean(dtype=np.float64)),
        "entropy an answer": float(entropy_per_answer[-10:].mean()),
        "length": float(run["length/mean"][-10:].mean(dtype=np.float64)),
        f"rollouts to reward {target:g}": float(reached[0] + 1) if reached.size else math.nan,
        f"rollouts to {share:g} H0": float(spent[0] + 1) if spent.size else math.nan,
        f"reward at {share:g} H0": float(reward[spent[0]]) if spent.size else math.nan,
        "tokens chosen": math.nan if selected is None else float(selected.mean(dtype=np.float64)),
    }
