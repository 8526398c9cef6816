"""Advantages from rewards. Shapes: N prompts, G samples a prompt."""

import chex
import jax
import jax.numpy as jnp


def group_normalized(rewards: jax.Array, *, epsilon: float = 1e-6) -> jax.Array:
    """Centers each group's rewards and divides by the group's standard deviation.

        A[n, g] = (R[n, g] - mean_g R[n]) / (std_g R[n] + epsilon)

    Source: GRPO, Shao et al. 2024, arXiv 2402.03300. Implementations differ in epsilon: 1e-6 here
    and in verl, 1e-4 in TRL, 1e-9 in OpenRLHF; and in the deviation: the population's here, the
    sample's where `torch.std` is left at its default, which makes advantages smaller by a factor of
    sqrt((G - 1) / G).

    Args:
      rewards: [N, G].
      epsilon: added to the standard deviation, in the unit of the rewards.

    Returns:
      [N, G] advantages; exact zeros where a group's rewards are all equal, which rounding alone
      would not give.

    >>> print(group_normalized(jnp.array([[1.0, 0.0, 0.0, 1.0], [0.1, 0.1, 0.1, 0.1]])).round(3))
    [[ 1. -1. -1.  1.]
     [ 0.  0.  0.  0.]]
    """
    chex.assert_rank(rewards, 2)
    centered = rewards - rewards.mean(axis=1, keepdims=True)
    normalized = centered / (rewards.std(axis=1, keepdims=True) + epsilon)
    return jnp.where((rewards == rewards[:, :1]).all(axis=1, keepdims=True), 0.0, normalized)


def group_centered(rewards: jax.Array) -> jax.Array:
    """Subtracts each group's mean reward.

        A[n, g] = R[n, g] - mean_g R[n]

    Source: Dr. GRPO, Liu et al. 2025, arXiv 2503.20783, which takes GRPO's division by the
    deviation out; as the mean baseline of REINFORCE it is older.

    Args:
      rewards: [N, G].

    Returns:
      [N, G] advantages; exact zeros where a group's rewards are all equal.

    >>> print(group_centered(jnp.array([[1.0, 0.0, 0.0, 1.0]])))
    [[ 0.5 -0.5 -0.5  0.5]]
    """
    chex.assert_rank(rewards, 2)
    centered = rewards - rewards.mean(axis=1, keepdims=True)
    return jnp.where((rewards == rewards[:, :1]).all(axis=1, keepdims=True), 0.0, centered)


def leave_one_out(rewards: jax.Array) -> jax.Array:
    """Subtracts from each reward the mean of the others in its group.

        A[n, g] = R[n, g] - mean_{h != g} R[n, h] = G / (G - 1) (R[n, g] - mean_g R[n])

    Source: RLOO, Kool et al. 2019 and Ahmadian et al. 2024, arXiv 2402.14740.

    Args:
      rewards: [N, G], G at least 2.

    Returns:
      [N, G] advantages.

    >>> print(leave_one_out(jnp.array([[1.0, 0.0, 0.0]])).round(4))
    [[ 1.  -0.5 -0.5]]
    """
    return group_centered(rewards) * (rewards.shape[1] / (rewards.shape[1] - 1))


def signed(rewards: jax.Array, *, right: float, wrong: float) -> jax.Array:
    """Gives right and wrong answers advantages of their own, without a baseline.

        A[n, g] = right R[n, g] - wrong (1 - R[n, g])

    Source: Zhu et al. 2025, arXiv 2506.01347 (PSR 1 and 0, NSR 0 and 1, W-REINFORCE 0.1 and 1).

    Args:
      rewards: [N, G], 0 or 1.
      right, wrong: the sizes of the two.

    Returns:
      [N, G] advantages.

    >>> print(signed(jnp.array([[1.0, 0.0]]), right=0.25, wrong=1.0))
    [[ 0.25 -1.  ]]
    """
    chex.assert_rank(rewards, 2)
    return right * rewards - wrong * (1.0 - rewards)


def overlong_penalty(lengths: jax.Array, *, max_length: int, buffer: int) -> jax.Array:
    """Computes DAPO's soft penalty for answers that come near the greatest length.

        0                                          where length <= max_length - buffer
        (max_length - buffer - length) / buffer    beyond, down to -1 at max_length

    Source: DAPO, Yu et al. 2025, arXiv 2503.14476, equation 13, with lengths up to 20,480 and a
    buffer of 4,096.

    Args:
      lengths: [...] tokens of each answer.
      max_length: the longest answer that the sampler allows, tokens.
      buffer: the last tokens before `max_length`, in which the penalty grows; 0 for no penalty.

    Returns:
      [...] to be added to the rewards, in [-1, 0].

    >>> print(overlong_penalty(jnp.array([10, 16, 18, 20]), max_length=20, buffer=4))
    [ 0.   0.  -0.5 -1. ]
    """
    if buffer == 0:
        return jnp.zeros(lengths.shape, jnp.float32)
    return jnp.clip((max_length - buffer - lengths) / buffer, -1.0, 0.0)
