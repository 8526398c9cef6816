"""The parts of a block in `flax.nnx`: norm, attention, MLP, and the adapters beside their weights.

Shapes: B sequences, T time steps of this call, S slots attended to, D width, H query heads, K
key-value heads. `layers` is (L,) for L stacked blocks, whose parameters have a leading axis
[L, ...], or () for one.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from papo_jax.models import attention, rope
from papo_jax.models.attention import TokenPlaces
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.param_axes import ADAPTER_SUFFIXES, NUM_INPUT_AXES

MIXED_VALUES = "mixed values"  # of attention, by which `remat` knows them


class AttentionContext(NamedTuple):
    """Places of the tokens of one attention call.

    Attributes:
      cosine, sine: [B, T, head_dim / 2], of the rotary angles.
      queries: [B, T], of this call's tokens.
      keys: [B, S], of the slots attended to.
      window: [] int32, how many tokens back a query sees, itself included; None for all.
    """

    cosine: jax.Array
    sine: jax.Array
    queries: TokenPlaces
    keys: TokenPlaces
    window: jax.Array | None


class RMSNorm(nnx.Module):
    """x / sqrt(mean x^2 + epsilon) * scale, computed in float32."""

    def __init__(self, layers: tuple[int, ...], width: int, epsilon: float):
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones((*layers, width)))

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        normalized = wide * jax.lax.rsqrt(
            jnp.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon
        )
        scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return (normalized * scale.astype(wide.dtype)).astype(x.dtype)


class LoraModule(nnx.Module):
    """Base class of modules whose weights may have low-rank adapters beside them."""

    config: ModelConfig

    def add_weight(
        self,
        name: str,
        rngs: nnx.Rngs,
        layers: tuple[int, ...],
        shape: tuple[int, ...],
        *,
        bias: bool,
    ) -> None:
        """Adds the weight `name`, its bias, and its adapters where the config asks for them.

        Args:
          name: of the attribute; that of the bias ends in "_bias".
          rngs: for the draw.
          layers: leading axes.
          shape: [..inputs, ..outputs] of one layer.
          bias: whether there is one, [..outputs].
        """
        inputs = NUM_INPUT_AXES.get(name, 1)
        setattr(self, name, draw_weight(rngs, (*layers, *shape)))

        if bias:
            setattr(self, f"{name}_bias", nnx.Param(jnp.zeros((*layers, *shape[inputs:]))))

        lora = self.config.lora
        if lora and name in lora.targets:
            inward, outward = (name + suffix for suffix in ADAPTER_SUFFIXES)
            into_rank, deviation = (*shape[:inputs], lora.rank), math.prod(shape[:inputs]) ** -0.5
            setattr(self, inward, draw_weight(rngs, (*layers, *into_rank), deviation=deviation))
            # With B = 0 the first forward pass is that of the base model.
            setattr(self, outward, nnx.Param(jnp.zeros((*layers, lora.rank, *shape[inputs:]))))

    def add_bias_and_lora(self, name: str, x: jax.Array, product: jax.Array) -> jax.Array:
        """Adds the bias and (alpha / rank) B A x to the product of `x` with the weight `name`.

        `x` is [..., ..inputs] and the product [..., ..outputs].
        """
        if hasattr(self, f"{name}_bias"):
            bias = getattr(self, f"{name}_bias")[...].astype(product.dtype)
            product += bias.reshape((1,) * (product.ndim - bias.ndim) + bias.shape)

        lora = self.config.lora
        if lora and name in lora.targets:
            inward, outward = (
                getattr(self, name + suffix)[...].astype(x.dtype) for suffix in ADAPTER_SUFFIXES
            )
            low = jnp.tensordot(x, inward, axes=inward.ndim - 1)
            product += lora.scale * jnp.tensordot(low, outward, axes=1)
        return product


class Attention(LoraModule):
    """Grouped-query attention with rotary positions."""

    output: nnx.Param

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        self.config = config
        width, head_dim = config.width, config.head_dim
        of_queries = (width, config.heads, head_dim)
        of_keys = (width, config.kv_heads, head_dim)
        self.add_weight("query", rngs, layers, of_queries, bias=config.qkv_bias)
        self.add_weight("key", rngs, layers, of_keys, bias=config.qkv_bias)
        self.add_weight("value", rngs, layers, of_keys, bias=config.qkv_bias)
        of_output = (config.heads, head_dim, width)
        self.add_weight("output", rngs, layers, of_output, bias=config.output_bias)
        if config.qk_norm:
            self.query_norm = RMSNorm(layers, head_dim, config.norm_epsilon)
            self.key_norm = RMSNorm(layers, head_dim, config.norm_epsilon)

    def project_heads(
        self, x: jax.Array, context: AttentionContext
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Computes queries, keys and values; queries and keys are rotated.

        Args:
          x: [B, T, D].
          context: of the call.

        Returns:
          query [B, T, H, head_dim], key and value [B, K, T, head_dim].
        """
        query, key, value = (self._project(name, x) for name in ("query", "key", "value"))
        if self.config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key = (rope.rotate_heads(x, context.cosine, context.sine) for x in (query, key))
        return query, jnp.swapaxes(key, 1, 2), jnp.swapaxes(value, 1, 2)

    def _project(self, name: str, x: jax.Array) -> jax.Array:
        weight = getattr(self, name)[...].astype(x.dtype)
        return self.add_bias_and_lora(name, x, jnp.einsum("btd,dhk->bthk", x, weight))

    def attend(
        self, query: jax.Array, keys: jax.Array, values: jax.Array, context: AttentionContext
    ) -> jax.Array:
        """Attends and projects back to the residual stream.

        Args:
          query: [B, T, H, head_dim].
          keys: [B, K, S, head_dim]; where S is T they are those of this call's tokens.
          values: [B, K, S, head_dim].
          context: of the call.

        Returns:
          [B, T, D].
        """
        mixed = attention.attend(
            query,
            keys,
            values,
            query_places=context.queries,
            key_places=context.keys,
            window=context.window,
            slots_in_order=query.shape[1] == keys.shape[2],
        )
        mixed = checkpoint_name(mixed, MIXED_VALUES)
        product = jnp.einsum("bthk,hkd->btd", mixed, self.output[...].astype(mixed.dtype))
        return self.add_bias_and_lora("output", mixed, product)


class MLP(LoraModule):
    """SwiGLU: down(silu(gate x) * up x)."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        self.config = config
        inward, outward = (config.width, config.mlp_width), (config.mlp_width, config.width)
        self.add_weight("gate", rngs, layers, inward, bias=config.mlp_bias)
        self.add_weight("up", rngs, layers, inward, bias=config.mlp_bias)
        self.add_weight("down", rngs, layers, outward, bias=config.mlp_bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        # Over [B T, D] the weight gradients contract one axis, not two: 1.6 times faster on CPU.
        flat = x.reshape(-1, x.shape[-1])
        gated = jax.nn.silu(self._apply_weight("gate", flat)) * self._apply_weight("up", flat)
        return self._apply_weight("down", gated).reshape(x.shape)

    def _apply_weight(self, name: str, x: jax.Array) -> jax.Array:
        return self.add_bias_and_lora(name, x, x @ getattr(self, name)[...].astype(x.dtype))


def draw_weight(rngs: nnx.Rngs, shape: tuple[int, ...], *, deviation: float = 0.02) -> nnx.Param:
    """Draws a weight, normal with mean 0."""
    return nnx.Param(deviation * jax.random.normal(rngs.params(), shape))
