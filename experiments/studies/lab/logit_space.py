"""Softmax policies in logit space, where polarity is exact to first order."""

import jax.numpy as jnp
import numpy as np

from experiments.studies.lab.study_output import Arrays
from papo_jax.polarity import unit_polarity


def measure_logits(step: float, rows: int) -> Arrays:
    """Moves random softmax policies over 10 to 1,000 tokens, sharp and flat, by one step.

    Args:
      step: of the logits.
      rows: policies.

    Returns:
      The prediction, with T by the kernel, and the realized change, entropies in float64.
    """
    rng, predicted, realized = np.random.default_rng(0), [], []
    for vocabulary in (10, 100, 1000):
        # Draw policies, a token of each, and its advantage.
        z = rng.normal(size=(rows // 3, vocabulary)) * rng.uniform(0.3, 6.0, size=(rows // 3, 1))
        p = _softmax(z)
        y = np.array([rng.choice(vocabulary, p=row) for row in p])
        advantage = rng.choice([-1.0, 1.0], size=len(y))

        # Step along A (e_y - p).
        unit = np.asarray(unit_polarity(jnp.asarray(z, jnp.float32), jnp.asarray(y)))
        direction = -p
        direction[np.arange(len(y)), y] += 1.0
        predicted.append(step * advantage * unit)
        realized.append(_entropy(_softmax(z + step * advantage[:, None] * direction)) - _entropy(p))
    return {"predicted/polarity P": np.concatenate(predicted), "realized": np.concatenate(realized)}


def _softmax(z: np.ndarray) -> np.ndarray:
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
