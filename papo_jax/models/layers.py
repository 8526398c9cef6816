"""The parts of a block in `flax.nnx`: norm, attention, MLP, and the adapters beside their weights.

Shapes: B sequences, T time steps of this call, S slots attended to, D width, H query heads, K
key-value heads. `layers` is (L,) for L stacked blocks, whose parameters have a leading axis [L,
...], or () for one.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from papo_jax.models import rope
from papo_jax.models.config import TARGETS, ModelConfig

# Parameter name -> logical axes, without the leading "layers" of a stacked block.
# `papo_jax.parallel` has # the table from logical to mesh axes.
_AXES = {
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
    "gate_bias": ("mlp",),
    "up_bias": ("mlp",),
    "down_bias": (None,),
}
ADAPTERS = ("_lora_in", "_lora_out")  # how the names of LoRA's A and B end
_INPUT_AXES = {"output": 2}  # of a weight; everywhere else the first is the only one


def _adapter_axes() -> dict[str, tuple[str | None, ...]]:
    """The same for A [..inputs, rank] and B [rank, ..outputs] of every weight that can have
    them."""
    axes = {}
    for name in TARGETS:
        inputs = _INPUT_AXES.get(name, 1)
        axes |= {
            name + ADAPTERS[0]: (*_AXES[name][:inputs], None),
            name + ADAPTERS[1]: (None, *_AXES[name][inputs:]),
        }
    return axes


LOGICAL_AXES = _AXES | _adapter_axes()


class Geometry(NamedTuple):
    """What attention needs to know of positions.

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
        normalized = wide * jax.lax.rsqrt(
            jnp.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon
        )
        scale = self.scale[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return (normalized * scale.astype(wide.dtype)).astype(x.dtype)


class Adapted(nnx.Module):
    """A module whose weights may have adapters of low rank beside them."""

    def make(
        self,
        name: str,
        rngs: nnx.Rngs,
        layers: tuple[int, ...],
        shape: tuple[int, ...],
        *,
        bias: bool,
    ) -> None:
        """Makes the weight `name` of `shape` [..inputs, ..outputs], its bias, and its adapters
        where the config asks."""
        inputs = _INPUT_AXES.get(name, 1)
        setattr(self, name, weight(rngs, (*layers, *shape)))
        if bias:
            setattr(self, f"{name}_bias", nnx.Param(jnp.zeros((*layers, *shape[inputs:]))))
        if self.config.lora and name in self.config.lora.targets:
            rank, size = self.config.lora.rank, math.prod(shape[:inputs])
            inward, outward = (name + end for end in ADAPTERS)
            setattr(
                self, inward, weight(rngs, (*layers, *shape[:inputs], rank), deviation=size**-0.5)
            )
            # With B = 0 the first forward pass is that of the base model.
            setattr(self, outward, nnx.Param(jnp.zeros((*layers, rank, *shape[inputs:]))))

    def with_rest(self, name: str, x: jax.Array, product: jax.Array) -> jax.Array:
        """Adds the bias and (alpha / rank) B A x to the product of `x` [..., ..inputs] with the
        weight."""
        if hasattr(self, f"{name}_bias"):
            bias = getattr(self, f"{name}_bias")[...].astype(product.dtype)
            product += bias.reshape((1,) * (product.ndim - bias.ndim) + bias.shape)
        if self.config.lora and name in self.config.lora.targets:
            inward, outward = (getattr(self, name + end)[...].astype(x.dtype) for end in ADAPTERS)
            low = jnp.tensordot(x, inward, axes=inward.ndim - 1)
            product += self.config.lora.scale * jnp.tensordot(low, outward, axes=1)
        return product


class Attention(Adapted):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        width, heads, kv_heads, head_dim = (
            config.width,
            config.heads,
            config.kv_heads,
            config.head_dim,
        )
        self.config = config
        self.make("query", rngs, layers, (width, heads, head_dim), bias=config.qkv_bias)
        self.make("key", rngs, layers, (width, kv_heads, head_dim), bias=config.qkv_bias)
        self.make("value", rngs, layers, (width, kv_heads, head_dim), bias=config.qkv_bias)
        self.make("output", rngs, layers, (heads, head_dim, width), bias=config.output_bias)
        if config.qk_norm:
            self.query_norm = RMSNorm(layers, head_dim, config.norm_epsilon)
            self.key_norm = RMSNorm(layers, head_dim, config.norm_epsilon)

    def project(self, x: jax.Array, geometry: Geometry) -> tuple[jax.Array, jax.Array, jax.Array]:
        """[B, T, D] -> query [B, T, H, head_dim], key and value [B, T, K, head_dim]; query and key
        rotated."""
        query, key, value = (
            self.with_rest(
                name, x, jnp.einsum("btd,dhk->bthk", x, getattr(self, name)[...].astype(x.dtype))
            )
            for name in ("query", "key", "value")
        )
        if self.config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)

        def turn(heads):
            return rope.rotate(heads, geometry.cosine, geometry.sine)

        return turn(query), turn(key), value

    def attend(
        self, query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """Query [B, T, H, head_dim] against keys and values [B, S, K, head_dim] -> [B, T, D]."""
        batch, time, heads, head_dim = query.shape
        grouped = query.reshape(batch, time, keys.shape[2], heads // keys.shape[2], head_dim)
        wide = jnp.promote_types(query.dtype, jnp.float32)
        scores = jnp.einsum("btkgh,bskh->bkgts", grouped, keys, preferred_element_type=wide)
        scores = scores * head_dim**-0.5
        # A finite fill keeps a row of padding, which may attend to nothing, free of NaN.
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
        mixed = jnp.einsum("bkgts,bskh->btkgh", weights, values).reshape(
            batch, time, heads, head_dim
        )
        return self.with_rest(
            "output",
            mixed,
            jnp.einsum("bthk,hkd->btd", mixed, self.output[...].astype(mixed.dtype)),
        )


class MLP(Adapted):
    """SwiGLU: down(silu(gate x) * up x)."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        self.config = config
        self.make("gate", rngs, layers, (config.width, config.mlp_width), bias=config.mlp_bias)
        self.make("up", rngs, layers, (config.width, config.mlp_width), bias=config.mlp_bias)
        self.make("down", rngs, layers, (config.mlp_width, config.width), bias=config.mlp_bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        def apply(name, x):
            return self.with_rest(name, x, x @ getattr(self, name)[...].astype(x.dtype))

        # Over [B T, D] the weight gradients contract one axis, not two: 1.6 times faster on CPU.
        flat = x.reshape(-1, x.shape[-1])
        return apply("down", jax.nn.silu(apply("gate", flat)) * apply("up", flat)).reshape(x.shape)


def weight(rngs: nnx.Rngs, shape: tuple[int, ...], *, deviation: float = 0.02) -> nnx.Param:
    """Draws a weight matrix."""
    return nnx.Param(deviation * jax.random.normal(rngs.params(), shape))
