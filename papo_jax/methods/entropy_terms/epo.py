"""EPO: an entropy bonus, with a penalty outside a corridor around the past mean entropy.

Source: arXiv 2509.22576 (2025), for agents, and WujiangXu/EPO: bonus 1e-3, corridor 0 to 2 times
the past mean, penalty 0.1 (ALFWorld), KL 0.01, clip 0.2. In their code the penalty is a constant
for each token, without a gradient, so that the gradient is that of an entropy bonus; the code is
followed, and the penalty shows in the loss alone. Their schedule that takes the penalty's weight
from 1 to 0 over 150 epochs is left out: it would change the loss's value and nothing else. Theirs
  keeps a past mean for each turn; a mathematics answer is one turn, and the run's moving average
  stands for it here.
"""

import jax.numpy as jnp

from papo_jax.methods.entropy_terms.entropy_bonus import entropy_bonus_loss
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import (
    LossSum,
    Objective,
    TokenReduction,
    masked_sum,
    reference_kl,
    token_mean,
)
from papo_jax.methods.token_batch import TokenBatch


def epo_loss(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    entropy_coefficient: float = 1e-3,
    corridor_low: float = 0.0,
    corridor_high: float = 2.0,
    corridor_penalty: float = 0.1,
    kl_coefficient: float = 0.01,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> LossSum:
    """Computes the clipped surrogate with EPO's terms.

        m_t = penalty 1[not corridor_low Hbar < H_t < corridor_high Hbar]
        L = 1/N sum_t -min(r A, clip(r) A) - coefficient (H_t - m_t) + kl_coefficient k3

    Args:
      tokens: `TokenBatch` with `entropy`, `past_entropy` (Hbar) and `reference_logprob`.
      reduction: `token_mean`.
      entropy_coefficient: of bonus and penalty.
      corridor_low, corridor_high: in units of Hbar.
      corridor_penalty: nats.
      kl_coefficient: of k3 to the reference.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.

    Returns:
      `LossSum` whose count is the number of tokens.
    """
    surrogate = entropy_bonus_loss(
        tokens,
        reduction,
        entropy_coefficient=entropy_coefficient,
        clip_low=clip_low,
        clip_high=clip_high,
    )
    entropy, past = tokens.entropy, tokens.past_entropy
    inside = (entropy > corridor_low * past) & (entropy < corridor_high * past)
    terms = entropy_coefficient * jnp.where(inside, 0.0, corridor_penalty)
    terms += kl_coefficient * reference_kl(tokens)
    return surrogate._replace(total=surrogate.total + masked_sum(reduction, terms, tokens.mask))


def epo() -> Method:
    """EPO, arXiv 2509.22576: bonus 1e-3, corridor to twice the past mean, penalty 0.1, KL 0.01."""
    return Method(Objective(epo_loss, token_mean))


PRESETS = (epo,)
