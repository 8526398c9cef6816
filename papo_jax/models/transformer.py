"""A decoder of the Llama / Qwen family in `flax.nnx`.

Shapes: B sequences, T time steps of this call, S slots attended to, V vocabulary, D width, L
layers. The parameters of all blocks are stacked on a leading axis [L, ...] and the blocks run under
one `lax.scan`, so compile time does not grow with depth.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from papo_jax.models import rope
from papo_jax.models.config import ModelConfig
from papo_jax.models.kv_cache import Cache
from papo_jax.models.layers import MLP, Attention, Geometry, RMSNorm, weight

_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


class Block(nnx.Module):
    """One layer, or L stacked ones when `layers` is (L,)."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(layers, config.width, config.norm_epsilon)
        self.attention = Attention(config, layers, rngs)
        self.mlp_norm = RMSNorm(layers, config.width, config.norm_epsilon)
        self.mlp = MLP(config, layers, rngs)

    def __call__(self, x: jax.Array, geometry: Geometry) -> jax.Array:
        """Attends among the tokens of this call only."""
        query, key, value = self.attention.project(self.attention_norm(x), geometry)
        x = x + self.attention.attend(query, key, value, geometry.mask)
        return x + self.mlp(self.mlp_norm(x))

    def cached(self, x, geometry: Geometry, keys, values, layer, start):
        """The same with keys and values [L, B, S, K, head_dim], written at (layer, :, start) and
        attended to."""
        query, key, value = self.attention.project(self.attention_norm(x), geometry)
        keys = jax.lax.dynamic_update_slice(keys, key[None], (layer, 0, start, 0, 0))
        values = jax.lax.dynamic_update_slice(values, value[None], (layer, 0, start, 0, 0))
        x = x + self.attention.attend(query, keys[layer], values[layer], geometry.mask)
        return x + self.mlp(self.mlp_norm(x)), keys, values


class Transformer(nnx.Module):
    """Tokens in, final hidden states out; the head is applied by the token statistics or by
    `papo_jax.models.logits`."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        self.embedding = weight(rngs, (config.vocabulary_size, config.width))
        self.blocks = Block(config, (config.layers,), rngs)
        self.final_norm = RMSNorm((), config.width, config.norm_epsilon)
        if not config.tied:
            self.unembedding = weight(rngs, (config.vocabulary_size, config.width))

    def head(self) -> jax.Array:
        """Returns the unembedding [V, D] in the dtype of the computation."""
        weight = self.embedding if self.config.tied else self.unembedding
        return weight[...].astype(self.config.dtype)

    def hidden(self, tokens: jax.Array, valid: jax.Array) -> jax.Array:
        """Runs the whole sequence at once.

        Args:
          tokens: [B, T] integers.
          valid: [B, T] boolean, false on padding, which may stand anywhere.

        Returns:
          [B, T, D] final hidden states; those at padding mean nothing.
        """
        time = tokens.shape[1]
        causal = jnp.tril(jnp.ones((time, time), bool))
        positions = positions_of(valid)
        of_layer = self._geometries(positions, positions, causal[None] & valid[:, None, :])
        graph, stacked = nnx.split(self.blocks)

        def body(x, layer_and_kind):
            layer, kind = layer_and_kind
            return nnx.merge(graph, layer)(x, of_layer(kind)), None

        if self.config.remat != "none":
            body = jax.checkpoint(body, policy=_POLICIES[self.config.remat])
        return self.final_norm(jax.lax.scan(body, self._embed(tokens), (stacked, self._kinds()))[0])

    def cached(self, tokens: jax.Array, valid: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Appends tokens [B, T] to the cache and returns their hidden states [B, T, D] and the new
        cache."""
        slots = cache.valid.shape[1]
        time = tokens.shape[1]
        seen = jax.lax.dynamic_update_slice(cache.valid, valid, (0, cache.length))
        positions = positions_of(valid) + cache.valid.sum(axis=1, dtype=jnp.int32)[:, None]
        causal = jnp.arange(slots)[None, :] <= cache.length + jnp.arange(time)[:, None]
        of_layer = self._geometries(positions, positions_of(seen), causal[None] & seen[:, None, :])
        graph, stacked = nnx.split(self.blocks)

        def body(carry, scanned):
            layer, kind, index = scanned
            return nnx.merge(graph, layer).cached(
                carry[0], of_layer(kind), carry[1], carry[2], index, cache.length
            ), None

        carry = (self._embed(tokens), cache.keys, cache.values)
        scanned = (stacked, self._kinds(), jnp.arange(self.config.layers))
        (x, keys, values), _ = jax.lax.scan(body, carry, scanned)
        return self.final_norm(x), Cache(keys, values, seen, cache.length + time)

    def _embed(self, tokens: jax.Array) -> jax.Array:
        return jnp.take(self.embedding[...], tokens, axis=0).astype(self.config.dtype)

    def _kinds(self) -> dict[str, jax.Array]:
        """What differs between layers, [L] booleans to be scanned over; empty where all are
        alike."""
        kinds = {"rotated": self.config.rotated, "windowed": self.config.windowed}
        return {name: jnp.array(layers) for name, layers in kinds.items() if layers}

    def _geometries(self, positions: jax.Array, slots: jax.Array, mask: jax.Array):
        """Returns a function from a layer's kind to its `Geometry`.

        Args:
          positions: [B, T], of the queries.
          slots: [B, S], positions of what is attended to.
          mask: [B, T, S], what a layer without a window may attend to.
        """
        config = self.config
        frequencies = rope.frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        angles = positions[..., None].astype(jnp.float32) * frequencies[None, None]
        magnitude = config.rope_scaling.magnitude if config.rope_scaling else 1.0
        rotated = Geometry(jnp.cos(angles) * magnitude, jnp.sin(angles) * magnitude, mask)
        near = mask
        if config.window:
            near = mask & (positions[:, :, None] - slots[:, None, :] < config.window)
            rotated = rotated if config.windowed else rotated._replace(mask=near)

        def of_layer(kind: dict[str, jax.Array]) -> Geometry:
            geometry = rotated
            if "rotated" in kind:
                turns = kind["rotated"]
                geometry = geometry._replace(
                    cosine=jnp.where(turns, rotated.cosine, 1),
                    sine=jnp.where(turns, rotated.sine, 0),
                )
            if "windowed" in kind:
                geometry = geometry._replace(mask=jnp.where(kind["windowed"], near, mask))
            return geometry

        return of_layer


def positions_of(valid: jax.Array) -> jax.Array:
    """Numbers the real tokens of each row 0, 1, 2, ... wherever padding stands, [B, T]."""
    return jnp.maximum(jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1, 0)
