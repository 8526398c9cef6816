"""Hugging Face directories, in and out: `config.json` and the weights in safetensors."""

import functools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.models.formats import load_sharded, safetensors_read, safetensors_write, weight_names
from papo_jax.models.formats.weight_names import Layout

SHARD_BYTES = 5 * 2**30
# What belongs to a model besides its config and its weights.
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
_ROWS = 4096  # of these compared at once


def read_fields(directory: pathlib.Path) -> dict[str, Any]:
    """Reads `config.json` as it is; raises `InputError` where it is missing or no JSON object."""
    path = directory / "config.json"
    return read_object(
        path, missing=f"{path} does not exist; model.path must name a Hugging Face directory"
    )


def read_params(
    directory: pathlib.Path, shapes: dict[str, Any], shardings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Reads the weights of a directory onto the devices.

    Args:
      directory: holds `model.safetensors`, or `model.safetensors.index.json` and its shards.
      shapes: nested dict of `jax.ShapeDtypeStruct`, our layout; the dtype is the one to hold the
        parameter in.
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
    return load_sharded.fill(shapes, source, shardings)


def _check_head_is_tied(source: load_sharded.Source) -> None:
    """Raises where a head is stored beside the embedding that is said to be it, and differs: one of
    the two would be lost."""
    rows = source.shapes[_EMBEDDING][0]
    same = source.shapes[_HEAD] == source.shapes[_EMBEDDING] and all(
        np.array_equal(
            *(source.rows(name, start, min(start + _ROWS, rows)) for name in (_HEAD, _EMBEDDING))
        )
        for start in range(0, rows, _ROWS)
    )
    if not same:
        raise InputError(
            f"{source.label}: tie_word_embeddings is true, but {_HEAD} differs from {_EMBEDDING}; set it to false in config.json"
        )


def write(
    directory: pathlib.Path,
    fields: Mapping[str, Any],
    params: dict[str, Any],
    *,
    dtype: str | None,
    dtypes: Mapping[str, str] | None = None,
    companions: Callable[[pathlib.Path], None] | None = None,
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
        `safetensors_in.stored_dtypes` returns it. A tensor that is not named keeps the dtype that
        it is held in.
      companions: writes those of `COMPANIONS` that there are into the folder that it is given; None
        leaves them alone.
      shard_bytes: the most bytes of tensors in one file.

    Raises:
      InputError: if a dtype is not float32, bfloat16 or float16, or a value does not fit it.
    """
    tensors = [*_tensors(params, lambda name, held: dtype or (dtypes or {}).get(name, held))]
    with safetensors_write.staged(directory, replaced=COMPANIONS if companions else ()) as stage:
        safetensors_write.write(stage, tensors, shard_bytes=shard_bytes)
        (stage / "config.json").write_text(json.dumps(dict(fields), indent=2) + "\n")
        if companions:
            companions(stage)


def _tensors(params: dict[str, Any], dtype_of) -> Iterator[safetensors_write.Tensor]:
    for path, leaf in flatten_dict(params).items():
        stacked = weight_names.is_stacked(path)
        layout = weight_names.layout_of(path, leaf.ndim - stacked)
        shape = layout.stored_shape(leaf.shape[stacked:])
        for layer, name in enumerate(weight_names.tensor_names(path, leaf.shape)):
            fetch = functools.partial(_fetch, leaf, layer if stacked else None, layout)
            yield safetensors_write.Tensor(name, shape, dtype_of(name, str(leaf.dtype)), fetch)


def _fetch(leaf: jax.Array, layer: int | None, layout: Layout) -> np.ndarray:
    return np.asarray(_to_stored(leaf if layer is None else leaf[layer], layout))


# Transposed on the device: on the host that takes longer than writing the file.
_to_stored = jax.jit(lambda ours, layout: layout.to_stored(ours), static_argnums=1)
