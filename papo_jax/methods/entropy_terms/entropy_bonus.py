"""The entropy bonus: the oldest remedy, a constant coefficient on the policy's entropy.

Source: Williams and Peng 1991; in this field verl's `entropy_coeff`, 1e-3 by default until 2025.
The entropy is averaged as the loss is, over tokens here, under the current policy, with its
gradient.
"""

import jax

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    dapo,
    masked_sum,
    per_token,
    with_coefficients,
)


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    entropy: jax.Array,
    entropy_coefficient: jax.Array | float = 1e-3,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate less a multiple of the entropy.

        L = 1/N sum_t -min(r A, clip(r, 1 - low, 1 + high) A) - coefficient H_t

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      entropy: [B, T] H of the current policy, nats, with gradient.
      entropy_coefficient: of the bonus, a number or [B, T].
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      coefficients: [B, T] of the token losses; None for `per_token`.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    surrogate = dapo(
        logprob,
        old_logprob,
        advantages,
        mask,
        clip_low=clip_low,
        clip_high=clip_high,
        coefficients=coefficients,
    )
    coefficients = with_coefficients(per_token(mask), coefficients).coefficients
    return surrogate._replace(
        total=surrogate.total - masked_sum(coefficients, entropy_coefficient * entropy, mask)
    )


def entropy_bonus() -> Arguments:
    """GRPO's advantages, clip 0.2 and a mean over tokens, with verl's bonus of 1e-3."""
    return arguments(
        Rule(objective, per_token), entropy_coefficient=1e-3, clip_low=0.2, clip_high=0.2
    )


PRESETS = (entropy_bonus,)
