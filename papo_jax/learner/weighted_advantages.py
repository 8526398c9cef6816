"""Weighted advantages w A: from grades to A, polarity, the phase signal and the weights w.

Shapes: N prompts, G samples a prompt, B = N G sequences, T completion slots. c and count are those
of the objective's reduction, whose loss is sum_t c_t loss_t / count.
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
      answer_advantages: [B] A of each answer, before a method's token rules; 0 where the answer is
        left out of the loss.
      advantages: A of each token, before weighting.
      weights: w, 0 where the loss mask is false.
      polarity: P = A T, 0 in the dead band.
      loss_weights: w c / count, a token's factor in the loss of one update on the whole rollout.
        Times P it is g T, the entropy change that the token's update predicts, at ratio 1 and
        under an objective that uses every token of the loss: which tokens an objective leaves out
        is known only in the update.
      loss_mask: boolean, the tokens that take part in the loss.
      entropy_trajectory: with this rollout's entropy taken in.
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
    entropy_trajectory: EntropyTrajectory,
    *,
    key: jax.Array,
    method: Method,
    max_new_tokens: int,
    unit_parameter_polarity: jax.Array | None = None,
) -> tuple[WeightedAdvantages, Metrics]:
    """Turns rewards into advantages and their weights by the method's rules, one after another.

    Args:
      rollout: with statistics under the policy that sampled it.
      grades: of its answers.
      entropy_trajectory: before this rollout.
      key: for choices among tokens that are made at random.
      method: whose rules are followed.
      max_new_tokens: the longest completion, tokens.
      unit_parameter_polarity: [B, T] from `learner.parameter_polarity`, for the signal "parameter".

    Returns:
      (`WeightedAdvantages`, metrics).
    """
    # The phase signal s, and the coefficient of an entropy bonus that a method may move.
    entropy_trajectory, s = method.phase_rule(entropy_trajectory, rollout.entropy)
    if method.coefficient_rule is not None:
        coefficient = method.coefficient_rule(
            entropy_trajectory.adaptive_coefficient, rollout.entropy, entropy_trajectory.initial
        )
        entropy_trajectory = entropy_trajectory._replace(adaptive_coefficient=coefficient)

    # Advantages, the tokens of the loss and their polarity.
    answer_advantages = _estimate_advantages(rollout, grades, method, max_new_tokens)
    tokens = _select_tokens(rollout, grades, answer_advantages, key=key, method=method)
    tokens = tokens._replace(
        polarity=_token_polarity(tokens, method), unit_parameter_polarity=unit_parameter_polarity
    )

    # PAPO's weights, by the signal and the phase: s itself, or the branch that `switch` is at.
    signal = signals.SIGNALS[method.signal]
    switching = method.hyperparameter("weighting") == "switch"
    phase = method.direction * (entropy_trajectory.switch if switching else s)
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
        entropy_trajectory=entropy_trajectory,
    )
    metrics = _weight_metrics(weighted)
    metrics |= {"entropy": rollout.entropy, "entropy/ema": entropy_trajectory.ema, "phase": phase}
    if method.dropped_token_rule is not None:
        candidates = rollout.trajectories.action & grades.kept.reshape(-1, 1)
        metrics["dropped/tokens"] = candidates.sum() - tokens.mask.sum()
    return weighted, metrics


def sequence_identities(mask: jax.Array) -> jax.Array:
    """Returns the identities of a rollout's sequences, [B] int32: the keys of random choices."""
    return jnp.arange(mask.shape[0], dtype=jnp.int32)


def _estimate_advantages(
    rollout: Rollout, grades: Grades, method: Method, max_new_tokens: int
) -> jax.Array:
    """Computes A of each answer, [B], from its reward and DAPO's penalty on long answers."""
    lengths = rollout.trajectories.action.sum(axis=1).reshape(grades.rewards.shape)
    penalty = advantages.overlong_penalty(
        lengths, max_length=max_new_tokens, buffer=round(method.overlong * max_new_tokens)
    )
    return method.advantage_rule(grades.rewards + penalty).reshape(-1)


def _select_tokens(
    rollout: Rollout,
    grades: Grades,
    answer_advantages: jax.Array,
    *,
    key: jax.Array,
    method: Method,
) -> SampledTokens:
    """Gives each token its A, the answer's or the token rule's, and drops those that a rule drops.

    Tokens outside the loss have A = 0.
    """
    loss_mask = rollout.trajectories.action & grades.kept.reshape(-1, 1)
    tokens = SampledTokens(
        stats=rollout.stats,
        advantages=jnp.where(loss_mask, answer_advantages[:, None], 0.0),
        mask=loss_mask,
        # 2, since the random controls' permutation folds 0 and 1 into the same key.
        token_uniforms=token_random.token_uniforms(
            jax.random.fold_in(key, 2), sequence_identities(loss_mask), loss_mask.shape[1]
        ),
        rollout_entropy=rollout.entropy,
    )
    if method.token_advantage_rule is not None:
        token_advantages = jnp.where(loss_mask, method.token_advantage_rule(tokens), 0.0)
        tokens = tokens._replace(advantages=token_advantages)
    if method.dropped_token_rule is not None:
        tokens = tokens._replace(polarity=_token_polarity(tokens, method))
        loss_mask &= ~method.dropped_token_rule(tokens)
        remaining = jnp.where(loss_mask, tokens.advantages, 0.0)
        tokens = tokens._replace(advantages=remaining, mask=loss_mask)
    return tokens


def _token_polarity(tokens: SampledTokens, method: Method) -> jax.Array:
    """Computes P = A T of each token, [B, T], with the method's dead band."""
    return signals.banded_polarity(
        tokens.stats, tokens.advantages, tokens.mask, dead_band=method.dead_band
    )


def _weight_metrics(weighted: WeightedAdvantages) -> Metrics:
    """Computes shares and masses of the two branches, and the weights' mean and bounds."""
    polarity, weights, mask = weighted.polarity, weighted.weights, weighted.loss_mask
    positive, negative = branches(polarity, mask, dead_band=0.0)
    tokens, in_branch = jnp.maximum(mask.sum(), 1), positive.sum() + negative.sum()
    return {
        "polarity/positive_share": positive.sum() / jnp.maximum(in_branch, 1),
        "polarity/neutral_share": 1.0 - in_branch / tokens,
        "polarity/positive_mass": jnp.where(positive, polarity, 0.0).sum() / tokens,
        "polarity/negative_mass": jnp.where(negative, -polarity, 0.0).sum() / tokens,
        "weight/mean": masked_mean(weights, mask),
        "weight/min": jnp.where(mask.any(), jnp.where(mask, weights, jnp.inf).min(), 0.0),
        "weight/max": jnp.where(mask, weights, 0.0).max(),
    }
