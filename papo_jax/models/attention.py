"""Attention of grouped queries without the whole matrix of scores.

Shapes: B sequences, T queries, S keys, H query heads, K key-value heads, G = H / K queries a key.
A matrix of scores has B H T S entries; it is the largest array of a long sequence, and the
backward pass would keep one for each layer. Here queries are taken in blocks, and the backward pass
computes a block's scores again.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

BLOCK = 32  # queries of a block; of 16, 32, 64 and 96 the fastest on a CPU core
SPANS = 4  # parts of a sequence that each look at the keys up to their own end


class TokenPlaces(NamedTuple):
    """Places of tokens: whose sequence each belongs to, and where it stands there.

    Attributes:
      segments: [B, T] int32, equal on tokens of one sequence; 0 on padding.
      positions: [B, T] int32, growing along a sequence.
    """

    segments: jax.Array
    positions: jax.Array


def visible_keys(queries: TokenPlaces, keys: TokenPlaces, window: jax.Array | None) -> jax.Array:
    """Tells which keys a query may attend to: of its own sequence, not after it, not too far back.

    Args:
      queries: [B, T].
      keys: [B, S].
      window: [] int32, how many tokens back a query sees, itself included; None for all.

    Returns:
      [B, T, S] boolean.

    >>> places = TokenPlaces(jnp.array([[1, 1, 2, 0]]), jnp.array([[0, 1, 0, 0]]))
    >>> print(visible_keys(places, places, None)[0].astype(int))
    [[1 0 0 0]
     [1 1 0 0]
     [0 0 1 0]
     [0 0 0 0]]
    """
    own = (queries.segments[:, :, None] == keys.segments[:, None]) & (keys.segments > 0)[:, None]
    distance = queries.positions[:, :, None] - keys.positions[:, None]
    visible = own & (distance >= 0)
    return visible if window is None else visible & (distance < window)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    query_places: TokenPlaces,
    key_places: TokenPlaces,
    window: jax.Array | None = None,
    slots_in_order: bool = False,
) -> jax.Array:
    """Attends: softmax(q k^T / sqrt(head_dim)) v over the visible keys.

    Args:
      query: [B, T, H, head_dim].
      key: [B, K, S, head_dim].
      value: [B, K, S, head_dim].
      query_places: [B, T].
      key_places: [B, S].
      window: as in `visible_keys`.
      slots_in_order: queries and keys are the same tokens, and no key of a later slot is visible;
        those are then left out.

    Returns:
      [B, T, H, head_dim]; what a query without a visible key gets means nothing, but is finite.
    """
    time, heads, kv_heads = *query.shape[1:3], key.shape[1]
    grouped = query.reshape(*query.shape[:2], kv_heads, heads // kv_heads, query.shape[3])
    if time <= BLOCK:
        mixed = _attend_block(grouped, key, value, query_places, key_places, window)
        return mixed.reshape(query.shape)

    # Spans of whole blocks, each with the keys up to its own end.
    blocks = math.ceil(time / BLOCK)
    span = math.ceil(blocks / (SPANS if slots_in_order else 1)) * BLOCK
    mixed = []
    for start in range(0, time, span):
        end = min(start + span, time)
        rows = _take_slots((grouped, query_places), start, end)
        stop = end if slots_in_order else key.shape[2]
        seen = key[:, :, :stop], value[:, :, :stop], _take_slots(key_places, 0, stop)
        mixed.append(_attend_span(rows, seen, window))
    return jnp.concatenate(mixed, axis=1).reshape(query.shape)


def _take_slots(arrays, start: int, end: int):
    """Takes some slots of [B, T, ...] arrays."""
    return jax.tree.map(lambda array: array[:, start:end], arrays)


def _attend_span(rows, seen, window: jax.Array | None) -> jax.Array:
    """Attends block by block of the queries; the backward pass computes scores again."""
    (grouped, queries), (key, value, keys) = rows, seen

    @jax.checkpoint
    def attend_block(rows):
        return _attend_block(rows[0], key, value, rows[1], keys, window)

    time = grouped.shape[1]
    if time <= BLOCK:
        return attend_block((grouped, queries))
    whole = time - time % BLOCK

    def cut(array):
        blocks = array[:, :whole].reshape(array.shape[0], -1, BLOCK, *array.shape[2:])
        return jnp.moveaxis(blocks, 1, 0)

    mixed = jax.lax.map(attend_block, jax.tree.map(cut, (grouped, queries)))
    mixed = jnp.moveaxis(mixed, 0, 1).reshape(grouped.shape[0], whole, *grouped.shape[2:])
    if whole == time:
        return mixed
    rest = attend_block(_take_slots((grouped, queries), whole, time))
    return jnp.concatenate([mixed, rest], axis=1)


def _attend_block(grouped, key, value, queries, keys, window) -> jax.Array:
    """Attends with all scores of some queries at once, [B, T, K, G, head_dim]."""
    batch, time, kv_heads, group, head_dim = grouped.shape
    wide = jnp.promote_types(grouped.dtype, jnp.float32)
    # The G queries of a key side by side make one matrix product of a larger size.
    rows = jnp.transpose(grouped, (0, 2, 3, 1, 4)).reshape(batch, kv_heads, -1, head_dim)
    scores = jnp.einsum("bkqh,bksh->bkqs", rows, key, preferred_element_type=wide)
    scores = scores.reshape(batch, kv_heads, group, time, -1) * head_dim**-0.5
    # Which keys are visible is the same in all layers. Without a barrier JAX would take that out of
    # the scan over layers, and keep all T S of it for each head.
    scores, queries = jax.lax.optimization_barrier((scores, queries))
    # A finite fill keeps a row of padding, which may attend to nothing, free of NaN.
    visible = visible_keys(queries, keys, window)[:, None, None]
    scores = jnp.where(visible, scores, jnp.finfo(scores.dtype).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bkqs,bksh->bkqh", weights.reshape(*rows.shape[:3], -1), value)
    return jnp.transpose(mixed.reshape(batch, kv_heads, group, time, head_dim), (0, 3, 1, 2, 4))
