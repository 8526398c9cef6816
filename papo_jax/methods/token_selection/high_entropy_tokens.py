"""80/20: policy gradient on the fifth of the tokens whose states are the most uncertain.

Source: Wang et al. 2025, arXiv 2506.01939. The threshold is over the whole minibatch at the current
policy, padding excluded (their code takes it over each micro-batch). The paper's equation divides
by all tokens, as TRL does, and is followed; their code divides by those that are kept: `all_tokens
= False`, a loss five times as large. Clip 0.2 / 0.28 and token mean are DAPO's; its dynamic
sampling and length penalty, on there (512 prompts x 16 in minibatches of 32), are off here.
"""

import jax

from papo_jax.methods import draws
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import Objective, Rule, dapo, per_token


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    entropy: jax.Array,
    entropy_share: float = 0.2,
    all_tokens: bool = True,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> Objective:
    """Computes the clipped surrogate of the tokens with the highest entropy.

        L = -1/N sum_t 1[H_t >= tau] min(r A, clip(r, 1 - low, 1 + high) A)

    Args:
      logprob, old_logprob, advantages, mask: [B, T] of the whole minibatch.
      entropy: [B, T] H of the current policy, nats.
      entropy_share: tau is the value that this share of the tokens reaches, rounded up; all tokens
        at tau are kept.
      all_tokens: N counts all tokens; otherwise those that are kept.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is N.
    """
    chosen = mask & (
        entropy >= draws.threshold(jax.lax.stop_gradient(entropy), mask, entropy_share)
    )
    whole, kept = per_token(mask), per_token(chosen)
    out = dapo(
        logprob,
        old_logprob,
        advantages,
        mask,
        clip_low=clip_low,
        clip_high=clip_high,
        coefficients=kept.coefficients,
    )
    acting = (mask & (advantages != 0)).sum()
    clipped = dapo(
        logprob, old_logprob, advantages, chosen, clip_low=clip_low, clip_high=clip_high
    ).metrics["clip/fraction"]
    zeroed = clipped[0] + acting - clipped[1]
    metrics = {**out.metrics, "clip/fraction": (zeroed, acting), "selected/tokens": (kept.count, 1)}
    return Objective(out.total, whole.count if all_tokens else kept.count, metrics)


def high_entropy_tokens() -> Arguments:
    """80/20, Wang et al. 2025, arXiv 2506.01939: the top 20 % by entropy, clip 0.2 / 0.28, divided
    by all tokens."""
    return arguments(
        Rule(objective, per_token, whole=True),
        entropy_share=0.2,
        all_tokens=True,
        clip_low=0.2,
        clip_high=0.28,
    )


PRESETS = (high_entropy_tokens,)
