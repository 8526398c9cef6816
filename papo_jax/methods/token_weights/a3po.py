"""A3PO: larger advantages for the rarest tokens of right answers and the commonest of wrong ones.

Source: arXiv 2512.21625 (2025) and txy77/Sample-Polarity-of-RLVR. Tokens are ranked within each
answer under the sampling policy. The text lets the factors decay; its code does not, and the code
is followed. x5 on 20 % is the code's example, on GRPO's advantages, clip 0.2, a mean over each
answer and then over answers. Right and wrong are score 1 and 0 in the code, A > 0 and A < 0 here:
the same for rewards of 0 and 1.
"""

import functools

import jax
import jax.numpy as jnp

from papo_jax.methods import token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, answer_mean, clipped_surrogate
from papo_jax.methods.token_batch import SampledTokens


def enlarge_advantages(
    tokens: SampledTokens,
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
      tokens: `SampledTokens`.
      ranked_share: of each answer's tokens.
      right_factor, wrong_factor: what the two are multiplied by.

    Returns:
      [B, T] advantages.
    """
    advantages, mask = tokens.advantages, tokens.mask
    number = token_random.count_at_most(ranked_share, mask.sum(axis=1, keepdims=True))

    def rank_in_answer(values):
        order = jnp.argsort(jnp.where(mask, values, jnp.inf), axis=1, stable=True)
        return jnp.argsort(order, axis=1)

    rarest = rank_in_answer(tokens.stats.logprob) < number
    commonest = rank_in_answer(-tokens.stats.logprob) < number
    wrong = jnp.where(commonest & (advantages < 0), wrong_factor, 1.0)
    return advantages * jnp.where(rarest & (advantages > 0), right_factor, wrong)


def a3po() -> Method:
    """A3PO, arXiv 2512.21625: x5 on the rarest 20 % of right answers, the commonest of wrong."""
    objective = Objective(functools.partial(clipped_surrogate, clip_high=0.2), answer_mean)
    return Method(objective, token_advantage_rule=enlarge_advantages)


PRESETS = (a3po,)
