"""The key-value cache of cached decoding, an explicit pytree that the caller carries.

Shapes: L layers, B sequences, S slots, K key-value heads, head_dim.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.models.model_config import ModelConfig


class KVCache(NamedTuple):
    """Keys and values of the tokens so far.

    Attributes:
      keys: [L, B, K, S, head_dim], rotated. Heads come before slots, so that a decode step reads
        them as they lie; the other way round it takes 1.7 times as long on a CPU.
      values: [L, B, K, S, head_dim].
      valid: [B, S] boolean, the slots that hold a real token (not padding).
      length: [] int32, the number of written slots; the same for every row.
    """

    keys: jax.Array
    values: jax.Array
    valid: jax.Array
    length: jax.Array


def init_cache(config: ModelConfig, batch: int, slots: int) -> KVCache:
    """Returns a cache of `slots` unwritten slots for `batch` sequences."""
    shape = (config.layers, batch, config.kv_heads, slots, config.head_dim)
    return KVCache(
        keys=jnp.zeros(shape, config.dtype),
        values=jnp.zeros(shape, config.dtype),
        valid=jnp.zeros((batch, slots), bool),
        length=jnp.zeros((), jnp.int32),
    )


def repeat_rows(cache: KVCache, times: int) -> KVCache:
    """Repeats each row `times` times, side by side: one prefill serves all samples of a prompt."""
    return KVCache(
        keys=jnp.repeat(cache.keys, times, axis=1),
        values=jnp.repeat(cache.values, times, axis=1),
        valid=jnp.repeat(cache.valid, times, axis=0),
        length=cache.length,
    )


def add_slots(cache: KVCache, slots: int) -> KVCache:
    """Adds `slots` unwritten slots at the end."""
    return cache._replace(
        keys=_pad_axis(cache.keys, 3, slots),
        values=_pad_axis(cache.values, 3, slots),
        valid=_pad_axis(cache.valid, 1, slots),
    )


def _pad_axis(array: jax.Array, axis: int, amount: int) -> jax.Array:
    """Adds zeros at the end of one axis."""
    return jnp.pad(array, [(0, amount if number == axis else 0) for number in range(array.ndim)])
