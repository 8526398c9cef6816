"""Dr. GRPO: GRPO without the divisions by length and by the group's deviation.

Source: Liu et al. 2025, arXiv 2503.20783, and sail-sg/understand-r1-zero. Settings: clip 0.2, no KL
term. Sums are divided by the longest answer that may be generated, as in their code; some other
systems divide by the longest one of the batch. Their code also gives truncated answers the reward
0; here they are graded like any other.
"""

import jax

from papo_jax.methods import advantages as estimators
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import Objective, Rule, dapo, per_limit, with_coefficients


def objective(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    limit: int,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate, summed over each answer's tokens and divided by a constant.

        L = -1/B sum_i 1/limit sum_t min(r A, clip(r, 1 - low, 1 + high) A)

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      limit: the longest completion that is allowed, tokens.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      coefficients: [B, T] of the token losses; None for `per_limit`.

    Returns:
      `Objective` whose count is the number of answers.
    """
    coefficients, count = with_coefficients(per_limit(mask, limit), coefficients)
    surrogate = dapo(
        logprob,
        old_logprob,
        advantages,
        mask,
        clip_low=clip_low,
        clip_high=clip_high,
        coefficients=coefficients,
    )
    return surrogate._replace(count=count)


def dr_grpo() -> Arguments:
    """Dr. GRPO, Liu et al. 2025, arXiv 2503.20783: centered rewards, clip 0.2, sums over the
    generation limit."""
    return arguments(
        Rule(objective, per_limit), advantage=estimators.group_centered, clip_low=0.2, clip_high=0.2
    )


PRESETS = (dr_grpo,)
