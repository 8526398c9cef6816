"""From a rollout and its rewards to weighted advantages: statistics, polarity, phase, weights; pure functions.

Shapes: N prompts, G samples a prompt, B = N G sequences, T completion slots. What stands after `*` is static.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from kernels.token_stats import TokenStats
from papo_jax import polarity as theory
from papo_jax.methods import advantages as estimators
from papo_jax.methods import objectives, phase, reweighting
from papo_jax.training.trajectories import Trajectories, map_rows, statistics

Metrics = dict[str, jax.Array]


class Weighed(NamedTuple):
    """A rollout with its advantages and weights, [B, T] unless said otherwise.

    Attributes:
      advantages: A, before weighting.
      weights: w, 0 where the mask is false.
      polarity: P = A T, 0 in the dead band.
      pressure: w c / sum c, so that pressure x polarity is the g T of an update on the whole rollout at ratio 1.
      loss_mask: boolean, the tokens that take part in the loss.
      phase: the new phase state.
    """

    advantages: jax.Array
    weights: jax.Array
    polarity: jax.Array
    pressure: jax.Array
    loss_mask: jax.Array
    phase: phase.PhaseState


def assess(
    params, trajectories: Trajectories, *, graph: nnx.GraphDef, temperature: float, parts: int, mesh: Mesh | None = None
) -> TokenStats:
    """Computes the token statistics of a whole rollout under the parameters that sampled it, [B, T]."""
    function = lambda rows: statistics(graph, params, rows, temperature=temperature, mesh=mesh)  # noqa: E731
    return map_rows(function, parts, trajectories)


def entropy_sum(stats: TokenStats, mask: jax.Array) -> jax.Array:
    """Returns (the sum of the entropy over generated tokens, nats; their number), [2], to be added up over draws."""
    return jnp.stack([jnp.where(mask, stats.entropy, 0.0).sum(), mask.sum().astype(jnp.float32)])


def weigh(
    stats: TokenStats,
    rewards: jax.Array,
    mask: jax.Array,
    kept: jax.Array,
    entropy: jax.Array,
    phase_state: phase.PhaseState,
    key: jax.Array,
    *,
    method: dict,
    limit: int,
) -> tuple[Weighed, Metrics]:
    """Turns rewards into weighted advantages: group advantages, polarity, phase, PAPO's weights.

    Args:
      stats: [B, T] under the sampling policy.
      rewards: [N, G].
      mask: [B, T] boolean, generated tokens.
      kept: [N, G] boolean, false on answers that are left out of the loss.
      entropy: [] mean over all tokens that were drawn in this step, those of groups that were drawn anew included, nats.
      phase_state: before this rollout.
      key: for the random control.
      method: a preset's keyword arguments.
      limit: the longest completion, tokens.

    Returns:
      (`Weighed`, metrics).
    """
    buffer = round(method["overlong"] * limit)
    lengths = mask.sum(axis=1).reshape(rewards.shape)
    shaped = rewards + estimators.overlong_penalty(lengths, limit=limit, buffer=buffer)
    per_sequence = estimators.ESTIMATORS[method["advantage"]](shaped).reshape(-1, 1)
    loss_mask = mask & kept.reshape(-1, 1)
    advantages = jnp.where(loss_mask, per_sequence, 0.0)
    unit = theory.dead_banded(stats.unit_polarity, dead_band=method["dead_band"])
    polarity = jnp.where(loss_mask, theory.entropy_polarity(unit, advantages), 0.0)
    phase_state, s = phase.update(
        phase_state, entropy, **{name: method[name] for name in _PHASE_ARGUMENTS}
    )
    coefficients = objectives.OBJECTIVES[method["objective"]][1](loss_mask)
    weights = reweighting.papo(
        _signal(polarity, stats, advantages, loss_mask, method),
        advantages,
        loss_mask,
        phase_state.switch if method["weighting"] == "switch" else s,
        coefficients=coefficients,
        key=key if method["signal"] == "random" else None,
        **{name: method[name] for name in ("lam", "weighting", "w_min", "w_max", "renormalise")},
    )
    metrics = _weigh_metrics(polarity, weights, loss_mask) | {"entropy": entropy, "entropy/ema": phase_state.ema, "phase": s}
    pressure = weights * coefficients / jnp.maximum(coefficients.sum(), 1.0)
    return Weighed(advantages, weights, polarity, pressure, loss_mask, phase_state), metrics


_PHASE_ARGUMENTS = (
    "phase", "target", "target_start", "target_end", "target_steps", "initial_rollouts", "tau", "kappa", "decay",
    "fixed", "hysteresis",
)  # fmt: skip


def _signal(polarity, stats: TokenStats, advantages, mask, method) -> jax.Array:
    """What steers the weights: P, or the sampled token's part -A S alone (its band is relative)."""
    if method["signal"] != "sampled":
        return polarity
    sampled = jnp.where(mask, theory.sampled_contribution(stats.logprob, stats.entropy, advantages), 0.0)
    spread = jnp.sqrt(theory.masked_mean(sampled**2, mask))
    return jnp.where(jnp.abs(sampled) <= 1e-6 * spread, 0.0, sampled)


def _weigh_metrics(polarity, weights, mask) -> Metrics:
    positive, negative = theory.branches(polarity, mask, dead_band=0.0)
    tokens = jnp.maximum(mask.sum(), 1)
    return {
        "polarity/positive_share": positive.sum() / jnp.maximum(positive.sum() + negative.sum(), 1),
        "polarity/neutral_share": 1.0 - (positive.sum() + negative.sum()) / tokens,
        "polarity/positive_mass": jnp.where(positive, polarity, 0.0).sum() / tokens,
        "polarity/negative_mass": jnp.where(negative, -polarity, 0.0).sum() / tokens,
        "weight/mean": theory.masked_mean(weights, mask),
        "weight/min": jnp.where(mask.any(), jnp.where(mask, weights, jnp.inf).min(), 0.0),
        "weight/max": jnp.where(mask, weights, 0.0).max(),
    }
