"""Hugging Face's `config.json`, read strictly and written: `ModelConfig` from it and to it.

A field that would change the model is never ignored. `hf_config_fields` lists the known fields,
`hf_config_attention` reads rotary scaling and what differs between layers.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from papo_jax.errors import InputError
from papo_jax.json_files import read_object
from papo_jax.models.formats import hf_config_attention, hf_config_fields
from papo_jax.models.formats.hf_config_fields import FieldReader
from papo_jax.models.model_config import ModelConfig

CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
ARCHITECTURES = tuple(CLASSES)


def read_config_fields(directory: pathlib.Path) -> dict[str, Any]:
    """Reads the fields of a directory's `config.json` as they are.

    Raises:
      InputError: if it is missing or no JSON object.
    """
    path = directory / "config.json"
    return read_object(
        path, missing=f"{path} does not exist; model.path must name a Hugging Face directory"
    )


def parse_hf_config(fields: Mapping[str, Any], *, label: str = "config.json") -> ModelConfig:
    """Interprets the fields of a Hugging Face `config.json`.

    Args:
      fields: the parsed file.
      label: its name, for messages.

    Returns:
      The `ModelConfig`.

    Raises:
      InputError: if the architecture, a field or its value is not supported, or a field is missing
        or of a wrong type.

    >>> fields = dict(model_type="qwen3", vocab_size=8, hidden_size=4, intermediate_size=8)
    >>> parse_hf_config(fields | dict(num_hidden_layers=1, num_attention_heads=2)).qk_norm
    True
    """
    architecture = fields.get("model_type")
    if not isinstance(architecture, str) or architecture not in CLASSES:
        raise InputError(
            f"{label}: model_type {architecture!r} is not supported; it must be one of"
            f" {', '.join(CLASSES)}"
        )
    hf_config_fields.refuse_unsupported(fields, architecture, label)

    reader = FieldReader(fields, label)
    heads, layers, width = (
        reader.read_integer(name)
        for name in ("num_attention_heads", "num_hidden_layers", "hidden_size")
    )
    if reader.read_integer("head_dim", None) is None and width % heads:
        raise InputError(
            f"{label}: hidden_size {width} is no multiple of {heads} attention heads, and head_dim"
            " is missing"
        )
    bias = reader.read_flag("attention_bias")
    rotated = hf_config_attention.read_rotated_layers(reader, architecture, layers)
    window, windowed = hf_config_attention.read_window(reader, architecture, layers)

    return ModelConfig(
        architecture=architecture,
        vocabulary_size=reader.read_integer("vocab_size"),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=reader.read_integer("num_key_value_heads", heads),
        head_dim=reader.read_integer("head_dim", width // heads),
        mlp_width=reader.read_integer("intermediate_size"),
        rope_theta=hf_config_attention.read_rope_theta(reader, architecture),
        rope_scaling=hf_config_attention.read_rope_scaling(reader),
        rotated=rotated,
        window=window,
        windowed=windowed,
        norm_epsilon=reader.read_real("rms_norm_eps", 1e-6),
        tied=reader.read_flag("tie_word_embeddings", architecture == "smollm3"),
        qk_norm=architecture == "qwen3",
        qkv_bias=bias or architecture == "qwen2",
        output_bias=bias,
        mlp_bias=reader.read_flag("mlp_bias"),
        max_positions=reader.read_integer("max_position_embeddings", 2048),
    )


def make_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Returns the fields of a `config.json` from which `parse_hf_config` makes the same model.

    The rotary fields are written as every version of transformers and vLLM reads them, `rope_theta`
    and `rope_scaling`.
    """
    fields = {
        "architectures": [CLASSES[config.architecture]],
        "model_type": config.architecture,
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp_width,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
        "attention_bias": config.output_bias,
        "hidden_act": "silu",
        # Else transformers fills in ids of its own, which a small vocabulary does not have.
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "max_position_embeddings": config.max_positions,
    }
    if config.mlp_bias:
        fields["mlp_bias"] = True
    return fields | hf_config_attention.make_attention_fields(config)
