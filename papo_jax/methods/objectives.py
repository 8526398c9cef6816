"""Objectives: a loss as a sum over tokens and its count, which divides it after accumulation.

An objective's loss takes a `TokenBatch`, the `TokenReduction` that says how tokens are averaged
and, as keywords with defaults, its hyperparameters.

Shapes: B sequences, T time; [B, T] float32 and a boolean mask. In formulas r is the importance
ratio exp(logprob - old_logprob), A the weighted advantage w A that the batch holds, and c and count
are the reduction's.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from papo_jax.methods.token_batch import TokenBatch

Metrics = dict[str, tuple[jax.Array, jax.Array | int]]

# Nats. Beyond it a log-ratio is held, without gradient: at 88 nats a float32 ratio is infinite, and
# infinity times A = 0, or times a clip's 0 slope, is NaN for every token of the minibatch. verl and
# OpenRLHF hold it at 20 too.
LOG_RATIO_BOUND = 20.0


class LossSum(NamedTuple):
    """What some sequences contribute to the minibatch's loss.

    Attributes:
      total: [] sum of the loss, to be divided by the minibatch's count.
      count: [] their contribution to that count: sequences or tokens.
      metrics: name -> (sum, count), averaged over the minibatch in the same way.
    """

    total: jax.Array
    count: jax.Array
    metrics: Metrics


class TokenReduction(NamedTuple):
    """The weights that reduce token losses to one number: sum c loss / count.

    Attributes:
      token_weights: [B, T] c, 0 where the mask is false.
      count: [] their contribution to the minibatch's count.
    """

    token_weights: jax.Array
    count: jax.Array


class Objective(NamedTuple):
    """A loss, how its tokens are averaged, and what it needs from the learner.

    Attributes:
      loss: (`TokenBatch`, `TokenReduction`, *, hyperparameters) -> `LossSum`.
      reduction: (mask, max_new_tokens) -> `TokenReduction`.
      needs_full_minibatch: true if a token's term depends on other tokens (a batch mean, a top
        share, a sequence's ratio). Then the loss is computed on the whole minibatch, after a pass
        of its own for the statistics. Otherwise it is a sum over tokens with their weights, and is
        computed on pieces of answers, chunk by chunk.
      needs_token_uniforms: true if the loss chooses tokens, or breaks ties, at random.
    """

    loss: Callable[..., LossSum]
    reduction: Callable[..., TokenReduction]
    needs_full_minibatch: bool = False
    needs_token_uniforms: bool = False

    def __call__(
        self, tokens: TokenBatch, *, max_new_tokens: int | None = None, **hyperparameters
    ) -> LossSum:
        """Computes the loss of whole answers.

        Args:
          tokens: `TokenBatch`.
          max_new_tokens: the longest completion that is allowed, for `limit_mean`.
          **hyperparameters: of the loss.

        >>> one = lambda x: jnp.array([[x]])
        >>> tokens = TokenBatch(one(jnp.log(2.0)), one(0.0), one(1.0), one(True))
        >>> round(float(DAPO(tokens, clip_high=0.3).total), 3)  # r = 2 is clipped to 1.3
        -1.3
        """
        return self.loss(tokens, self.reduction(tokens.mask, max_new_tokens), **hyperparameters)


def answer_mean(mask: jax.Array, max_new_tokens: int | None = None) -> TokenReduction:
    """Averages over each answer, then over answers: c = 1 / |o_i|, count = answers."""
    lengths = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    return TokenReduction(mask / lengths.astype(jnp.float32), mask.any(axis=1).sum())


def token_mean(mask: jax.Array, max_new_tokens: int | None = None) -> TokenReduction:
    """Averages over all tokens: c = 1, count = tokens."""
    return TokenReduction(mask.astype(jnp.float32), mask.sum())


def limit_mean(mask: jax.Array, max_new_tokens: int | None = None) -> TokenReduction:
    """Divides each answer's sum by the greatest length: c = 1 / max_new_tokens, count = answers."""
    if max_new_tokens is None:
        raise ValueError("limit_mean needs max_new_tokens, the longest completion in tokens")
    return TokenReduction(mask.astype(jnp.float32) / max_new_tokens, mask.any(axis=1).sum())


def answer_sum(mask: jax.Array, max_new_tokens: int | None = None) -> TokenReduction:
    """Sums over each answer, then averages over answers: c = 1, count = answers."""
    return TokenReduction(mask.astype(jnp.float32), mask.any(axis=1).sum())


def clipped_surrogate(
    tokens: TokenBatch,
    reduction: TokenReduction,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    kl_coefficient: float = 0.0,
) -> LossSum:
    """Computes PPO's clipped surrogate under any reduction.

        L = 1/count sum_t c (-min(r A, clip(r, 1 - low, 1 + high) A) + beta k3)

    Sources: PPO, Schulman et al. 2017, arXiv 1707.06347; GRPO, Shao et al. 2024, arXiv 2402.03300
    (clip 0.2, a mean over each answer and then over answers, KL coefficient 0.04 against the
    reference); DAPO, Yu et al. 2025, arXiv 2503.14476 (clip 0.2 / 0.28, a mean over all tokens, no
    KL term).

    Args:
      tokens: `TokenBatch`; with `reference_logprob` where `kl_coefficient` is not 0.
      reduction: of the token losses.
      clip_low, clip_high: the ratio's range is 1 - clip_low to 1 + clip_high.
      kl_coefficient: beta.

    Returns:
      `LossSum`.

    >>> one = lambda x: jnp.array([[x]])
    >>> tokens = TokenBatch(one(jnp.log(2.0)), one(0.0), one(1.0), one(True))
    >>> out = clipped_surrogate(tokens, token_mean(tokens.mask))  # r = 2 is clipped to 1.28
    >>> round(float(out.total), 3), float(out.metrics["clip/fraction"][0])
    (-1.28, 1.0)
    """
    log_ratio = masked_log_ratio(tokens)
    ratio, held = bounded_ratio(log_ratio, tokens)
    loss, clipped, outside = clipped_loss(
        ratio, tokens.weighted_advantages, 1.0 - clip_low, 1.0 + clip_high
    )
    if kl_coefficient:
        loss += kl_coefficient * reference_kl(tokens)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=clipped | held, outside=outside)
    return LossSum(masked_sum(reduction, loss, tokens.mask), reduction.count, metrics)


def unclipped_surrogate(tokens: TokenBatch, reduction: TokenReduction) -> LossSum:
    """Computes the policy gradient's surrogate without a clip, under any reduction.

        L = -1/count sum_t c r A

    Args:
      tokens: `TokenBatch`.
      reduction: of the token losses.

    Returns:
      `LossSum`.
    """
    log_ratio = masked_log_ratio(tokens)
    ratio, held = bounded_ratio(log_ratio, tokens)
    metrics = ratio_metrics(log_ratio, tokens, zeroed=held, outside=jnp.zeros_like(held))
    loss = -ratio * tokens.weighted_advantages
    return LossSum(masked_sum(reduction, loss, tokens.mask), reduction.count, metrics)


def log_likelihood(tokens: TokenBatch, reduction: TokenReduction) -> LossSum:
    """Computes supervised learning's loss.

        L = -1/count sum_t c A log p(y_t),  A = 1 on a demonstration's tokens

    Args:
      tokens: `TokenBatch`.
      reduction: of the token losses.

    Returns:
      `LossSum`.
    """
    loss = -tokens.weighted_advantages * tokens.logprob
    return LossSum(masked_sum(reduction, loss, tokens.mask), reduction.count, {})


def ratio_metrics(
    log_ratio: jax.Array, tokens: TokenBatch, *, zeroed: jax.Array, outside: jax.Array
) -> Metrics:
    """Returns the metrics of every objective with a ratio, name -> (sum, count).

        clip/fraction       share of the tokens with A != 0 whose gradient the objective zeroes
        clip/ratio_outside  share of all tokens whose ratio is out of range
        kl/old_new          mean k3 of the ratio over all tokens, nats

    Args:
      log_ratio: [B, T] log r.
      tokens: `TokenBatch`; all tokens in its mask count, those that the objective zeroes too.
      zeroed: [B, T] boolean, true where a token has no gradient.
      outside: [B, T] boolean, true where the ratio is out of range.
    """
    mask = tokens.mask

    def masked_total(values):
        return jnp.where(mask, values, 0).sum().astype(jnp.float32)

    acting, count = tokens.weighted_advantages != 0, mask.sum()
    return {
        "clip/fraction": (masked_total(zeroed & acting), masked_total(acting)),
        "clip/ratio_outside": (masked_total(outside), count),
        "kl/old_new": (masked_total(k3(log_ratio)), count),
    }


def masked_log_ratio(tokens: TokenBatch) -> jax.Array:
    """Returns log r, [B, T], and 0 outside the mask, where the arrays may hold anything."""
    chex.assert_equal_shape(tokens[:4])  # the fields that are always there
    return jnp.where(tokens.mask, tokens.logprob - tokens.old_logprob, 0.0)


def bounded_ratio(log_ratio: jax.Array, tokens: TokenBatch) -> tuple[jax.Array, jax.Array]:
    """Computes the importance ratio of each token under the bounds that no token may pass.

        r = exp(log r),  log r held within `LOG_RATIO_BOUND`;  r <= dual_clip where A < 0

    A ratio that is held has no gradient. The dual clip is Ye et al.'s 2020, arXiv 1912.09729:
    max(min(r A, clip(r) A), c A) where A < 0, which is PPO's surrogate of min(r, c).

    Args:
      log_ratio: [B, T] from `masked_log_ratio`, or another log r with its gradient.
      tokens: `TokenBatch`.

    Returns:
      (r [B, T], held [B, T] boolean: true where a bound holds it).

    >>> one = lambda x: jnp.array([[x]])
    >>> tokens = TokenBatch(one(90.0), one(0.0), one(0.0), one(True))
    >>> [float(value[0, 0]) for value in bounded_ratio(masked_log_ratio(tokens), tokens)]
    [485165184.0, 1.0]
    """
    log_ratio, held = hold_log_ratio(log_ratio)
    ratio = jnp.exp(log_ratio)
    if tokens.dual_clip is not None:
        heavy = (tokens.weighted_advantages < 0) & (ratio > tokens.dual_clip)
        held, ratio = held | heavy, jnp.where(heavy, tokens.dual_clip, ratio)
    return ratio, held


def hold_log_ratio(log_ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (log r held within `LOG_RATIO_BOUND`, without gradient there; where it is held)."""
    held = jnp.abs(log_ratio) >= LOG_RATIO_BOUND
    return jnp.where(held, jnp.sign(log_ratio) * LOG_RATIO_BOUND, log_ratio), held


def masked_sum(reduction: TokenReduction, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns sum c values over the mask, [], float32."""
    return (reduction.token_weights * jnp.where(mask, values, 0.0)).sum()


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
      (loss, zeroed, outside), [B, T]: the loss, true where the clip takes its gradient away, true
      where r is out of range.

    >>> loss, zeroed, outside = clipped_loss(jnp.array([1.5, 0.5]), jnp.array([1.0, 1.0]), 0.8, 1.2)
    >>> loss.tolist(), zeroed.tolist(), outside.tolist()
    ([-1.2000000476837158, -0.5], [True, False], [True, True])
    """
    loss = -jnp.minimum(ratio * advantages, jnp.clip(ratio, low, high) * advantages)
    zeroed = ((advantages > 0) & (ratio > high)) | ((advantages < 0) & (ratio < low))
    return loss, zeroed, (ratio > high) | (ratio < low)


def k3(log_ratio: jax.Array) -> jax.Array:
    """Returns r - 1 - log r >= 0, Schulman's estimate of a KL divergence from samples, nats.

    Without gradient, and constant, where log r is beyond `LOG_RATIO_BOUND`.
    """
    log_ratio, _ = hold_log_ratio(log_ratio)
    return jnp.expm1(log_ratio) - log_ratio


def reference_kl(tokens: TokenBatch) -> jax.Array:
    """Returns k3 of every token against the reference policy, [B, T], 0 outside the mask."""
    return k3(jnp.where(tokens.mask, tokens.reference_logprob - tokens.logprob, 0.0))


GRPO = Objective(functools.partial(clipped_surrogate, clip_high=0.2), answer_mean)
DAPO = Objective(clipped_surrogate, token_mean)
