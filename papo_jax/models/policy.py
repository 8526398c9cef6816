"""A policy: a decoder, its parameters and its tokenizer."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import flatten_dict

from papo_jax.mesh_rules import Array
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.transformer import Transformer, place_tokens

Params = dict[str, Any]  # nested
ParamPath = tuple[str, ...]  # of a parameter in the nested dict, ("blocks", "mlp", "up")


@dataclasses.dataclass(frozen=True)
class PolicySource:
    """The Hugging Face directory that a policy was loaded from; exports keep its files and fields.

    Attributes:
      directory: that holds its files.
      fields: of its config.json.
    """

    directory: pathlib.Path
    fields: Mapping[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """A language model that can be sampled and trained.

    Attributes:
      config: the decoder's architecture.
      graph: the static half of the `nnx` module; `nnx.merge(graph, params)` is the module.
      params: nested dict of arrays.
      tokenizer: a fast tokenizer of `transformers`.
      stop_tokens: ids that end a completion.
      source: the Hugging Face directory that it was loaded from, or None.
      tokenizer_hashes: the SHA-256 of each file that the tokenizer was made from, by its name.
    """

    config: ModelConfig
    graph: nnx.GraphDef
    params: Params
    tokenizer: Any
    stop_tokens: tuple[int, ...]
    source: PolicySource | None = None
    tokenizer_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """Returns one line: architecture, size and dtypes."""
        config = self.config
        sizes = Counter()
        for leaf in jax.tree.leaves(self.params):
            sizes[str(leaf.dtype)] += leaf.size
        parts = [
            config.architecture,
            f"{config.layers} layers x {config.width}",
            f"{config.vocabulary_size} tokens of vocabulary",
            *(f"{size:,} parameters {dtype}" for dtype, size in sizes.items()),
        ]
        if config.lora:
            parts.append(f"LoRA of rank {config.lora.rank}")
        return f"Policy({', '.join(parts)})"


def initialize(config: ModelConfig, key: jax.Array) -> tuple[nnx.GraphDef, Params]:
    """Draws fresh parameters for a config; returns (graph, params)."""
    graph, _ = make_abstract_model(config)
    return graph, jax.jit(lambda key: draw_params(config, key))(key)


def draw_params(config: ModelConfig, key: jax.Array) -> Params:
    """Draws parameters; to be jitted."""
    return nnx.to_pure_dict(nnx.state(Transformer(config, nnx.Rngs(params=key))))


def make_abstract_model(
    config: ModelConfig, param_dtype: str = "float32"
) -> tuple[nnx.GraphDef, Params]:
    """Returns the graph, and the shapes of the parameters, without making any array."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0))))
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, param_dtype), nnx.to_pure_dict(state)
    )
    return graph, shapes


def flatten_params(params: Params) -> dict[ParamPath, Any]:
    """Returns the leaves by their paths."""
    return flatten_dict(params)


def logits(
    graph: nnx.GraphDef, params: Params, tokens: Array, mask: Array | None = None
) -> jax.Array:
    """Computes the logits of whole sequences.

    Args:
      graph: of the policy.
      params: of the policy.
      tokens: [B, T] integers.
      mask: [B, T] boolean, false on padding, which may be anywhere; None for no padding.

    Returns:
      [B, T, V] float32; row t predicts token t + 1. Those at padding mean nothing.
    """
    valid = jnp.ones(tokens.shape, bool) if mask is None else mask.astype(bool)
    model = nnx.merge(graph, params)
    return jnp.einsum(
        "btd,vd->btv",
        model.compute_hidden_states(tokens, place_tokens(valid)),
        model.unembedding_matrix(),
        preferred_element_type=jnp.float32,
    )
