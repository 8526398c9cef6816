"""Per-token inputs of the one-pass implementations, in local vocabulary coordinates.

Shapes: N tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

NO_COLUMN = -2  # a token of another shard; not -1, which marks columns outside their tile


class TokenRows(NamedTuple):
    """The token and the support of each row of logits on this device.

    Attributes:
      tokens: [N] int32, the token's column in this shard of the vocabulary; negative if it is in
        another shard.
      active: [N] boolean, false on rows that are masked out and need no work.
      support_end: [] int32, columns from here on are outside the support.
      temperature: [] tau > 0.
    """

    tokens: jax.Array
    active: jax.Array
    support_end: jax.Array
    temperature: jax.Array


def make_token_rows(
    tokens: jax.Array,
    *,
    num_columns: int,
    dtype: jnp.dtype,
    temperature: jax.Array | float,
    mask: jax.Array | None,
    vocabulary_size: int | None,
    axis_name: str | None,
) -> TokenRows:
    """Builds per-token inputs in local vocabulary coordinates.

    Args:
      tokens: [...] integers, columns of the whole vocabulary.
      num_columns: columns of this device's shard of the vocabulary.
      dtype: of the temperature.
      temperature: tau > 0; no gradient goes to it.
      mask: [...] boolean, or None.
      vocabulary_size: columns of the whole vocabulary from here on are outside the support.
      axis_name: mesh axis over which the vocabulary is sharded.

    Returns:
      `TokenRows` of all N tokens, flattened.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * num_columns
    size = jnp.iinfo(jnp.int32).max if vocabulary_size is None else vocabulary_size
    local = jnp.asarray(tokens, jnp.int32).reshape(-1) - first
    return TokenRows(
        tokens=jnp.where((local >= 0) & (local < num_columns), local, NO_COLUMN),
        active=jnp.ones(tokens.size, bool) if mask is None else jnp.asarray(mask).reshape(-1),
        support_end=jnp.minimum(num_columns, size - first).astype(jnp.int32),
        temperature=jax.lax.stop_gradient(jnp.asarray(temperature, dtype)),
    )
