"""Entropy polarity: how one sampled update changes the entropy of a policy, to first order.

Source: "Entropy Polarity in Reinforcement Fine-Tuning", arXiv 2605.11775 (2026). The paper states
that a first-order approximation gives a signed token-level quantity that splits into a
sampled-token contribution and a distributional correction; the formulas here follow by calculus
from dz = eta A (e_y - p).

Training calls `entropy_polarity`, `sampled_contribution`, `apply_dead_band`, `branches` and
`masked_mean`. The other functions are for notebooks, and references for the tests of
`papo_jax.learner`, which computes the same quantities micro-batch by micro-batch.

Shapes: [...] any leading axes, usually [B, T] (sequences, time); V vocabulary. Entropy in nats.
Everything works on arrays and is safe under `jax.jit`.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from kernels.token_stats import token_stats

PyTree = Any


def unit_polarity(logits: jax.Array, tokens: jax.Array, *, temperature: float = 1.0) -> jax.Array:
    """Computes dH per unit step of the tempered logits and unit advantage, for a sampled token.

        T = C - S_y,  S_v = p_v (H + log p_v),  C = sum_v p_v S_v

    Source: arXiv 2605.11775 (2026), first-order entropy change; this form is calculus.

    Args:
      logits: [..., V]; -inf is outside the support.
      tokens: [...] integers.
      temperature: the sampler's; T is defined at the distribution that was sampled.

    Returns:
      [...] nats per unit of logit step; gradient zero.

    >>> print(unit_polarity(jnp.zeros(3), jnp.array(1)).round(6))  # uniform: H is at its maximum
    0.0
    """
    return token_stats(logits, tokens, temperature=temperature).unit_polarity


def entropy_polarity(unit_polarity: jax.Array, advantages: jax.Array) -> jax.Array:
    """Computes P = A T: positive where the update expands entropy, negative where it contracts.

    Args:
      unit_polarity: [...] T.
      advantages: [...] A, of the same shape.

    Returns:
      [...] nats per unit of logit step.

    >>> print(entropy_polarity(jnp.array([-0.06, 0.56]), jnp.array([2.0, -1.0])).round(2))
    [-0.12 -0.56]
    """
    chex.assert_equal_shape([unit_polarity, advantages])
    return advantages * unit_polarity


def decompose(
    logits: jax.Array, tokens: jax.Array, advantages: jax.Array, *, temperature: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Splits entropy polarity into the sampled token's contribution and the state's correction.

        P = -A S_y + A C

    Args:
      logits: [..., V].
      tokens: [...] integers.
      advantages: [...].
      temperature: the sampler's.

    Returns:
      (sampled_token, distributional), each [...]; their sum is `entropy_polarity`.

    >>> sampled, distributional = decompose(
    ...     jnp.log(jnp.array([0.9, 0.1])), jnp.array(0), jnp.array(1.0)
    ... )
    >>> round(float(sampled), 4), round(float(distributional), 4)
    (-0.1978, 0.1582)
    """
    stats = token_stats(logits, tokens, temperature=temperature)
    sampled_token = sampled_contribution(stats.logprob, stats.entropy, advantages)
    return sampled_token, advantages * stats.unit_polarity - sampled_token


def sampled_contribution(
    logprob: jax.Array, entropy: jax.Array, advantages: jax.Array
) -> jax.Array:
    """Computes -A S_y = -A p_y (H + log p_y), polarity without the distributional correction.

    Args:
      logprob: [...] log p_y, nats; -inf is allowed and contributes 0.
      entropy: [...] H, nats.
      advantages: [...] A.

    Returns:
      [...] nats per unit of logit step.

    >>> print(
    ...     sampled_contribution(
    ...         jnp.log(jnp.array([0.5])), jnp.log(jnp.array([2.0])), jnp.ones(1)
    ...     ).round(4)
    ... )
    [-0.]
    """
    probability = jnp.exp(logprob)
    return -advantages * probability * (entropy + jnp.where(probability > 0, logprob, 0.0))


def apply_dead_band(unit_polarity: jax.Array, *, dead_band: float = 1e-6) -> jax.Array:
    """Sets T to an exact zero where it is rounding noise, so that the token is in neither branch.

    There is noise since T is a difference of nearly equal numbers where p_y is near 1. That there
    is a band, and how wide, is our choice.

    Args:
      unit_polarity: [...] T.
      dead_band: nats per unit of logit step.

    Returns:
      [...] T, or 0 where abs(T) <= dead_band.

    >>> apply_dead_band(jnp.array([1e-7, 0.5])).tolist()
    [0.0, 0.5]
    """
    return jnp.where(jnp.abs(unit_polarity) <= dead_band, 0.0, unit_polarity)


def branches(
    polarity: jax.Array, mask: jax.Array, *, dead_band: float = 1e-6
) -> tuple[jax.Array, jax.Array]:
    """Returns the masks of the expanding and of the contracting tokens.

    The dead band is on P. For a band on T alone, give P = A `apply_dead_band(T)` and a dead band
    of 0.

    Args:
      polarity: [...] P.
      mask: [...] boolean, the generated tokens.
      dead_band: where abs(P) is no larger, a token is in neither branch.

    Returns:
      (positive, negative): disjoint boolean masks.

    >>> positive, negative = branches(
    ...     jnp.array([0.2, -0.1, 0.0, 0.3]), jnp.array([True, True, True, False])
    ... )
    >>> positive.tolist(), negative.tolist()
    ([True, False, False, False], [False, True, False, False])
    """
    chex.assert_equal_shape([polarity, mask])
    return mask & (polarity > dead_band), mask & (polarity < -dead_band)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean of `values` where `mask` holds, and 0 where it holds nowhere."""
    total = jnp.where(mask, values, 0.0).sum()
    return total / jnp.maximum(mask.sum(), 1)


def predicted_entropy_change(polarity: jax.Array, mask: jax.Array, step_size: float) -> jax.Array:
    """Predicts the change of the mean entropy that a step of the logits makes.

        dH = eta mean_t P_t

    For an actual update put g T in place of P, with g_t = -d loss / d log p(y_t).

    Args:
      polarity: [...] P, or g T.
      mask: [...] boolean, the tokens that the mean is over.
      step_size: eta, the length of the step of the tempered logits.

    Returns:
      A scalar, nats.

    >>> round(
    ...     float(predicted_entropy_change(jnp.array([0.2, -0.1]), jnp.array([True, True]), 0.1)), 4
    ... )
    0.005
    """
    return step_size * masked_mean(polarity, mask)


def directional_entropy_change(
    entropy_fn: Callable[[PyTree], jax.Array], params: PyTree, update: PyTree
) -> jax.Array:
    """Computes the exact first-order change of every state's entropy under a parameter step.

        dH_t = grad_theta H_t . dtheta

    Calculus: one forward-mode pass gives all states at once, shared parameters included.

    Args:
      entropy_fn: params -> [...] entropies, nats; must admit forward mode (no `custom_vjp` inside).
      params: the parameters before the step.
      update: dtheta, a pytree like `params`: the difference that the optimizer really made.

    Returns:
      [...] nats, of the shape of entropy_fn(params).

    >>> print(
    ...     directional_entropy_change(
    ...         lambda w: w**2, jnp.array([1.0, 3.0]), jnp.array([0.25, 0.25])
    ...     ).round(4)
    ... )
    [0.5 1.5]
    """
    return jax.jvp(entropy_fn, (params,), (update,))[1]


def parameter_polarity(
    logprob_fn: Callable[[PyTree], jax.Array],
    entropy_fn: Callable[[PyTree], jax.Array],
    params: PyTree,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    preconditioner: PyTree | None = None,
) -> jax.Array:
    """Computes each token's share in the change of the mean entropy, through the shared parameters.

        P^theta_t = A_t < grad log p(y_t), M grad Hbar >

    The definition is ours. By calculus, a gradient step with token weights w changes Hbar by
    eta / N sum_t w_t P^theta_t to first order, including what each token's update does to the
    entropy of other states. (The loss is -1/N sum w A log p at ratio 1, N and Hbar are over the
    same tokens.) Exact for SGD; under Adam a frozen diagonal M is a heuristic.

    Args:
      logprob_fn: params -> [B, T] log-probabilities of the tokens; must admit forward mode.
      entropy_fn: params -> [B, T] entropies, nats.
      params: the parameters.
      advantages: [B, T].
      mask: [B, T] boolean, the generated tokens.
      preconditioner: a pytree like `params` with the diagonal of M, or None for the identity (SGD).

    Returns:
      [B, T]; 0 where the mask is false.
    """
    chex.assert_equal_shape([advantages, mask])
    direction = jax.grad(lambda theta: masked_mean(entropy_fn(theta), mask))(params)
    if preconditioner is not None:
        direction = jax.tree.map(jnp.multiply, preconditioner, direction)
    slopes = jax.jvp(logprob_fn, (params,), (direction,))[1]
    return jnp.where(mask, advantages * slopes, 0.0)
