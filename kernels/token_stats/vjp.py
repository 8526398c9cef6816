"""Hand-written vector-Jacobian product from the sums over the vocabulary to the logits.

With the maximum m held constant the sums' own derivatives give the whole gradient of a loss L,
since the statistics do not depend on m (notation of `sums.py`):

    dL/dz_v = e^x_v (a + b x_v) + c [v = y]
    a = (dL/ds0 + dL/ds1) / tau,   b = dL/ds1 / tau,   c = dL/dz_y

so a backward pass needs m, a, b and c of each token and reads each logit once more, whatever the
loss was.

Shapes: N tokens, n columns of a tile.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from kernels.token_stats.sums import MIN_EXPONENT, VocabularySums
from kernels.token_stats.token_rows import TokenRows

Operands = TypeVar("Operands")


class LogitCotangent(NamedTuple):
    """Gradient of a loss in rows of logits: e^x (constant + slope x) + target [v = y]; all [N].

    Attributes:
      maximum: m, relative to which x is.
      constant: a.
      slope: b.
      target: c, which goes to the token's own column alone.
    """

    maximum: jax.Array
    constant: jax.Array
    slope: jax.Array
    target: jax.Array


def to_logit_cotangent(
    sums_cotangent: VocabularySums, maximum: jax.Array, rows: TokenRows
) -> LogitCotangent:
    """Turns a loss's gradient in the sums into `LogitCotangent`; zero on inactive rows."""

    def clear_inactive(values):
        return jnp.where(rows.active, values, 0.0)

    constant, slope = sums_cotangent.s0 + sums_cotangent.s1, sums_cotangent.s1
    return LogitCotangent(
        maximum=maximum,
        constant=clear_inactive(constant / rows.temperature),
        slope=clear_inactive(slope / rows.temperature),
        target=clear_inactive(sums_cotangent.target_logit),
    )


def tile_logit_gradient(
    logits: jax.Array,
    columns: jax.Array,
    *,
    tokens: jax.Array,
    support_end: jax.Array,
    temperature: jax.Array,
    cotangent: LogitCotangent,
) -> jax.Array:
    """Computes the gradient in a tile of logits.

    Args:
      logits: [N, n], at least float32.
      columns: [1, n] or [N, n] int32, as in `sums.tile_sums`.
      tokens: [N, 1] int32.
      support_end: [] or [N, 1] int32.
      temperature: [] tau.
      cotangent: [N, 1].

    Returns:
      [N, n]; zero outside the support.
    """
    support = (columns >= 0) & (columns < support_end) & (logits > -jnp.inf)
    z = jnp.where(support, logits, -jnp.inf)
    x = jnp.maximum((z - cotangent.maximum) / temperature, MIN_EXPONENT)
    through_sums = jnp.exp(x) * (cotangent.constant + cotangent.slope * x)
    gradient = through_sums + jnp.where(columns == tokens, cotangent.target, 0.0)
    return jnp.where(support, gradient, 0.0)


def split_gradient(gradient: jax.Array, dtype: jnp.dtype) -> tuple[jax.Array, ...]:
    """Splits a float32 gradient into numbers of `dtype` that add up to it, for matrix products.

    One number of 16 bits would lose what lies below 2^-9 of it, which is as much as the output's
    own rounding.

    >>> [float(part) for part in split_gradient(jnp.float32(1.0 + 2**-10), jnp.bfloat16)]
    [1.0, 0.0009765625]
    """
    if jnp.dtype(dtype).itemsize >= 4:
        return (gradient.astype(dtype),)
    coarse = gradient.astype(dtype)
    return coarse, (gradient - coarse.astype(gradient.dtype)).astype(dtype)


def attach_vjp(
    forward: Callable[[Operands, TokenRows], VocabularySums],
    backward: Callable[[Operands, TokenRows, LogitCotangent], Any],
) -> Callable[[Operands, TokenRows], VocabularySums]:
    """Attaches a hand-written backward pass to an implementation's forward pass.

    Args:
      forward: (operands, rows) -> sums; operands is the pytree of arrays that make the logits.
      backward: (operands, rows, cotangent) -> the gradient in operands.

    Returns:
      (operands, rows) -> sums, differentiable once in reverse mode in `operands` through s0, s1 and
      `target_logit`.
    """
    function = jax.custom_vjp(forward)

    def fwd(operands, rows):
        sums = forward(operands, rows)
        return sums, (operands, rows, sums.maximum)

    def bwd(residuals, sums_cotangent):
        operands, rows, maximum = residuals
        return backward(operands, rows, to_logit_cotangent(sums_cotangent, maximum, rows)), None

    function.defvjp(fwd, bwd)
    return function
