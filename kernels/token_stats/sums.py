"""One-pass sums over the vocabulary, and the token statistics that follow from them.

Everything that the token statistics need is five sums and a maximum a token (notation of
`reference.py`):

    m = max z    s0 = sum e^x    s1 = sum x e^x    q0 = sum e^2x    q1 = sum x e^2x    z_y

with x = (z - m) / tau. Sums of two parts of the vocabulary combine once both refer to the same m:
with d = (m_old - m) / tau <= 0 and k = e^d,

    s0 -> k s0    s1 -> k (s1 + d s0)    q0 -> k^2 q0    q1 -> k^2 (q1 + d q0)

so tiles of one device and shards of many combine by the same rule. The implementations differ only
in how they loop over the logits; this file and `vjp.py` hold all their mathematics.

Shapes: N tokens, n columns of a tile; a tile's sums are columns [N, 1].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats.reference import TokenStats
from kernels.token_stats.token_rows import TokenRows

MIN_EXPONENT = -1e4  # e^x is an exact 0 below it, in float64 too; keeps 0 * -inf out


class VocabularySums(NamedTuple):
    """Sums over (a part of) the vocabulary for each token; all [N].

    Attributes:
      maximum: m, the largest logit.
      s0: sum e^x.
      s1: sum x e^x.
      q0: sum e^2x.
      q1: sum x e^2x.
      target_logit: z_y, which is itself a sum: over the column y alone.
    """

    maximum: jax.Array
    s0: jax.Array
    s1: jax.Array
    q0: jax.Array
    q1: jax.Array
    target_logit: jax.Array


def empty_sums(like: jax.Array) -> VocabularySums:
    """Returns the sums over no columns, the identity of `merge_sums`; `like` gives their type."""
    zero = jnp.zeros_like(like)
    lowest = jnp.full_like(like, jnp.finfo(like.dtype).min)
    return VocabularySums(maximum=lowest, s0=zero, s1=zero, q0=zero, q1=zero, target_logit=zero)


def tile_sums(
    logits: jax.Array,
    columns: jax.Array,
    *,
    tokens: jax.Array,
    support_end: jax.Array,
    temperature: jax.Array,
    exponential: Callable[[jax.Array], jax.Array] = jnp.exp,
) -> VocabularySums:
    """Sums over the columns of one tile.

    Args:
      logits: [N, n], at least float32.
      columns: [1, n] or [N, n] int32, their index in the vocabulary; negative: not of this tile.
      tokens: [N, 1] int32.
      support_end: [] or [N, 1] int32, columns from here on are outside the support.
      temperature: [] tau.
      exponential: how to compute e^x.

    Returns:
      `VocabularySums` of shape [N, 1].
    """
    # Where nothing is in the support the maximum is the lowest finite number: -inf - -inf is NaN.
    z = jnp.where((columns >= 0) & (columns < support_end), logits, -jnp.inf)
    maximum = jnp.maximum(z.max(axis=-1, keepdims=True), jnp.finfo(z.dtype).min)
    x = jnp.maximum((z - maximum) / temperature, MIN_EXPONENT)
    e = exponential(x)
    xe = x * e

    def sum_columns(values):
        return values.sum(axis=-1, keepdims=True)

    target_logit = sum_columns(jnp.where(columns == tokens, z, 0.0))
    return VocabularySums(
        maximum=maximum,
        s0=sum_columns(e),
        s1=sum_columns(xe),
        q0=sum_columns(e * e),
        q1=sum_columns(xe * e),
        target_logit=target_logit,
    )


def rebase_sums(sums: VocabularySums, maximum: jax.Array, temperature: jax.Array) -> VocabularySums:
    """Expresses sums relative to another maximum, no smaller than their own."""
    shift = jnp.maximum((sums.maximum - maximum) / temperature, MIN_EXPONENT)
    scale = jnp.exp(shift)
    return VocabularySums(
        maximum=maximum,
        s0=scale * sums.s0,
        s1=scale * (sums.s1 + shift * sums.s0),
        q0=scale * scale * sums.q0,
        q1=scale * scale * (sums.q1 + shift * sums.q0),
        target_logit=sums.target_logit,
    )


def merge_sums(
    first: VocabularySums, second: VocabularySums, temperature: jax.Array
) -> VocabularySums:
    """Combines the sums of two parts of the vocabulary that have no column in common.

    >>> row = dict(tokens=jnp.array([[1]]), support_end=2, temperature=1.0)
    >>> first = tile_sums(jnp.array([[0.0]]), jnp.array([[0]]), **row)
    >>> second = tile_sums(jnp.array([[1.0]]), jnp.array([[1]]), **row)
    >>> merged = merge_sums(first, second, 1.0)
    >>> print(merged.maximum, merged.s0.round(4), merged.target_logit)  # s0 = e^-1 + 1
    [[1.]] [[1.3679]] [[1.]]
    """
    maximum = jnp.maximum(first.maximum, second.maximum)
    first = rebase_sums(first, maximum, temperature)
    second = rebase_sums(second, maximum, temperature)
    added = (one + other for one, other in zip(first[1:], second[1:], strict=True))
    return VocabularySums(maximum, *added)


def all_reduce_sums(
    sums: VocabularySums, axis_name: str | None, temperature: jax.Array
) -> VocabularySums:
    """Combines the sums of all shards of the vocabulary over a mesh axis: six [N] arrays."""
    sums = sums._replace(maximum=jax.lax.stop_gradient(sums.maximum))
    if axis_name is None:
        return sums
    maximum = jax.lax.pmax(sums.maximum, axis_name)
    rebased = rebase_sums(sums, maximum, temperature)
    return VocabularySums(maximum, *jax.lax.psum(rebased[1:], axis_name))


def to_token_stats(sums: VocabularySums, rows: TokenRows) -> TokenStats:
    """Turns sums over the whole vocabulary into the statistics; 0 on inactive rows.

        logsumexp = m / tau + log s0    log p_y = (z_y - m) / tau - log s0    H = log s0 - s1 / s0
        C = (q0 (H - log s0) + q1) / s0^2    T = C - p_y (H + log p_y)

    Args:
      sums: [N]; differentiable through s0, s1 and `target_logit`.
      rows: [N].

    Returns:
      `TokenStats` of shape [N].
    """
    # An inactive row has s0 = 0; 1 in its place keeps NaN out of its gradient.
    s0 = jnp.where(rows.active, sums.s0, 1.0)
    log_s0 = jnp.log(s0)
    logprob = (sums.target_logit - sums.maximum) / rows.temperature - log_s0
    entropy = log_s0 - sums.s1 / s0
    constants = jax.lax.stop_gradient((s0, log_s0, logprob, entropy, sums.q0, sums.q1))
    stats = TokenStats(
        logprob=logprob,
        logsumexp=sums.maximum / rows.temperature + log_s0,
        entropy=entropy,
        unit_polarity=_unit_polarity(*constants),
    )
    return jax.tree.map(lambda values: jnp.where(rows.active, values, 0.0), stats)


def _unit_polarity(s0, log_s0, logprob, entropy, q0, q1) -> jax.Array:
    correction = (q0 * (entropy - log_s0) + q1) / (s0 * s0)
    p_y = jnp.exp(logprob)
    return correction - p_y * (entropy + jnp.where(p_y > 0, logprob, 0.0))
