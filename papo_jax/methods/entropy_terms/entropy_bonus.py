"""The entropy bonus: a constant coefficient on the policy's entropy.

Source: Williams and Peng 1991; in this field verl's `entropy_coeff`, 1e-3 by default until 2025.
The entropy is averaged as the loss is, over tokens here, under the current policy, with its
gradient.
"""

import jax

from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    clipped_surrogate,
    masked_sum,
    token_mean,
)
from papo_jax.methods.token_batch import TokenBatch


def entropy_bonus_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    entropy_coefficient: float = 1e-3,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> LossSum:
    """Computes the clipped surrogate less a multiple of the entropy.

        L = 1/N sum_t -min(r A, clip(r, 1 - low, 1 + high) A) - coefficient H_t

    Args:
      tokens: `TokenBatch` with `entropy`, which has a gradient.
      reduction: `token_mean`.
      entropy_coefficient: of the bonus.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    surrogate = clipped_surrogate(tokens, reduction, clip_low=clip_low, clip_high=clip_high)
    return subtract_entropy(surrogate, tokens, reduction, entropy_coefficient)


def subtract_entropy(
    surrogate: LossSum,
    tokens: TokenBatch,
    reduction: TokenReduction,
    coefficient: jax.Array | float,
) -> LossSum:
    """Subtracts sum c coefficient H from a surrogate; the coefficient is a number or [B, T]."""
    bonus = masked_sum(reduction, coefficient * tokens.entropy, tokens.mask)
    return surrogate._replace(total=surrogate.total - bonus)


def entropy_bonus() -> Method:
    """GRPO's advantages, clip 0.2 and a mean over tokens, with verl's bonus of 1e-3."""
    return Method(Objective(entropy_bonus_loss, token_mean))


PRESETS = (entropy_bonus,)
