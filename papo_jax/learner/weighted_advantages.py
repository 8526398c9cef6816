"""From a rollout and its rewards to weighted advantages: statistics, polarity, phase, weights; pure
functions.

Shapes: N prompts, G samples a prompt, B = N G sequences, T completion slots. What stands after `*`
is static.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from kernels.token_stats import TokenStats
from papo_jax import polarity as theory
from papo_jax.learner.trajectories import Trajectories, map_rows, statistics
from papo_jax.methods import advantages as estimators
from papo_jax.methods import calling, draws, phase, reweighting, signals

Metrics = dict[str, jax.Array]


class Weighed(NamedTuple):
    """A rollout with its advantages and weights, [B, T] unless said otherwise.

    Attributes:
      of_answer: [B] the answer's A, before a method gives its tokens their own; 0 where the answer
        is left out.
      advantages: A, before weighting.
      weights: w, 0 where the mask is false.
      polarity: P = A T, 0 in the dead band.
      pressure: w c / count, so that pressure x polarity is the g T of an update on the whole
        rollout at ratio 1, under an objective that lets every token of the loss pull by its
        advantage (what a selecting one leaves out is not known yet).
      loss_mask: boolean, the tokens that take part in the loss.
      phase: the new phase state.
    """

    of_answer: jax.Array
    advantages: jax.Array
    weights: jax.Array
    polarity: jax.Array
    pressure: jax.Array
    loss_mask: jax.Array
    phase: phase.PhaseState


def assess(
    params,
    trajectories: Trajectories,
    *,
    graph: nnx.GraphDef,
    temperature: float,
    parts: int,
    mesh: Mesh | None = None,
) -> TokenStats:
    """Computes the token statistics of a whole rollout under the parameters that sampled it, [B,
    T]."""

    def function(rows):
        return statistics(graph, params, rows, temperature=temperature, mesh=mesh)

    return map_rows(function, parts, trajectories)


def entropy_sum(stats: TokenStats, mask: jax.Array) -> jax.Array:
    """Returns (the sum of the entropy over generated tokens, nats; their number), [2], to be added
    up over draws."""
    return jnp.stack([jnp.where(mask, stats.entropy, 0.0).sum(), mask.sum().astype(jnp.float32)])


def weigh(
    stats: TokenStats,
    rewards: jax.Array,
    mask: jax.Array,
    kept: jax.Array,
    sequences: jax.Array,
    entropy: jax.Array,
    phase_state: phase.PhaseState,
    key: jax.Array,
    unit_parameter: jax.Array | None = None,
    *,
    method: dict,
    limit: int,
) -> tuple[Weighed, Metrics]:
    """Turns rewards into weighted advantages: group advantages, what a method makes of them,
    polarity, phase, weights.

    Args:
      stats: [B, T] under the sampling policy.
      rewards: [N, G].
      mask: [B, T] boolean, generated tokens.
      kept: [N, G] boolean, false on answers that are left out of the loss.
      sequences: [B] int32, identities for random choices.
      entropy: [] mean over all tokens that were drawn in this step, those of groups that were drawn
        anew included, nats.
      phase_state: before this rollout.
      key: for the random controls.
      unit_parameter: [B, T] from `papo_jax.learner.parameter_polarity`, for the signal "parameter".
      method: a preset's keyword arguments.
      limit: the longest completion, tokens.

    Returns:
      (`Weighed`, metrics).
    """
    phase_state, s = phase.update(phase_state, entropy, **calling.keywords(phase.update, method))
    if method["bonus_rule"]:
        known = {"initial_entropy": phase_state.initial}
        bonus = method["bonus_rule"](
            phase_state.bonus, entropy, **calling.keywords(method["bonus_rule"], known, method)
        )
        phase_state = phase_state._replace(bonus=bonus)
    of_answer, advantages, loss_mask = _advantages(
        stats, rewards, mask, kept, sequences, entropy, key, method=method, limit=limit
    )
    steered = signals.polarity(stats, advantages, loss_mask, dead_band=method["dead_band"])
    signal = signals.SIGNALS[method["signal"]]
    acting = method["direction"] * (phase_state.switch if method["weighting"] == "switch" else s)
    average = method["objective"].average(loss_mask, limit)
    strata = signals.strata(method["signal"], steered, stats, advantages, loss_mask)
    weights = reweighting.papo(
        signal(
            stats,
            advantages,
            loss_mask,
            **calling.keywords(signal, {"unit_parameter": unit_parameter}, method),
        ),
        advantages,
        loss_mask,
        acting,
        coefficients=average.coefficients,
        key=None if strata is None else key,
        sequences=sequences,
        strata=strata,
        **{name: method[name] for name in ("lam", "weighting", "w_min", "w_max", "renormalize")},
    )
    metrics = _weigh_metrics(steered, weights, loss_mask) | {
        "entropy": entropy,
        "entropy/ema": phase_state.ema,
        "phase": acting,
    }
    if method["drop"]:
        metrics["dropped/tokens"] = (mask & kept.reshape(-1, 1)).sum() - loss_mask.sum()
    pressure = weights * average.coefficients / jnp.maximum(average.count, 1)
    return Weighed(
        of_answer, advantages, weights, steered, pressure, loss_mask, phase_state
    ), metrics


def _advantages(stats, rewards, mask, kept, sequences, entropy, key, *, method: dict, limit: int):
    """(A of each answer [B], A of each token [B, T], which tokens take part in the loss): what is
    dropped has A = 0."""
    buffer = round(method["overlong"] * limit)
    lengths = mask.sum(axis=1).reshape(rewards.shape)
    shaped = rewards + estimators.overlong_penalty(lengths, limit=limit, buffer=buffer)
    estimate, shape, drop = (method[name] for name in ("advantage", "shape", "drop"))
    loss_mask = mask & kept.reshape(-1, 1)
    of_answer = estimate(shaped, **calling.keywords(estimate, method)).reshape(-1, 1)
    advantages = jnp.where(loss_mask, of_answer, 0.0)
    arrays = {"rollout_entropy": entropy}
    if any(function and "draws" in calling.named(function) for function in (shape, drop)):
        arrays["draws"] = draws.uniform(jax.random.fold_in(key, 2), sequences, mask.shape[1])
    if shape:
        advantages = jnp.where(
            loss_mask,
            shape(stats, advantages, loss_mask, **calling.keywords(shape, arrays, method)),
            0.0,
        )
    if drop:
        loss_mask &= ~drop(stats, advantages, loss_mask, **calling.keywords(drop, arrays, method))
        advantages = jnp.where(loss_mask, advantages, 0.0)
    return jnp.where(kept.reshape(-1), of_answer[:, 0], 0.0), advantages, loss_mask


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
