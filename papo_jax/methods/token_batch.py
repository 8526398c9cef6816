"""Arrays of tokens that a method's rules read.

Shapes: B sequences, T time.
"""

from typing import Any, NamedTuple

import jax

from kernels.token_stats import TokenStats

# The default of a field that the learner fills in before a rule reads it; the field is annotated
# with what the rule then finds there.
UNFILLED: Any = None


class TokenBatch(NamedTuple):
    """Tokens under the current policy, as an objective sees them; [B, T] unless said otherwise.

    Only the first four are always there; the learner fills in the others. An objective that is a
    sum over tokens receives pieces of answers as single rows, B = 1, and may not look across them.

    Attributes:
      logprob: log p(y) under the current parameters, nats.
      old_logprob: log p(y) under the parameters that sampled, nats.
      weighted_advantages: w A.
      mask: boolean, tokens of the loss.
      entropy: H under the current parameters, nats.
      unit_polarity: T under the current parameters, nats per unit of logit step; without gradient.
      reference_logprob: log p(y) under the reference policy, nats.
      polarity: P under the parameters that sampled.
      accuracy: share of right answers among the samples of the token's prompt.
      token_uniforms: a number in [0, 1) that belongs to the token, for choices made at random; only
        for objectives with `needs_token_uniforms`.
      adaptive_coefficient: [] the coefficient that the method's `coefficient_rule` moves.
      rollout_entropy: [] mean entropy of the rollout under the policy that sampled it, nats.
      past_entropy: [] moving average of the rollouts' entropies, this one included, nats.
      dual_clip: [] the greatest importance ratio of a token with A < 0; None for no such bound.
    """

    logprob: jax.Array
    old_logprob: jax.Array
    weighted_advantages: jax.Array
    mask: jax.Array
    entropy: jax.Array = UNFILLED
    unit_polarity: jax.Array = UNFILLED
    reference_logprob: jax.Array = UNFILLED
    polarity: jax.Array = UNFILLED
    accuracy: jax.Array = UNFILLED
    token_uniforms: jax.Array = UNFILLED
    adaptive_coefficient: jax.Array = UNFILLED
    rollout_entropy: jax.Array = UNFILLED
    past_entropy: jax.Array = UNFILLED
    dual_clip: jax.Array | float | None = None


class SampledTokens(NamedTuple):
    """Tokens of a rollout under the policy that sampled them; [B, T] unless said otherwise.

    Attributes:
      stats: `TokenStats`.
      advantages: A, before weighting.
      mask: boolean, tokens of the loss.
      polarity: P = A T, 0 in the dead band and outside the mask.
      token_uniforms: a number in [0, 1) that belongs to the token.
      rollout_entropy: [] mean entropy of the rollout, nats.
      unit_parameter_polarity: <grad log p(y), M grad Hbar>, for the signal "parameter".
    """

    stats: TokenStats
    advantages: jax.Array
    mask: jax.Array
    polarity: jax.Array = UNFILLED
    token_uniforms: jax.Array = UNFILLED
    rollout_entropy: jax.Array = UNFILLED
    unit_parameter_polarity: jax.Array = UNFILLED
