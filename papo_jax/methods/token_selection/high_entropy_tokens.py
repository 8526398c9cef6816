"""80/20: policy gradient on the fifth of the tokens whose states are the most uncertain.

Source: Wang et al. 2025, arXiv 2506.01939. The threshold is over the whole minibatch at the current
policy, padding excluded (their code takes it over each micro-batch). The paper's equation divides
by all tokens, as TRL does, and is followed; their code divides by those that are kept: `all_tokens
= False`, a loss five times as large. Clip 0.2 / 0.28 and token mean are DAPO's; its dynamic
sampling and length penalty, on there (512 prompts x 16 in minibatches of 32), are off here.
"""

import jax

from papo_jax.methods import token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    clipped_surrogate,
    token_mean,
)
from papo_jax.methods.token_batch import TokenBatch


def high_entropy_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    entropy_share: float = 0.2,
    all_tokens: bool = True,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> LossSum:
    """Computes the clipped surrogate of the tokens with the highest entropy.

        L = -1/N sum_t 1[H_t >= tau] min(r A, clip(r, 1 - low, 1 + high) A)

    Args:
      tokens: `TokenBatch` of the whole minibatch, with `entropy`.
      reduction: `token_mean`.
      entropy_share: tau is the value that this share of the tokens reaches, rounded up; all tokens
        at tau are kept.
      all_tokens: N counts all tokens; otherwise those that are kept.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is N.
    """
    mask, entropy = tokens.mask, jax.lax.stop_gradient(tokens.entropy)
    chosen = mask & (tokens.entropy >= token_random.top_threshold(entropy, mask, entropy_share))
    of_chosen = token_mean(chosen)
    clip = dict(clip_low=clip_low, clip_high=clip_high)
    surrogate = clipped_surrogate(
        tokens, reduction._replace(token_weights=of_chosen.token_weights), **clip
    )

    # Tokens that are not chosen have no gradient, as clipped ones have none.
    acting = (mask & (tokens.weighted_advantages != 0)).sum()
    clipped = clipped_surrogate(tokens._replace(mask=chosen), of_chosen, **clip)
    zeroed, chosen_acting = clipped.metrics["clip/fraction"]
    metrics = {
        **surrogate.metrics,
        "clip/fraction": (zeroed + acting - chosen_acting, acting),
        "selected/tokens": (of_chosen.count, 1),
    }
    count = reduction.count if all_tokens else of_chosen.count
    return LossSum(surrogate.total, count, metrics)


def high_entropy_tokens() -> Method:
    """80/20, Wang et al. 2025, arXiv 2506.01939: the top 20 % by entropy, over all tokens."""
    return Method(Objective(high_entropy_loss, token_mean, needs_full_minibatch=True))


PRESETS = (high_entropy_tokens,)
