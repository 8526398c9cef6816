"""Objectives: sums and counts; one division by the minibatch's count follows accumulation.

Shapes: B sequences, T time, [B, T] float32 and a boolean mask. The ratio is r = exp(logprob -
old_logprob).

An objective takes (logprob, old_logprob, advantages, mask) and, as keywords, whatever else it
names: numbers of its preset, and the arrays that `papo_jax.learner.gradients` gives (entropy,
  draws, ...). Its `Rule` says how tokens are averaged.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

Metrics = dict[str, tuple[jax.Array, jax.Array]]


class Objective(NamedTuple):
    """What some sequences add to the minibatch.

    Attributes:
      total: [] sum of the loss, to be divided by the minibatch's count.
      count: [] the denominator's share: sequences or tokens.
      metrics: name -> (sum, count), averaged over the minibatch in the same way.
    """

    total: jax.Array
    count: jax.Array
    metrics: Metrics


class Average(NamedTuple):
    """How token losses become one number: sum c loss / count.

    Attributes:
      coefficients: [B, T] c, 0 where the mask is false.
      count: [] the denominator's share.
    """

    coefficients: jax.Array
    count: jax.Array


class Rule(NamedTuple):
    """An objective as a preset names it; the three must agree, so they stand together.

    Attributes:
      loss: (logprob, old_logprob, advantages, mask, *, ...) -> `Objective`.
      average: (mask, limit) -> `Average`, the one that `loss` uses.
      whole: whether a token's term depends on other tokens (a batch mean, a top share, a sequence's
        ratio). Then it is computed on the whole minibatch, after a pass of its own for the
        statistics; otherwise `loss` is a sum over tokens given `coefficients`, and is computed
        chunk by chunk.
    """

    loss: Callable[..., Objective]
    average: Callable[..., Average]
    whole: bool = False


def per_answer(mask: jax.Array, limit: int | None = None) -> Average:
    """A mean over each answer, then over answers: c = 1 / |o_i|, count = answers."""
    lengths = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    return Average(mask / lengths.astype(jnp.float32), mask.any(axis=1).sum())


def per_token(mask: jax.Array, limit: int | None = None) -> Average:
    """A mean over all tokens: c = 1, count = tokens."""
    return Average(mask.astype(jnp.float32), mask.sum())


def per_limit(mask: jax.Array, limit: int | None = None) -> Average:
    """A sum over each answer over the longest that is allowed: c = 1 / limit, count = answers."""
    if limit is None:
        raise ValueError("per_limit needs limit, the longest completion in tokens")
    return Average(mask.astype(jnp.float32) / limit, mask.any(axis=1).sum())


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

    Source: GRPO, Shao et al. 2024, arXiv 2402.03300 (clip 0.2, KL coefficient 0.04 against the
      reference).

    Args:
      logprob: [B, T] under the current parameters.
      old_logprob: [B, T] under the parameters that sampled.
      advantages: [B, T], weighted already.
      mask: [B, T] boolean, generated tokens.
      coefficients: [B, T] of the token losses, for tokens that are not here as whole answers; None
        for `per_answer`.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      kl_coefficient: beta.
      reference_logprob: [B, T] under the reference policy; needed where beta is not 0.

    Returns:
      `Objective` whose count is the number of answers.
    """
    average = with_coefficients(per_answer(mask), coefficients)
    return _clipped(
        logprob,
        old_logprob,
        advantages,
        mask,
        average,
        clip_low,
        clip_high,
        kl_coefficient,
        reference_logprob,
    )


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
      logprob, old_logprob, advantages, mask: [B, T], as in `grpo`.
      coefficients: [B, T] of the token losses; None for `per_token`.
      clip_low, clip_high, kl_coefficient, reference_logprob: as in `grpo`.

    Returns:
      `Objective` whose count is the number of tokens.

    >>> one = lambda x: jnp.array([[x]])
    >>> out = dapo(
    ...     one(jnp.log(2.0)), one(0.0), one(1.0), one(True)
    ... )  # r = 2 is clipped to 1.28
    >>> round(float(out.total), 3), float(out.metrics["clip/fraction"][0])
    (-1.28, 1.0)
    """
    average = with_coefficients(per_token(mask), coefficients)
    return _clipped(
        logprob,
        old_logprob,
        advantages,
        mask,
        average,
        clip_low,
        clip_high,
        kl_coefficient,
        reference_logprob,
    )


def unclipped(
    logprob: jax.Array,
    old_logprob: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    average: Average,
) -> Objective:
    """Computes the policy gradient's surrogate without a clip, under any average.

        L = -1/count sum_t c r A

    Args:
      logprob, old_logprob, advantages, mask: [B, T].
      average: c and the count.

    Returns:
      `Objective`.
    """
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    nowhere = jnp.zeros(mask.shape, bool)
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=nowhere, outside=nowhere)
    return Objective(
        masked_sum(average.coefficients, -jnp.exp(log_ratio) * advantages, mask),
        average.count,
        metrics,
    )


def ratio_metrics(
    log_ratio: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    zeroed: jax.Array,
    outside: jax.Array,
) -> Metrics:
    """Returns what every objective reports: two fractions and a divergence, name -> (sum, count).

        clip/fraction       tokens with A != 0 whose gradient the objective zeroes, of those with A != 0
        clip/ratio_outside  tokens whose ratio is out of range, of all tokens
        kl/old_new          k3 of the ratio, a mean over tokens, nats

    Args:
      log_ratio: [B, T] log r.
      advantages: [B, T].
      mask: [B, T] boolean, the loss's tokens: those that the objective leaves out included, those
        that a method dropped before not.
      zeroed: [B, T] boolean, without a gradient.
      outside: [B, T] boolean, out of range.
    """

    def total(values):
        return jnp.where(mask, values, 0).sum().astype(jnp.float32)

    acting, tokens = advantages != 0, mask.sum()
    return {
        "clip/fraction": (total(zeroed & acting), total(acting)),
        "clip/ratio_outside": (total(outside), tokens),
        "kl/old_new": (total(k3(log_ratio)), tokens),
    }


def masked_log_ratio(logprob: jax.Array, old_logprob: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns log r, [B, T], and 0 outside the mask, whatever stands there."""
    chex.assert_equal_shape([logprob, old_logprob, mask])
    return jnp.where(mask, logprob - old_logprob, 0.0)


def masked_sum(coefficients: jax.Array, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns sum c values over the mask, [], float32."""
    return (coefficients * jnp.where(mask, values, 0.0)).sum()


def clipped_loss(
    ratio: jax.Array, advantages: jax.Array, low: jax.Array | float, high: jax.Array | float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Computes PPO's surrogate of each token under bounds on the ratio.

        -min(r A, clip(r, low, high) A)

    Source: PPO, Schulman et al. 2017, arXiv 1707.06347.

    Args:
      ratio: [B, T] r.
      advantages: [B, T].
      low, high: bounds on r, numbers or [B, T].

    Returns:
      (loss, zeroed, outside), [B, T]: the loss, where it has no gradient for being clipped, where r
      is out of range.

    >>> loss, zeroed, outside = clipped_loss(
    ...     jnp.array([1.5, 0.5]), jnp.array([1.0, 1.0]), 0.8, 1.2
    ... )
    >>> loss.tolist(), zeroed.tolist(), outside.tolist()
    ([-1.2000000476837158, -0.5], [True, False], [True, True])
    """
    loss = -jnp.minimum(ratio * advantages, jnp.clip(ratio, low, high) * advantages)
    zeroed = ((advantages > 0) & (ratio > high)) | ((advantages < 0) & (ratio < low))
    return loss, zeroed, (ratio > high) | (ratio < low)


def k3(log_ratio: jax.Array) -> jax.Array:
    """Returns r - 1 - log r >= 0, Schulman's low-variance estimate of a KL divergence from samples,
    nats."""
    return jnp.expm1(log_ratio) - log_ratio


def with_coefficients(whole: Average, coefficients: jax.Array | None) -> Average:
    """Puts the caller's coefficients in, where there are any: of tokens that stand without the rest
    of their answer."""
    return whole if coefficients is None else whole._replace(coefficients=coefficients)


def _clipped(
    logprob,
    old_logprob,
    advantages,
    mask,
    average: Average,
    clip_low,
    clip_high,
    kl_coefficient,
    reference_logprob,
) -> Objective:
    """The clipped surrogate under any average."""
    chex.assert_equal_shape([logprob, old_logprob, advantages, mask])
    log_ratio = masked_log_ratio(logprob, old_logprob, mask)
    loss, zeroed, outside = clipped_loss(
        jnp.exp(log_ratio), advantages, 1.0 - clip_low, 1.0 + clip_high
    )
    if kl_coefficient:
        loss += kl_coefficient * k3(jnp.where(mask, reference_logprob - logprob, 0.0))
    metrics = ratio_metrics(log_ratio, advantages, mask, zeroed=zeroed, outside=outside)
    return Objective(masked_sum(average.coefficients, loss, mask), average.count, metrics)


GRPO = Rule(grpo, per_answer)
DAPO = Rule(dapo, per_token)
