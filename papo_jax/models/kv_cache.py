"""The key-value cache of cached decoding, an explicit pytree that the caller carries.

Shapes: L layers, B sequences, S slots, K key-value heads, head_dim.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.models.config import ModelConfig


class Cache(NamedTuple):
    """Keys and values of the tokens seen so far.

    Attributes:
      keys: [L, B, S, K, head_dim], rotated.
      values: [L, B, S, K, head_dim].
      valid: [B, S] boolean, the slots that hold a real token (not padding).
      length: [] int32, the slots written; the same for every row.
    """

    keys: jax.Array
    values: jax.Array
    valid: jax.Array
    length: jax.Array


def empty(config: ModelConfig, batch: int, slots: int) -> Cache:
    """Returns a cache of `slots` unwritten slots for `batch` sequences."""
    shape = (config.layers, batch, slots, config.kv_heads, config.head_dim)
    return Cache(
        keys=jnp.zeros(shape, config.dtype),
        values=jnp.zeros(shape, config.dtype),
        valid=jnp.zeros((batch, slots), bool),
        length=jnp.zeros((), jnp.int32),
    )


def repeat(cache: Cache, times: int) -> Cache:
    """Repeats every row `times` times in place, so that a prompt is read once for all of its
    samples."""
    return Cache(
        keys=jnp.repeat(cache.keys, times, axis=1),
        values=jnp.repeat(cache.values, times, axis=1),
        valid=jnp.repeat(cache.valid, times, axis=0),
        length=cache.length,
    )


def extend(cache: Cache, slots: int) -> Cache:
    """Adds `slots` unwritten slots at the end."""

    def widen(array, axis):
        return jnp.pad(
            array, [(0, slots if dimension == axis else 0) for dimension in range(array.ndim)]
        )

    return Cache(widen(cache.keys, 2), widen(cache.values, 2), widen(cache.valid, 1), cache.length)
