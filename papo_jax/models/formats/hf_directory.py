"""Weights of Hugging Face directories, read and written; whole directories written.

`hf_config` interprets their `config.json`, `hf_tokenizer` their tokenizer.
"""

import functools
import json
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from papo_jax.errors import InputError
from papo_jax.models.formats import hf_weight_map, load_sharded, safetensors_read, safetensors_write
from papo_jax.models.formats.hf_weight_map import Layout
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import flatten_params

SHARD_BYTES = 5 * 2**30
# Files of a model besides its config and its weights.
COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")
_COMPARED_ROWS = 4096  # of these two at once


def read_params(
    directory: pathlib.Path, shapes: dict[str, Any], shardings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Reads the weights of a directory onto the devices.

    Args:
      directory: holds `model.safetensors`, or `model.safetensors.index.json` and its shards.
      shapes: nested dict of `jax.ShapeDtypeStruct`, our layout; the dtype is that of the parameter,
        whatever the file's.
      shardings: the same nested dict of `NamedSharding`, or None for the default device.

    Returns:
      The same nested dict of arrays.

    Raises:
      InputError: if a file is missing, damaged or cut short, or a tensor is missing, unknown, of
        another shape or of a dtype that is not supported.
    """
    source = safetensors_read.open_directory(directory)
    if "unembedding" not in shapes and {_HEAD, _EMBEDDING} <= source.shapes.keys():
        _check_head_is_tied(source)
    return load_sharded.load_params(shapes, source, shardings)


def check_layers(directory: pathlib.Path, fields: Mapping[str, Any]) -> None:
    """Raises `InputError` if a config has other layers than the weights; reads headers only.

    Before the config is interpreted, which makes something for every layer.
    """
    entries = safetensors_read.read_headers(directory)
    indices = [int(found[1]) for name in entries if (found := _LAYER.match(name))]
    layers, said = max(indices, default=-1) + 1, fields.get("num_hidden_layers")
    if layers and isinstance(said, int) and said != layers:
        raise InputError(
            f"{directory / 'config.json'} says num_hidden_layers = {said}, and the weights"
            f" have {layers} layers; fetch both again"
        )


def check_sizes(directory: pathlib.Path, config: ModelConfig) -> None:
    """Raises `InputError` if a config has other sizes than the weights; reads headers only.

    Before anything of these sizes is made: they may be any numbers.
    """
    entries = safetensors_read.read_headers(directory)
    embedding = entries.get(_EMBEDDING)
    expected = (config.vocabulary_size, config.width)
    if embedding is not None and tuple(embedding.shape) != expected:
        raise InputError(
            f"{directory / 'config.json'} says an embedding of shape {expected}, and the weights"
            f" have one of {tuple(embedding.shape)}; fetch both again"
        )
    stored = sum(math.prod(entry.shape) for entry in entries.values())
    widest = max(config.mlp_width, config.heads * config.head_dim, config.kv_heads)
    if widest * config.width > stored:
        raise InputError(
            f"{directory / 'config.json'} says layers of {widest:,} x {config.width:,} numbers, and"
            f" all weights together are {stored:,}; fetch both again"
        )


def _check_head_is_tied(source: load_sharded.TensorSource) -> None:
    """Raises if a head is stored beside the embedding that should be it, and differs.

    One of the two would be lost.
    """
    num_rows = source.shapes[_EMBEDDING][0]

    def are_equal_from(start: int) -> bool:
        stop = min(start + _COMPARED_ROWS, num_rows)
        head, embedding = (source.read_rows(name, start, stop) for name in (_HEAD, _EMBEDDING))
        return np.array_equal(head, embedding)

    same_shape = source.shapes[_HEAD] == source.shapes[_EMBEDDING]
    if not (same_shape and all(map(are_equal_from, range(0, num_rows, _COMPARED_ROWS)))):
        raise InputError(
            f"{source.label}: tie_word_embeddings is true, but {_HEAD} differs from {_EMBEDDING};"
            " set it to false in config.json"
        )


def write_directory(
    directory: pathlib.Path,
    fields: Mapping[str, Any],
    params: dict[str, Any],
    *,
    dtype: str | None,
    dtypes: Mapping[str, str] | None = None,
    write_companions: Callable[[pathlib.Path], None] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes `config.json`, the weights and what goes with them, all or nothing.

    Args:
      directory: made if it does not exist; of an earlier export in it weights and companions are
        replaced.
      fields: of `config.json`, ready.
      params: nested dict of arrays, our layout.
      dtype: of every tensor, or None.
      dtypes: Hugging Face's name of a tensor -> its dtype where `dtype` is None, as
        `safetensors_read.read_dtypes` returns it. A tensor that is not named keeps the dtype of its
        parameter.
      write_companions: writes those of `COMPANIONS` that there are into the directory that it is
        given; None leaves them alone.
      shard_bytes: the most bytes of tensors in one file.

    Raises:
      InputError: if a dtype is not float32, bfloat16 or float16, or a value does not fit it.
    """
    tensors = list(_list_tensors(params, dtype=dtype, dtypes=dtypes or {}))
    replaced = COMPANIONS if write_companions else ()
    with safetensors_write.stage_files(directory, replaced=replaced) as stage:
        safetensors_write.write_tensors(stage, tensors, shard_bytes=shard_bytes)
        (stage / "config.json").write_text(json.dumps(dict(fields), indent=2) + "\n")
        if write_companions:
            write_companions(stage)


def _list_tensors(
    params: dict[str, Any], *, dtype: str | None, dtypes: Mapping[str, str]
) -> Iterator[safetensors_write.LazyTensor]:
    """Yields the tensors of parameters under Hugging Face's names, not fetched yet."""
    for path, leaf in flatten_params(params).items():
        stacked = hf_weight_map.is_stacked(path)
        layout = hf_weight_map.find_layout(path, leaf.ndim - stacked)
        shape = layout.stored_shape(leaf.shape[stacked:])
        for layer, name in enumerate(hf_weight_map.tensor_names(path, leaf.shape)):
            yield safetensors_write.LazyTensor(
                name=name,
                shape=shape,
                dtype=dtype or dtypes.get(name, str(leaf.dtype)),
                fetch=functools.partial(_fetch_tensor, leaf, layer if stacked else None, layout),
            )


def _fetch_tensor(leaf: jax.Array, layer: int | None, layout: Layout) -> np.ndarray:
    return np.asarray(_to_stored(leaf if layer is None else leaf[layer], layout))


@functools.partial(jax.jit, static_argnums=1)
def _to_stored(ours: jax.Array, layout: Layout) -> jax.Array:
    """Transposes on the device: on the host that takes longer than writing the file."""
    return layout.to_stored(ours)
