"""A decoder of the Llama / Qwen family in `flax.nnx`.

Shapes: B sequences, T time steps of this call, S slots attended to, V vocabulary, D width, H query heads,
K key-value heads, L layers. The parameters of all blocks are stacked on a leading axis [L, ...] and the
blocks run under one `lax.scan`, so compile time does not grow with depth.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from papo_jax.models.cache import Cache
from papo_jax.models.config import ModelConfig

# Parameter name -> logical axes, without the leading "layers" of a stacked block. `papo_jax.parallel` has
# the table from logical to mesh axes.
LOGICAL_AXES = {
    "embedding": ("vocabulary", "width"),
    "unembedding": ("vocabulary", "width"),
    "scale": (None,),
    "query": ("width", "heads", None),
    "key": ("width", "kv_heads", None),
    "value": ("width", "kv_heads", None),
    "output": ("heads", None, "width"),
    "query_bias": ("heads", None),
    "key_bias": ("kv_heads", None),
    "value_bias": ("kv_heads", None),
    "output_bias": (None,),
    "gate": ("width", "mlp"),
    "up": ("width", "mlp"),
    "down": ("mlp", "width"),
}


class Geometry(NamedTuple):
    """What attention needs to know of positions, the same in every block.

    Attributes:
      cosine, sine: [B, T, head_dim / 2] rotary angles.
      mask: [B, T, S] boolean, which slots a query may attend to.
    """

    cosine: jax.Array
    sine: jax.Array
    mask: jax.Array


class RMSNorm(nnx.Module):
    """x / sqrt(mean x^2 + epsilon) * scale, computed in float32."""

    def __init__(self, layers: tuple[int, ...], width: int, epsilon: float):
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones((*layers, width)))

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        normalised = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon)
        scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return (normalised * scale.astype(wide.dtype)).astype(x.dtype)


class Attention(nnx.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        width, heads, kv_heads, head_dim = config.width, config.heads, config.kv_heads, config.head_dim
        self.config = config
        self.query = _weight(rngs, (*layers, width, heads, head_dim))
        self.key = _weight(rngs, (*layers, width, kv_heads, head_dim))
        self.value = _weight(rngs, (*layers, width, kv_heads, head_dim))
        self.output = _weight(rngs, (*layers, heads, head_dim, width))
        if config.qkv_bias:
            self.query_bias = nnx.Param(jnp.zeros((*layers, heads, head_dim)))
            self.key_bias = nnx.Param(jnp.zeros((*layers, kv_heads, head_dim)))
            self.value_bias = nnx.Param(jnp.zeros((*layers, kv_heads, head_dim)))
        if config.output_bias:
            self.output_bias = nnx.Param(jnp.zeros((*layers, width)))
        if config.qk_norm:
            self.query_norm = RMSNorm(layers, head_dim, config.norm_epsilon)
            self.key_norm = RMSNorm(layers, head_dim, config.norm_epsilon)

    def project(self, x: jax.Array, geometry: Geometry) -> tuple[jax.Array, jax.Array, jax.Array]:
        """[B, T, D] -> query [B, T, H, head_dim], key and value [B, T, K, head_dim]; query and key rotated."""
        project = lambda weight: jnp.einsum("btd,dhk->bthk", x, weight[...].astype(x.dtype))  # noqa: E731
        query, key, value = project(self.query), project(self.key), project(self.value)
        if self.config.qkv_bias:
            query += self.query_bias[...].astype(x.dtype)[None, None]
            key += self.key_bias[...].astype(x.dtype)[None, None]
            value += self.value_bias[...].astype(x.dtype)[None, None]
        if self.config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        return rotate(query, geometry), rotate(key, geometry), value

    def attend(self, query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array) -> jax.Array:
        """Query [B, T, H, head_dim] against keys and values [B, S, K, head_dim] -> [B, T, D]."""
        batch, time, heads, head_dim = query.shape
        grouped = query.reshape(batch, time, keys.shape[2], heads // keys.shape[2], head_dim)
        scores = jnp.einsum("btkgh,bskh->bkgts", grouped, keys, preferred_element_type=jnp.float32)
        scores = scores * head_dim**-0.5
        # A finite fill keeps a row of padding, which may attend to nothing, free of NaN.
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
        mixed = jnp.einsum("bkgts,bskh->btkgh", weights, values).reshape(batch, time, heads, head_dim)
        out = jnp.einsum("bthk,hkd->btd", mixed, self.output[...].astype(mixed.dtype))
        if self.config.output_bias:
            out += self.output_bias[...].astype(out.dtype)[None, None]
        return out


class MLP(nnx.Module):
    """SwiGLU: down(silu(gate x) * up x)."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        self.gate = _weight(rngs, (*layers, config.width, config.mlp_width))
        self.up = _weight(rngs, (*layers, config.width, config.mlp_width))
        self.down = _weight(rngs, (*layers, config.mlp_width, config.width))

    def __call__(self, x: jax.Array) -> jax.Array:
        gate, up, down = (weight[...].astype(x.dtype) for weight in (self.gate, self.up, self.down))
        # Over [B T, D] the weight gradients contract one axis, not two: 1.6 times faster on CPU.
        flat = x.reshape(-1, x.shape[-1])
        return ((jax.nn.silu(flat @ gate) * (flat @ up)) @ down).reshape(x.shape)


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
        """The same with keys and values [L, B, S, K, head_dim], written at (layer, :, start) and attended to."""
        query, key, value = self.attention.project(self.attention_norm(x), geometry)
        keys = jax.lax.dynamic_update_slice(keys, key[None], (layer, 0, start, 0, 0))
        values = jax.lax.dynamic_update_slice(values, value[None], (layer, 0, start, 0, 0))
        x = x + self.attention.attend(query, keys[layer], values[layer], geometry.mask)
        return x + self.mlp(self.mlp_norm(x)), keys, values


class Transformer(nnx.Module):
    """Tokens in, final hidden states out; the head is applied by the token statistics or by `papo_jax.models.logits`."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        self.embedding = _weight(rngs, (config.vocabulary_size, config.width))
        self.blocks = Block(config, (config.layers,), rngs)
        self.final_norm = RMSNorm((), config.width, config.norm_epsilon)
        if not config.tied:
            self.unembedding = _weight(rngs, (config.vocabulary_size, config.width))

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
        geometry = self._geometry(positions_of(valid), causal[None] & valid[:, None, :])
        graph, stacked = nnx.split(self.blocks)

        def body(x, layer):
            return nnx.merge(graph, layer)(x, geometry), None

        body = jax.checkpoint(body) if self.config.remat else body
        return self.final_norm(jax.lax.scan(body, self._embed(tokens), stacked)[0])

    def cached(self, tokens: jax.Array, valid: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Appends tokens [B, T] to the cache and returns their hidden states [B, T, D] and the new cache."""
        slots = cache.valid.shape[1]
        time = tokens.shape[1]
        seen = jax.lax.dynamic_update_slice(cache.valid, valid, (0, cache.length))
        positions = positions_of(valid) + cache.valid.sum(axis=1, dtype=jnp.int32)[:, None]
        causal = jnp.arange(slots)[None, :] <= cache.length + jnp.arange(time)[:, None]
        geometry = self._geometry(positions, causal[None] & seen[:, None, :])
        graph, stacked = nnx.split(self.blocks)

        def body(carry, layer_and_index):
            layer, index = layer_and_index
            return nnx.merge(graph, layer).cached(carry[0], geometry, carry[1], carry[2], index, cache.length), None

        carry = (self._embed(tokens), cache.keys, cache.values)
        (x, keys, values), _ = jax.lax.scan(body, carry, (stacked, jnp.arange(self.config.layers)))
        return self.final_norm(x), Cache(keys, values, seen, cache.length + time)

    def _embed(self, tokens: jax.Array) -> jax.Array:
        return jnp.take(self.embedding[...], tokens, axis=0).astype(self.config.dtype)

    def _geometry(self, positions: jax.Array, mask: jax.Array) -> Geometry:
        half = self.config.head_dim // 2
        frequencies = self.config.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
        angles = positions[..., None].astype(jnp.float32) * frequencies[None, None]
        return Geometry(jnp.cos(angles), jnp.sin(angles), mask)


def positions_of(valid: jax.Array) -> jax.Array:
    """Numbers the real tokens of each row 0, 1, 2, ... wherever padding stands, [B, T]."""
    return jnp.maximum(jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1, 0)


def rotate(x: jax.Array, geometry: Geometry) -> jax.Array:
    """Rotates the halves of each head [B, T, heads, head_dim] by the token's position, in float32."""
    first, second = jnp.split(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 2, axis=-1)
    cosine, sine = geometry.cosine[:, :, None], geometry.sine[:, :, None]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1).astype(x.dtype)


def _weight(rngs: nnx.Rngs, shape: tuple[int, ...]) -> nnx.Param:
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))
