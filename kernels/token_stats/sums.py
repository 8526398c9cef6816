"""Sums over the vocabulary: what one pass keeps, how parts combine, and how a gradient goes back
through them.

Everything that the token statistics need is five sums and a maximum a token (notation of
`reference.py`):

    m = max z    s0 = sum e^x    s1 = sum x e^x    q0 = sum e^2x    q1 = sum x e^2x    z_y

with x = (z - m) / tau. Sums of two parts of the vocabulary combine once both speak of the same m:
with d = (m_old - m) / tau <= 0 and k = e^d,

    s0 -> k s0    s1 -> k (s1 + d s0)    q0 -> k^2 q0    q1 -> k^2 (q1 + d q0)

so tiles of one device and shards of many combine by the same rule. With m held constant the sums'
own derivatives give the whole gradient, since the statistics do not depend on m:

    dL/dz_v = e^x_v (a + b x_v) + c [v = y],   a = (dL/ds0 + dL/ds1) / tau,   b = dL/ds1 / tau,   c = dL/dz_y

so a backward pass needs m, a, b and c of each token and one look at each logit again, and nothing
of it knows what the loss was. The implementations differ only in how they go over the logits; this
file is all their mathematics. Shapes: N tokens, n columns of a tile; a tile's sums are columns [N,
  1].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats.reference import TokenStats

FLOOR = -1e4  # e^x is an exact 0 below it, in float64 too; keeps 0 * -inf out


class Rows(NamedTuple):
    """What is asked of each token.

    Attributes:
      tokens: [N] int32, column of the token in this part of the vocabulary; negative if it is in
        another.
      needed: [N] boolean, false on rows that need no work.
      limit: [] int32, columns from here on are outside the support.
      temperature: [] tau > 0.
    """

    tokens: jax.Array
    needed: jax.Array
    limit: jax.Array
    temperature: jax.Array


class Sums(NamedTuple):
    """The maximum m, the four sums relative to it, and z_y, which is itself a sum: over the column
    y; all [N]."""

    maximum: jax.Array
    s0: jax.Array
    s1: jax.Array
    q0: jax.Array
    q1: jax.Array
    picked: jax.Array


class Pull(NamedTuple):
    """The gradient of a loss in one row of logits: dz = e^x (constant + slope x) + picked [v = y];
    all [N]."""

    maximum: jax.Array
    constant: jax.Array
    slope: jax.Array
    picked: jax.Array


def empty(like: jax.Array) -> Sums:
    """Returns the sums over no columns, which combine with any others; `like` gives shape and
    dtype."""
    zero = jnp.zeros_like(like)
    return Sums(jnp.full_like(like, jnp.finfo(like.dtype).min), zero, zero, zero, zero, zero)


def of_tile(
    logits: jax.Array,
    columns: jax.Array,
    tokens: jax.Array,
    limit: jax.Array,
    temperature: jax.Array,
    exponential: Callable[[jax.Array], jax.Array] = jnp.exp,
) -> Sums:
    """Sums over the columns of one tile.

    Args:
      logits: [N, n], at least float32.
      columns: [1, n] or [N, n] int32, their place in the vocabulary; negative: not of this tile.
      tokens: [N, 1] int32.
      limit: [] int32, columns from here on are outside the support.
      temperature: [] tau.
      exponential: how to compute e^x.

    Returns:
      `Sums` of shape [N, 1].
    """
    z = jnp.where((columns >= 0) & (columns < limit), logits, -jnp.inf)
    # Where nothing is in the support the maximum is the lowest finite number: -inf - -inf would be
    # NaN.
    maximum = jnp.maximum(z.max(axis=-1, keepdims=True), jnp.finfo(z.dtype).min)
    x = jnp.maximum((z - maximum) / temperature, FLOOR)
    e = exponential(x)
    xe = x * e

    def total(values):
        return values.sum(axis=-1, keepdims=True)

    picked = total(jnp.where(columns == tokens, z, 0.0))
    return Sums(maximum, total(e), total(xe), total(e * e), total(xe * e), picked)


def rebase(sums: Sums, maximum: jax.Array, temperature: jax.Array) -> Sums:
    """Expresses sums relative to another maximum, no smaller than their own."""
    shift = jnp.maximum((sums.maximum - maximum) / temperature, FLOOR)
    scale = jnp.exp(shift)
    return Sums(
        maximum=maximum,
        s0=scale * sums.s0,
        s1=scale * (sums.s1 + shift * sums.s0),
        q0=scale * scale * sums.q0,
        q1=scale * scale * (sums.q1 + shift * sums.q0),
        picked=sums.picked,
    )


def merge(first: Sums, second: Sums, temperature: jax.Array) -> Sums:
    """Combines the sums of two parts of the vocabulary that have no column in common.

    >>> parts = [
    ...     of_tile(jnp.array([[z]]), jnp.array([[i]]), jnp.array([[1]]), 2, 1.0)
    ...     for i, z in enumerate((0.0, 1.0))
    ... ]
    >>> both = merge(*parts, 1.0)
    >>> (
    ...     float(both.maximum[0, 0]),
    ...     round(float(both.s0[0, 0]), 4),
    ...     float(both.picked[0, 0]),
    ... )  # s0 = e^-1 + 1
    (1.0, 1.3679, 1.0)
    """
    maximum = jnp.maximum(first.maximum, second.maximum)
    first, second = rebase(first, maximum, temperature), rebase(second, maximum, temperature)
    return Sums(maximum, *(one + other for one, other in zip(first[1:], second[1:], strict=True)))


def across(sums: Sums, axis_name: str | None, temperature: jax.Array) -> Sums:
    """Combines the sums of all shards of the vocabulary: a maximum and a sum over a mesh axis, [N]
    numbers each."""
    sums = sums._replace(maximum=jax.lax.stop_gradient(sums.maximum))
    if axis_name is None:
        return sums
    maximum = jax.lax.pmax(sums.maximum, axis_name)
    return Sums(maximum, *jax.lax.psum(rebase(sums, maximum, temperature)[1:], axis_name))


def finish(sums: Sums, rows: Rows) -> TokenStats:
    """Turns sums over the whole vocabulary into the statistics; 0 where a row was not needed.

        logsumexp = m / tau + log s0    log p_y = (z_y - m) / tau - log s0    H = log s0 - s1 / s0
        C = (q0 (H - log s0) + q1) / s0^2    T = C - p_y (H + log p_y)

    Args:
      sums: [N]; differentiable through s0, s1 and `picked`.
      rows: [N].

    Returns:
      `TokenStats` of shape [N].
    """
    # A row that was left out has s0 = 0; 1 in its place keeps NaN out of its gradient.
    s0 = jnp.where(rows.needed, sums.s0, 1.0)
    log_s0 = jnp.log(s0)
    logprob = (sums.picked - sums.maximum) / rows.temperature - log_s0
    entropy = log_s0 - sums.s1 / s0
    fixed = jax.lax.stop_gradient((s0, log_s0, logprob, entropy, sums.q0, sums.q1))
    stats = TokenStats(
        logprob, sums.maximum / rows.temperature + log_s0, entropy, _unit_polarity(*fixed)
    )
    return jax.tree.map(lambda values: jnp.where(rows.needed, values, 0.0), stats)


def _unit_polarity(s0, log_s0, logprob, entropy, q0, q1) -> jax.Array:
    correction = (q0 * (entropy - log_s0) + q1) / (s0 * s0)
    p_y = jnp.exp(logprob)
    return correction - p_y * (entropy + jnp.where(p_y > 0, logprob, 0.0))


def pull_tile(
    logits: jax.Array,
    columns: jax.Array,
    tokens: jax.Array,
    limit: jax.Array,
    temperature: jax.Array,
    pull: Pull,
) -> jax.Array:
    """The gradient in a tile of logits, [N, n]; arguments as in `of_tile`, `pull` of shape [N,
    1]."""
    support = (columns >= 0) & (columns < limit) & (logits > -jnp.inf)
    x = jnp.maximum((jnp.where(support, logits, -jnp.inf) - pull.maximum) / temperature, FLOOR)
    gradient = jnp.exp(x) * (pull.constant + pull.slope * x) + jnp.where(
        columns == tokens, pull.picked, 0.0
    )
    return jnp.where(support, gradient, 0.0)


def factors(gradient: jax.Array, dtype) -> tuple[jax.Array, ...]:
    """Splits a float32 gradient into numbers of `dtype` that add up to it, for products with
    operands of that type.

    One number of 16 bits would lose what lies below 2^-9 of it, which is as much as the output's
    own rounding.

    >>> [float(part) for part in factors(jnp.float32(1.0 + 2**-10), jnp.bfloat16)]
    [1.0, 0.0009765625]
    """
    if jnp.dtype(dtype).itemsize >= 4:
        return (gradient.astype(dtype),)
    coarse = gradient.astype(dtype)
    return coarse, (gradient - coarse.astype(gradient.dtype)).astype(dtype)


def as_pull(cotangents: Sums, maximum: jax.Array, rows: Rows) -> Pull:
    """Turns the loss's gradient in the sums into `Pull`; zero on rows that are not needed."""

    def only(values):
        return jnp.where(rows.needed, values, 0.0)

    constant, slope = cotangents.s0 + cotangents.s1, cotangents.s1
    return Pull(
        maximum,
        only(constant / rows.temperature),
        only(slope / rows.temperature),
        only(cotangents.picked),
    )


def differentiable(forward: Callable, backward: Callable) -> Callable:
    """Gives an implementation's forward pass its hand-written backward pass.

    Args:
      forward: (operands, rows) -> `Sums`; operands is the pytree of arrays that make the logits.
      backward: (operands, rows, pull) -> the gradient in operands.

    Returns:
      (operands, rows) -> `Sums`, differentiable once in reverse mode in `operands` through s0, s1
      and `picked`.
    """
    function = jax.custom_vjp(forward)

    def keep(operands, rows):
        sums = forward(operands, rows)
        return sums, (operands, rows, sums.maximum)

    def pull_back(kept, cotangents):
        operands, rows, maximum = kept
        return backward(operands, rows, as_pull(cotangents, maximum, rows)), None

    function.defvjp(keep, pull_back)
    return function


def columnwise(tree):
    """[N] leaves as columns [N, 1]."""
    return jax.tree.map(lambda leaf: leaf[:, None], tree)


def rowwise(tree):
    """[N, 1] leaves as [N]."""
    return jax.tree.map(lambda leaf: leaf[:, 0], tree)
