"""Weights of Hugging Face directories, read and written; whole directories written.

`hf_config` interprets their `config.json`, `hf_tokenizer` their tokenizer.
"""

import functools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from papo_jax.errors import InputError
from papo_jax.models.formats import hf_weight_map, load_sharded, safetensors_read, safetensors_write
from papo_jax.models.formats.hf_weight_map import Layout
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
# Files of adapters as peft and MLX write them.
_ADAPTERS = ("adapter_config.json", "adapter_model*", "adapters.*", "*lora*.safetensors")
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_COMPARED_ROWS = 4096  # of these two at once


def refuse_adapters(directory: pathlib.Path) -> None:
    """Raises `InputError` if an adapter lies in a directory, alone or beside the weights.

    It would be left out, and the policy would be its base alone.
    """
    found = sorted(file.name for pattern in _ADAPTERS for file in directory.glob(pattern))
    if found:
        raise InputError(
            f"{directory / found[0]} belongs to an adapter of another program, which cannot be"
            " read; merge it into its base model (merge_and_unload of peft), save that and name it"
            " in model.path, or move the adapter's files away to leave it out"
        )


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
