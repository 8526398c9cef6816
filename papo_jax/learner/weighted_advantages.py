"""Weighted advantages: from grades to A, polarity, the phase signal and the weights.

Shapes: N prompts, G samples a prompt, B = N G sequences, T completion slots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.learner.batches import Grades, Rollout
from papo_jax.methods import advantages, signals, token_random
from papo_jax.methods.method import Method
from papo_jax.methods.phase import EntropyTrajectory
from papo_jax.methods.token_batch import SampledTokens
from papo_jax.polarity import branches, masked_mean

Metrics = dict[str, jax.Array]


class WeightedAdvantages(NamedTuple):
    """A rollout's advantages and weights, [B, T] unless said otherwise.

    Attributes:
      answer_advantages: [B] the answer's A, before a method gives its tokens their own; 0 where the
        answer is left out.
      advantages: A, before weighting.
      weights: w, 0 where the loss mask is false.
      polarity: P = A T, 0 in the dead band.
      loss_weights: w c / count, what a token's loss is multiplied by in an update on the whole
        rollout. Times P it is the token's g T at ratio 1, under an objective that lets every token
        of the loss act (what a selecting one leaves out is not known yet).
      loss_mask: boolean, the tokens that take part in the loss.
      entropy_trajectory: with this rollout.
    """

    answer_advantages: jax.Array
    advantages: jax.Array
    weights: jax.Array
    polarity: jax.Array
    loss_weights: jax.Array
    loss_mask: jax.Array
    entropy_trajectory: EntropyTrajectory


def compute_weighted_advantages(
    rollout: Rollout,
    grades: Grades,
    trajectory: EntropyTrajectory,
    *,
    key: jax.Array,
    method: Method,
    max_new_tokens: int,
    unit_parameter_polarity: jax.Array | None = None,
) -> tuple[WeightedAdvantages, Metrics]:
    """Turns rewards into advantages and their weights, by each of a method's rules in turn.

    Args:
      rollout: under the policy that sampled it.
      grades: of its answers.
      trajectory: of the entropy, before this rollout.
      key: for choices made at random.
      method: whose rules are followed.
      max_new_tokens: the longest completion, tokens.
      unit_parameter_polarity: [B, T] from `learner.parameter_polarity`, for the signal "parameter".

    Returns:
      (`WeightedAdvantages`, metrics).
    """
    trajectory, s = method.phase_rule(trajectory, rollout.entropy)
    if method.coefficient_rule is not None:
        coefficient = method.coefficient_rule(
            trajectory.adaptive_coefficient, rollout.entropy, trajectory.initial
        )
        trajectory = trajectory._replace(adaptive_coefficient=coefficient)

    answer_advantages = _estimate_advantages(rollout, grades, method, max_new_tokens)
    tokens = _token_advantages(rollout, grades, answer_advantages, key=key, method=method)
    tokens = tokens._replace(
        polarity=_polarity_of(tokens, method), unit_parameter_polarity=unit_parameter_polarity
    )

    # PAPO's weights, by the signal and the phase.
    signal = signals.SIGNALS[method.signal]
    switching = method.number("weighting") == "switch"
    phase = method.direction * (trajectory.switch if switching else s)
    reduction = method.objective.reduction(tokens.mask, max_new_tokens)
    weights = method.weight_rule(
        signal.compute(tokens),
        tokens.advantages,
        tokens.mask,
        phase,
        token_weights=reduction.token_weights,
        key=None if signal.stratify is None else key,
        sequences=sequence_identities(tokens.mask),
        strata=None if signal.stratify is None else signal.stratify(tokens),
    )

    weighted = WeightedAdvantages(
        answer_advantages=jnp.where(grades.kept.reshape(-1), answer_advantages, 0.0),
        advantages=tokens.advantages,
        weights=weights,
        polarity=tokens.polarity,
        loss_weights=weights * reduction.token_weights / jnp.maximum(reduction.count, 1),
        loss_mask=tokens.mask,
        entropy_trajectory=trajectory,
    )
    metrics = _weight_metrics(weighted)
    metrics |= {"entropy": rollout.entropy, "entropy/ema": trajectory.ema, "phase": phase}
    if method.dropped_token_rule is not None:
        before = rollout.trajectories.action & grades.kept.reshape(-1, 1)
        metrics["dropped/tokens"] = before.sum() - tokens.mask.sum()
    return weighted, metrics


def sequence_identities(mask: jax.Array) -> jax.Array:
    """Returns the identities of a rollout's sequences, [B] int32: what random choices go by."""
    return jnp.arange(mask.shape[0], dtype=jnp.int32)


def _estimate_advantages(
    rollout: Rollout, grades: Grades, method: Method, max_new_tokens: int
) -> jax.Array:
    """A of each answer, [B], from its reward less DAPO's penalty for coming near the limit."""
    lengths = rollout.trajectories.action.sum(axis=1).reshape(grades.rewards.shape)
    penalty = advantages.overlong_penalty(
        lengths, limit=max_new_tokens, buffer=round(method.overlong * max_new_tokens)
    )
    return method.advantage_rule(grades.rewards + penalty).reshape(-1)


def _token_advantages(
    rollout: Rollout,
    grades: Grades,
    answer_advantages: jax.Array,
    *,
    key: jax.Array,
    method: Method,
) -> SampledTokens:
    """A of each token and the tokens of the loss; what is dropped has A = 0."""
    loss_mask = rollout.trajectories.action & grades.kept.reshape(-1, 1)
    tokens = SampledTokens(
        stats=rollout.stats,
        advantages=jnp.where(loss_mask, answer_advantages[:, None], 0.0),
        mask=loss_mask,
        token_uniforms=token_random.token_uniforms(
            jax.random.fold_in(key, 2), sequence_identities(loss_mask), loss_mask.shape[1]
        ),
        rollout_entropy=rollout.entropy,
    )
    if method.token_advantage_rule is not None:
        own = jnp.where(loss_mask, method.token_advantage_rule(tokens), 0.0)
        tokens = tokens._replace(advantages=own)
    if method.dropped_token_rule is not None:
        tokens = tokens._replace(polarity=_polarity_of(tokens, method))
        loss_mask &= ~method.dropped_token_rule(tokens)
        remaining = jnp.where(loss_mask, tokens.advantages, 0.0)
        tokens = tokens._replace(advantages=remaining, mask=loss_mask)
    return tokens


def _polarity_of(tokens: SampledTokens, method: Method) -> jax.Array:
    return signals.banded_polarity(
        tokens.stats, tokens.advantages, tokens.mask, dead_band=method.dead_band
    )


def _weight_metrics(weighted: WeightedAdvantages) -> Metrics:
    """Shares and masses of the two branches, and the weights' mean and bounds."""
    polarity, weights, mask = weighted.polarity, weighted.weights, weighted.loss_mask
    positive, negative = branches(polarity, mask, dead_band=0.0)
    tokens, acting = jnp.maximum(mask.sum(), 1), positive.sum() + negative.sum()
    return {
        "polarity/positive_share": positive.sum() / jnp.maximum(acting, 1),
        "polarity/neutral_share": 1.0 - acting / tokens,
        "polarity/positive_mass": jnp.where(positive, polarity, 0.0).sum() / tokens,
        "polarity/negative_mass": jnp.where(negative, -polarity, 0.0).sum() / tokens,
        "weight/mean": masked_mean(weights, mask),
        "weight/min": jnp.where(mask.any(), jnp.where(mask, weights, jnp.inf).min(), 0.0),
        "weight/max": jnp.where(mask, weights, 0.0).max(),
    }
