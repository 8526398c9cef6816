"""Hugging Face directories: `config.json`, `model.safetensors`, tokenizer, in and out.

Hugging Face stores every projection as [out, in]; ours are [in, ...out] with the heads apart. The names
below are the whole map; a tensor that is in a file but not in the map, or the other way round, is an error.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from papo_jax.errors import InputError
from papo_jax.models.config import ModelConfig, from_huggingface, to_huggingface

_BLOCK_NAMES = {
    ("attention_norm", "scale"): "input_layernorm.weight",
    ("attention", "query"): "self_attn.q_proj.weight",
    ("attention", "key"): "self_attn.k_proj.weight",
    ("attention", "value"): "self_attn.v_proj.weight",
    ("attention", "output"): "self_attn.o_proj.weight",
    ("attention", "query_bias"): "self_attn.q_proj.bias",
    ("attention", "key_bias"): "self_attn.k_proj.bias",
    ("attention", "value_bias"): "self_attn.v_proj.bias",
    ("attention", "output_bias"): "self_attn.o_proj.bias",
    ("attention", "query_norm", "scale"): "self_attn.q_norm.weight",
    ("attention", "key_norm", "scale"): "self_attn.k_norm.weight",
    ("mlp_norm", "scale"): "post_attention_layernorm.weight",
    ("mlp", "gate"): "mlp.gate_proj.weight",
    ("mlp", "up"): "mlp.up_proj.weight",
    ("mlp", "down"): "mlp.down_proj.weight",
}
_TOP_NAMES = {
    ("embedding",): "model.embed_tokens.weight",
    ("final_norm", "scale"): "model.norm.weight",
    ("unembedding",): "lm_head.weight",
}


def read_config(directory: pathlib.Path) -> ModelConfig:
    """Reads `config.json`; raises `InputError` where it is missing, malformed or of an unknown architecture."""
    path = directory / "config.json"
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; model.path must name a Hugging Face directory") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path} must hold a JSON object, not {fields!r:.40}")
    return from_huggingface(fields, source=str(path))


def read_params(directory: pathlib.Path, shapes: dict[str, Any]) -> dict[str, Any]:
    """Reads the weights of a directory into a pytree of the given shapes.

    Args:
      directory: holds `model.safetensors`.
      shapes: nested dict of `jax.ShapeDtypeStruct`, our layout; the dtype is the one wanted.

    Returns:
      The same nested dict with NumPy arrays.

    Raises:
      InputError: if the file is missing or cut short, or a tensor is missing, unknown or of another shape.
    """
    path = directory / "model.safetensors"
    if not path.exists():
        sharded = " (sharded weights are not supported yet)" if path.with_suffix(".safetensors.index.json").exists() else ""
        raise InputError(f"{path} does not exist; the weights of model.path are missing{sharded}")
    try:
        with safe_open(path, framework="numpy") as file:
            return fill(shapes, file.get_tensor, set(file.keys()), source=str(path))
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or cut short ({error}); fetch or write it again") from None


def fill(
    shapes: dict[str, Any], get: Callable[[str], np.ndarray], names: set[str], *, source: str
) -> dict[str, Any]:
    """Builds our parameters from tensors under Hugging Face names, one tensor at a time.

    Args:
      shapes: nested dict of `jax.ShapeDtypeStruct`.
      get: name -> array [out, in].
      names: all names that `get` knows.
      source: the file, for messages.

    Returns:
      The nested dict filled with NumPy arrays.

    Raises:
      InputError: if a tensor is missing, left over or of another size.
    """
    used: set[str] = set()

    def one(name: str, shape: tuple[int, ...], path: tuple[str, ...]) -> np.ndarray:
        if name not in names:
            raise InputError(f"{source}: the tensor {name} is missing")
        used.add(name)
        tensor = get(name)
        stored = _stored_shape(shape, path)
        if tensor.shape != stored:
            raise InputError(f"{source}: the tensor {name} has shape {tensor.shape}, the config asks for {stored}")
        return _to_ours(tensor, shape, path)

    def leaf(path: tuple[str, ...], abstract: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[0] != "blocks":
            return one(_TOP_NAMES[path], abstract.shape, path).astype(abstract.dtype)
        stacked = np.empty(abstract.shape, abstract.dtype)
        for layer in range(abstract.shape[0]):
            stacked[layer] = one(_layer_name(layer, path), abstract.shape[1:], path)
        return stacked

    params = _map_paths(leaf, shapes)
    # A tied head and rotary tables may be stored although they follow from the rest.
    left = {name for name in names - used if name != "lm_head.weight" and "rotary_emb" not in name}
    if left:
        raise InputError(f"{source}: {len(left)} tensors have no place in this architecture, the first is {sorted(left)[0]}")
    return params


def write(directory: pathlib.Path, config: ModelConfig, params: dict[str, Any], *, dtype: str) -> None:
    """Writes `config.json` and `model.safetensors` in Hugging Face's layout."""
    written = to_huggingface(config)
    if from_huggingface(written) != dataclasses.replace(config, dtype="float32", remat=False):
        raise ValueError(f"Hugging Face's {config.architecture} cannot express this mix of biases and norms: {config}")
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(tensor.astype(dtype)) for name, tensor in _to_huggingface(params)}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps({**written, "dtype": dtype}, indent=2) + "\n")


def _layer_name(layer: int, path: tuple[str, ...]) -> str:
    return f"model.layers.{layer}.{_BLOCK_NAMES[path[1:]]}"


def _stored_shape(shape: tuple[int, ...], path: tuple[str, ...]) -> tuple[int, ...]:
    """The shape that Hugging Face keeps for one of our parameters, layers apart."""
    if path[-1].endswith("_bias"):
        return (int(np.prod(shape)),)
    if len(shape) == 1 or path[-1] in ("embedding", "unembedding"):
        return shape
    inputs = shape[:-1] if path[-1] == "output" else shape[:1]
    outputs = shape[len(inputs) :]
    return int(np.prod(outputs)), int(np.prod(inputs))


def _to_ours(tensor: np.ndarray, shape: tuple[int, ...], path: tuple[str, ...]) -> np.ndarray:
    """[out, in] -> [in, out] with the heads apart; embeddings, norms and biases keep their order."""
    keeps_order = len(shape) == 1 or path[-1].endswith("_bias") or path[-1] in ("embedding", "unembedding")
    return tensor.reshape(shape) if keeps_order else tensor.T.reshape(shape)


def _to_huggingface(params: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for path, stacked in _leaves(params):
        stacked = np.asarray(stacked)
        if path[0] != "blocks":
            yield _TOP_NAMES[path], stacked
            continue
        for layer, tensor in enumerate(stacked):
            if path[-1].endswith("_bias"):
                tensor = tensor.reshape(-1)
            elif path[-1] == "output":
                tensor = tensor.reshape(-1, tensor.shape[-1]).T
            elif tensor.ndim > 1:
                tensor = tensor.reshape(tensor.shape[0], -1).T
            yield _layer_name(layer, path), tensor


def _map_paths(function: Callable, tree: dict[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        name: _map_paths(function, value, (*path, name)) if isinstance(value, dict) else function((*path, name), value)
        for name, value in tree.items()
    }


def _leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
