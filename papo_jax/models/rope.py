"""Rotary positions: their frequencies, scaled or not, and the rotation itself.

Shapes: B sequences, T time, H heads, head_dim.
"""

import math

import jax
import jax.numpy as jnp

from papo_jax.models.model_config import RopeScaling


def rotary_frequencies(
    head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> jax.Array:
    """Returns the rotation of each pair of dimensions from one position to the next.

        f_i = theta^(-2 i / head_dim),  i = 0 .. head_dim / 2 - 1

    Source: Su et al. 2021, arXiv 2104.09864; "linear" divides all by the factor (Chen et al. 2023,
    arXiv 2306.15595); "yarn" divides the slow ones along a ramp (Peng et al. 2023, arXiv
    2309.00071); "llama3" does so by wavelength (Grattafiori et al. 2024, arXiv 2407.21783). The
    details are those of Hugging Face's transformers.

    Args:
      head_dim: even.
      theta: base.
      scaling: None for unscaled frequencies.

    Returns:
      [head_dim / 2] float32, radians a token.

    >>> rotary_frequencies(4, 100.0).round(6).tolist()
    [1.0, 0.10000000149011612]
    >>> rotary_frequencies(4, 100.0, RopeScaling("linear", 4.0)).round(6).tolist()
    [0.25, 0.02500000037252903]
    """
    half = head_dim // 2
    plain = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    if scaling is None:
        return plain
    shares = stretch_shares(plain, head_dim, theta, scaling)
    return plain * (1 - (1 - 1 / scaling.factor) * shares)


def stretch_shares(
    plain: jax.Array, head_dim: int, theta: float, scaling: RopeScaling
) -> jax.Array:
    """Returns how far each frequency is stretched, [head_dim / 2] in [0, 1].

    0 is not at all, 1 by the whole factor.
    """
    if scaling.kind == "linear":
        return jnp.ones_like(plain)

    if scaling.kind == "llama3":
        # Turns within the context of pretraining.
        turns = scaling.original_positions * plain / (2 * math.pi)
        return 1 - jnp.clip(
            (turns - scaling.slow_factor) / (scaling.fast_factor - scaling.slow_factor), 0, 1
        )

    # Yarn: a ramp over the pairs of dimensions, from the fast turns to the slow ones.
    first, last = (
        _dimension_at_turns(turns, head_dim, theta, scaling)
        for turns in (scaling.fast_turns, scaling.slow_turns)
    )
    if scaling.whole_numbers:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    return jnp.clip(
        (jnp.arange(len(plain), dtype=jnp.float32) - first) / max(last - first, 1e-3), 0, 1
    )


def _dimension_at_turns(turns: float, head_dim: int, theta: float, scaling: RopeScaling) -> float:
    """Returns the (fractional) pair of dimensions with `turns` turns in the original context."""
    return (
        head_dim
        * math.log(scaling.original_positions / (turns * 2 * math.pi))
        / (2 * math.log(theta))
    )


def rotate_heads(x: jax.Array, cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Rotates the halves of each head [B, T, H, head_dim], in float32.

    `cosine` and `sine` are those of the angles, [B, T, head_dim / 2].
    """
    first, second = jnp.split(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 2, axis=-1)
    cosine, sine = cosine[:, :, None], sine[:, :, None]
    return jnp.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    ).astype(x.dtype)
