"""EPO: an entropy bonus, with a penalty on tokens whose entropy leaves a corridor around the past
mean.

Source: arXiv 2509.22576 (2025), for agents, and WujiangXu/EPO: bonus 1e-3, corridor 0 to 2 times
the past mean, penalty 0.1 (ALFWorld), KL 0.01, clip 0.2. In their code the penalty is a constant
for each token, without a gradient, so that the gradient is that of an entropy bonus; the code is
followed, and the penalty shows in the loss alone. Their schedule that takes the penalty's weight
from 1 to 0 over 150 epochs is left out: it would change the loss's value and nothing else. Theirs
  keeps a past mean for each turn; a mathematics answer is one turn, and the run's moving average
  stands for it here.
"""

import jax
import jax.numpy as jnp

from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.entropy_terms import entropy_bonus
from papo_jax.methods.objectives import (
    Objective,
    Rule,
    k3,
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
    past_entropy: jax.Array,
    reference_logprob: jax.Array,
    entropy_coefficient: float = 1e-3,
    corridor_low: float = 0.0,
    corridor_high: float = 2.0,
    corridor_penalty: float = 0.1,
    kl_coefficient: float = 0.01,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    coefficients: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate with EPO's terms.

        m_t = penalty 1[not corridor_low Hbar < H_t < corridor_high Hbar]
        L = 1/N sum_t -min(r A, clip(r) A) - coefficient (H_t - m_t) + kl_coefficient k3

    Args:
      logprob, old_logprob, advantages, mask, entropy, coefficients: [B, T], as in
        `entropy_bonus.objective`.
      past_entropy: [] Hbar, the moving average over rollouts up to this one, nats.
      reference_logprob: [B, T] under the reference policy.
      entropy_coefficient: of bonus and penalty.
      corridor_low, corridor_high: in units of Hbar.
      corridor_penalty: nats.
      kl_coefficient: of k3 to the reference.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `Objective` whose count is the number of tokens.
    """
    out = entropy_bonus.objective(
        logprob,
        old_logprob,
        advantages,
        mask,
        entropy=entropy,
        entropy_coefficient=entropy_coefficient,
        clip_low=clip_low,
        clip_high=clip_high,
        coefficients=coefficients,
    )
    inside = (entropy > corridor_low * past_entropy) & (entropy < corridor_high * past_entropy)
    terms = entropy_coefficient * jnp.where(inside, 0.0, corridor_penalty)
    terms += kl_coefficient * k3(jnp.where(mask, reference_logprob - logprob, 0.0))
    coefficients = with_coefficients(per_token(mask), coefficients).coefficients
    return out._replace(total=out.total + masked_sum(coefficients, terms, mask))


def epo() -> Arguments:
    """EPO, arXiv 2509.22576: bonus 1e-3, corridor up to twice the past mean, penalty 0.1, KL 0.01,
    clip 0.2."""
    return arguments(
        Rule(objective, per_token),
        entropy_coefficient=1e-3,
        corridor_low=0.0,
        corridor_high=2.0,
        corridor_penalty=0.1,
        kl_coefficient=0.01,
        clip_low=0.2,
        clip_high=0.2,
    )


PRESETS = (epo,)
