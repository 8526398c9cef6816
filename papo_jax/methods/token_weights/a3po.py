"""A3PO: larger advantages for the rarest tokens of right answers and the commonest of wrong ones.

Source: arXiv 2512.21625 (2025) and txy77/Sample-Polarity-of-RLVR. Tokens are ranked within each
answer under the sampling policy. The text lets the factors decay; its code does not, and the code
is followed. x5 on 20 % is the code's example, on GRPO's advantages, clip 0.2, a mean over each
answer and then over answers. Right and wrong are score 1 and 0 in the code, A > 0 and A < 0 here:
the same for rewards of 0 and 1.
"""

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax.methods import draws
from papo_jax.methods.arguments import Arguments, arguments
from papo_jax.methods.objectives import GRPO


def enlarged(
    stats: TokenStats,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    ranked_share: float = 0.2,
    right_factor: float = 5.0,
    wrong_factor: float = 5.0,
) -> jax.Array:
    """Multiplies the advantages of some tokens of each answer.

        n_i = max(1, int(share |o_i|))
        A' = right_factor A on the n_i least likely tokens where A > 0
             wrong_factor A on the n_i most likely tokens where A < 0

    Of equally likely tokens the first of the answer counts.

    Args:
      stats: [B, T] under the sampling policy.
      advantages: [B, T].
      mask: [B, T] boolean.
      ranked_share: of each answer's tokens.
      right_factor, wrong_factor: what the two are multiplied by.

    Returns:
      [B, T] advantages.
    """
    number = draws.at_most(ranked_share, mask.sum(axis=1, keepdims=True))

    def rank(values):
        return jnp.argsort(
            jnp.argsort(jnp.where(mask, values, jnp.inf), axis=1, stable=True), axis=1
        )

    rarest, commonest = (rank(sign * stats.logprob) < number for sign in (1.0, -1.0))
    factor = jnp.where(
        rarest & (advantages > 0),
        right_factor,
        jnp.where(commonest & (advantages < 0), wrong_factor, 1.0),
    )
    return advantages * factor


def a3po() -> Arguments:
    """A3PO, arXiv 2512.21625: x5 on the rarest 20 % of right answers and the commonest of wrong
    ones; clip 0.2."""
    return arguments(
        GRPO,
        shape=enlarged,
        ranked_share=0.2,
        right_factor=5.0,
        wrong_factor=5.0,
        clip_low=0.2,
        clip_high=0.2,
        kl_coefficient=0.0,
    )


PRESETS = (a3po,)
