"""A decoder of the Llama / Qwen family in `flax.nnx`.

Shapes: B sequences, T time steps of this call, S slots attended to, V vocabulary, D width, L
layers. The parameters of all blocks are stacked on a leading axis [L, ...] and the blocks run under
one `lax.scan`, so compile time does not grow with depth.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from papo_jax.mesh_rules import Array
from papo_jax.models import rope
from papo_jax.models.attention import TokenPlaces
from papo_jax.models.kv_cache import KVCache
from papo_jax.models.layers import (
    MIXED_VALUES,
    MLP,
    Attention,
    AttentionContext,
    RMSNorm,
    draw_weight,
)
from papo_jax.models.model_config import ModelConfig

_REMAT_POLICIES = {
    "dots": jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        jax.checkpoint_policies.save_only_these_names(MIXED_VALUES),
    ),
    "full": jax.checkpoint_policies.nothing_saveable,
}

NO_WINDOW = 2**30  # tokens, more than any sequence has

LayerKind = dict[str, jax.Array]  # of one layer: what differs between layers, [] booleans


class Block(nnx.Module):
    """One layer, or L stacked ones when `layers` is (L,)."""

    def __init__(self, config: ModelConfig, layers: tuple[int, ...], rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(layers, config.width, config.norm_epsilon)
        self.attention = Attention(config, layers, rngs)
        self.mlp_norm = RMSNorm(layers, config.width, config.norm_epsilon)
        self.mlp = MLP(config, layers, rngs)

    def __call__(self, x: jax.Array, context: AttentionContext) -> jax.Array:
        """Attends among the tokens of this call only, [B, T, D] -> [B, T, D]."""
        query, key, value = self.attention.project_heads(self.attention_norm(x), context)
        x = x + self.attention.attend(query, key, value, context)
        return x + self.mlp(self.mlp_norm(x))

    def apply_cached(
        self, x: jax.Array, context: AttentionContext, cache: KVCache, layer: jax.Array
    ) -> tuple[jax.Array, KVCache]:
        """Attends to the tokens in the cache and to those of this call.

        Args:
          x: [B, T, D].
          context: of the call.
          cache: of all layers; the tokens of this call are written from slot `cache.length` on.
          layer: [] index of this layer in the cache.

        Returns:
          [B, T, D], and the cache with new keys and values, but `valid` and `length` as before.
        """
        query, key, value = self.attention.project_heads(self.attention_norm(x), context)

        start = (layer, 0, 0, cache.length, 0)
        keys = jax.lax.dynamic_update_slice(cache.keys, key[None], start)
        values = jax.lax.dynamic_update_slice(cache.values, value[None], start)

        x = x + self.attention.attend(query, keys[layer], values[layer], context)
        return x + self.mlp(self.mlp_norm(x)), cache._replace(keys=keys, values=values)


class Transformer(nnx.Module):
    """Tokens in, final hidden states out.

    The token statistics, or `papo_jax.models.logits`, apply the unembedding.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.config = config
        self.embedding = draw_weight(rngs, (config.vocabulary_size, config.width))
        self.blocks = Block(config, (config.layers,), rngs)
        self.final_norm = RMSNorm((), config.width, config.norm_epsilon)
        if not config.tied:
            self.unembedding = draw_weight(rngs, (config.vocabulary_size, config.width))

    def unembedding_matrix(self) -> jax.Array:
        """Returns the output head [V, D] in the dtype of the computation."""
        weight = self.embedding if self.config.tied else self.unembedding
        return weight[...].astype(self.config.dtype)

    def compute_hidden_states(self, tokens: Array, places: TokenPlaces) -> jax.Array:
        """Runs whole sequences at once, one in a row or several.

        Args:
          tokens: [B, T] integers.
          places: [B, T]; padding may be anywhere, and the tokens of a sequence stand in order.

        Returns:
          [B, T, D] final hidden states; those at padding mean nothing.
        """
        context_of = self._make_contexts(places, places)

        graph, stacked = nnx.split(self.blocks)

        def apply_layer(x, scanned):
            layer_params, kind = scanned
            return nnx.merge(graph, layer_params)(x, context_of(kind)), None

        if self.config.remat != "none":
            policy = _REMAT_POLICIES[self.config.remat]
            apply_layer = jax.checkpoint(apply_layer, policy=policy)
        embedded = self._embed_tokens(tokens)
        x, _ = jax.lax.scan(apply_layer, embedded, (stacked, self._layer_kinds()))
        return self.final_norm(x)

    def append_to_cache(
        self, tokens: Array, valid: Array, cache: KVCache
    ) -> tuple[jax.Array, KVCache]:
        """Appends tokens to the cache and computes their hidden states.

        Args:
          tokens: [B, T] integers.
          valid: [B, T] boolean, false on padding.
          cache: with at least T unwritten slots.

        Returns:
          [B, T, D] final hidden states, and the cache with the tokens in it.
        """
        time = tokens.shape[1]
        seen = jax.lax.dynamic_update_slice(cache.valid, valid, (0, cache.length))
        places = place_tokens(valid)
        earlier = cache.valid.sum(axis=1, dtype=jnp.int32)[:, None]
        places = places._replace(positions=places.positions + earlier)
        context_of = self._make_contexts(places, place_tokens(seen))

        graph, stacked = nnx.split(self.blocks)

        def apply_layer(carry, scanned):
            layer_params, kind, index = scanned
            x, keys, values = carry
            x, written = nnx.merge(graph, layer_params).apply_cached(
                x, context_of(kind), cache._replace(keys=keys, values=values), index
            )
            return (x, written.keys, written.values), None

        carry = (self._embed_tokens(tokens), cache.keys, cache.values)
        scanned = (stacked, self._layer_kinds(), jnp.arange(self.config.layers))
        (x, keys, values), _ = jax.lax.scan(apply_layer, carry, scanned)
        hidden = self.final_norm(x)
        return hidden, KVCache(keys=keys, values=values, valid=seen, length=cache.length + time)

    def _embed_tokens(self, tokens: Array) -> jax.Array:
        return jnp.take(self.embedding[...], tokens, axis=0).astype(self.config.dtype)

    def _layer_kinds(self) -> LayerKind:
        """Returns the differences between layers, [L] booleans to scan over.

        The dictionary is empty where all layers are alike.
        """
        kinds = {"rotated": self.config.rotated, "windowed": self.config.windowed}
        return {name: jnp.array(layers) for name, layers in kinds.items() if layers}

    def _make_contexts(
        self, queries: TokenPlaces, keys: TokenPlaces
    ) -> Callable[[LayerKind], AttentionContext]:
        """Returns a function from a layer's kind to its `AttentionContext`.

        Args:
          queries: [B, T], of this call's tokens.
          keys: [B, S], of the slots attended to.
        """
        config = self.config

        # The context of a layer that rotates and, where there is a window, looks through it.
        frequencies = rope.rotary_frequencies(
            config.head_dim, config.rope_theta, config.rope_scaling
        )
        angles = queries.positions[..., None].astype(jnp.float32) * frequencies[None, None]
        magnitude = config.rope_scaling.magnitude if config.rope_scaling else 1.0
        common = AttentionContext(
            cosine=jnp.cos(angles) * magnitude,
            sine=jnp.sin(angles) * magnitude,
            queries=queries,
            keys=keys,
            window=jnp.int32(config.window) if config.window else None,
        )

        def context_of(kind: LayerKind) -> AttentionContext:
            context = common
            if "rotated" in kind:
                context = context._replace(
                    cosine=jnp.where(kind["rotated"], common.cosine, 1),
                    sine=jnp.where(kind["rotated"], common.sine, 0),
                )
            if "windowed" in kind and config.window:
                window = jnp.where(kind["windowed"], config.window, NO_WINDOW)
                context = context._replace(window=window)
            return context

        return context_of


def place_tokens(valid: Array) -> TokenPlaces:
    """Places the real tokens of each row, one sequence a row, regardless of padding, [B, T].

    >>> place_tokens(jnp.array([[False, True, False, True]])).positions.tolist()
    [[0, 0, 0, 1]]
    """
    valid = jnp.asarray(valid)
    positions = jnp.maximum(jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1, 0)
    return TokenPlaces(segments=valid.astype(jnp.int32), positions=positions)
