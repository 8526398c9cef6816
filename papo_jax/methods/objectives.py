"""Objectives: sums and counts of a micro-batch; one division by the global count follows accumulation.

Shapes: B sequences, T time, [B, T] float32 and a boolean mask. The ratio is r = exp(logprob - old_logprob).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Objective(NamedTuple):
    """What one micro-batch adds to the minibatch.

    Attributes:
      total: [] sum of the loss, to be divided by the minibatch's count.
      count: [] the denominator's share: sequences or tokens.
      metrics: name -> (sum, count), averaged over the minibatch in the same way.
    """

    total: jax.Array
    count: jax.Array
    metrics: dict[str, tuple[jax.Array, jax.Array]]


def grpo(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    coefficients: jax.Array | None = None,
    kl_coefficient: float = 0.0,
    reference_logprob: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate, a mean over each answer and then over answers.

        L = -1/B sum_i 1/|o_i| sum_t min(r A, clip(r, 1 - low, 1 + high) A) - beta k3

    Source: GRPO, Shao et al. 2024, arXiv 2402.03300 (clip 0.2, KL coefficient 0.04 against the reference).

    Args:
      logprob: [B, T] under the current parameters.
      old_logprob: [B, T] under the parameters that sampled.
      advantages: [B, T], weighted already.
      mask: [B, T] boolean, generated tokens.
      coefficients: [B, T] of the token losses, for tokens that are not here as whole answers; None for `per_answer`.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      kl_coefficient: beta.
      reference_logprob: [B, T] under the reference policy; needed where beta is not 0.

    Returns:
      `Objective` whose count is the number of answers.
    """
    coefficients = per_answer(mask) if coefficients is None else coefficients
    return _clipped(
        logprob, old_logprob, advantages, mask, coefficients, mask.any(axis=1).sum(),
        clip_low, clip_high, kl_coefficient, reference_logprob,
    )  # fmt: skip


def dapo(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    coefficients: jax.Array | None = None,
    kl_coefficient: float = 0.0,
    reference_logprob: jax.Array | None = None,
) -> Objective:
    """Computes the clipped surrogate with a higher upper clip, a mean over all tokens of the batch.

        L = -1/N sum_t min(r A, clip(r, 1 - low, 1 + high) A),  N the batch's tokens

    Source: DAPO, Yu et al. 2025, arXiv 2503.14476 (clip 0.2 / 0.28, no KL term).

    Args:
      logprob: [B, T] under the current parameters.
      old_logprob: [B, T] under the parameters that sampled.
      advantages: [B, T], weighted already.
      mask: [B, T] boolean, generated tokens.
      coefficients: [B, T] of the token losses, for tokens that are not here as whole answers; None for `per_token`.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      kl_coefficient: beta.
      reference_logprob: [B, T] under the reference policy; needed where beta is not 0.

    Returns:
      `Objective` whose count is the number of tokens.

    >>> one = lambda x: jnp.array([[x]])
    >>> out = dapo(one(jnp.log(2.0)), one(0.0), one(1.0), one(True))  # r = 2 is clipped to 1.28
    >>> round(float(out.total), 3), float(out.metrics["clip/fraction"][0])
    (-1.28, 1.0)
    """
    coefficients = per_token(mask) if coefficients is None else coefficients
    return _clipped(
        logprob, old_logprob, advantages, mask, coefficients, mask.sum(),
        clip_low, clip_high, kl_coefficient, reference_logprob,
    )  # fmt: skip


def per_answer(mask: jax.Array) -> jax.Array:
    """Token coefficients c of a mean over each answer: 1 / |o_i| on its tokens, [B, T]."""
    return mask / jnp.maximum(mask.sum(axis=1, keepdims=True), 1).astype(jnp.float32)


def per_token(mask: jax.Array) -> jax.Array:
    """Token coefficients c of a mean over tokens: 1 on every token, [B, T]."""
    return mask.astype(jnp.float32)


# Name in a preset -> (objective, its token coefficients c): the two must agree, so they stand together.
OBJECTIVES = {"grpo": (grpo, per_answer), "dapo": (dapo, per_token)}


def _clipped(
    logprob, old_logprob, advantages, mask, coefficients, count, clip_low, clip_high, kl_coefficient, reference_logprob
) -> Objective:
    """The clipped surrogate under any token coefficients."""
    chex.assert_equal_shape([logprob, old_logprob, advantages, mask])
    log_ratio = jnp.where(mask, logprob - old_logprob, 0.0)
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_low, 1.0 + clip_high)
    loss = -jnp.minimum(ratio * advantages, clipped * advantages)
    if kl_coefficient:
        loss += kl_coefficient * k3(jnp.where(mask, reference_logprob - logprob, 0.0))
    zeroed = ((advantages > 0) & (ratio > 1.0 + clip_high)) | ((advantages < 0) & (ratio < 1.0 - clip_low))
    outside = (ratio > 1.0 + clip_high) | (ratio < 1.0 - clip_low)
    tokens = mask.sum()
    total = lambda values: jnp.where(mask, values, 0).sum().astype(jnp.float32)  # noqa: E731
    metrics = {
        "clip/fraction": (total(zeroed), total(advantages != 0)),
        "clip/ratio_outside": (total(outside), tokens),
        "kl/old_new": (total(k3(log_ratio)), tokens),
    }
    return Objective((coefficients * jnp.where(mask, loss, 0.0)).sum(), count, metrics)


def k3(log_ratio: jax.Array) -> jax.Array:
    """Returns r - 1 - log r >= 0, Schulman's low-variance estimate of a KL divergence from samples, nats."""
    return jnp.expm1(log_ratio) - log_ratio
