"""The shape of a decoder of the Llama / Qwen family, read from a Hugging Face `config.json`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from papo_jax.errors import InputError

ARCHITECTURES = ("llama", "qwen2", "qwen3")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What a decoder is made of.

    Attributes:
      architecture: one of `ARCHITECTURES`; decides the names and defaults in `config.json`.
      vocabulary_size: V, rows of the embedding.
      width: D, the residual stream.
      layers: number of blocks.
      heads: query heads.
      kv_heads: key-value heads; divides `heads`.
      head_dim: width of a head; even, for the rotation.
      mlp_width: the inner width of SwiGLU.
      rope_theta: base of the rotary frequencies.
      norm_epsilon: added to the mean square in RMSNorm.
      tied: the head is the embedding.
      qk_norm: RMSNorm over each query and key head.
      qkv_bias: biases on query, key and value.
      output_bias: bias on the attention's output.
      max_positions: the longest sequence that the weights were made for, tokens.
      dtype: of the computation; parameters stay in the dtype that they were loaded in.
      remat: recompute each block in the backward pass instead of storing its activations.
    """

    architecture: str
    vocabulary_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-6
    tied: bool = False
    qk_norm: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    max_positions: int = 2048
    dtype: str = "float32"
    remat: bool = False

    def __post_init__(self):
        if self.heads % self.kv_heads:
            raise InputError(f"config.json: {self.heads} attention heads are no multiple of {self.kv_heads} key-value heads")
        if self.head_dim % 2:
            raise InputError(f"config.json: head_dim {self.head_dim} is odd; rotary positions need an even one")


def from_huggingface(fields: Mapping[str, Any], *, source: str = "config.json") -> ModelConfig:
    """Reads the fields of a Hugging Face `config.json`.

    Args:
      fields: the parsed file.
      source: its name, for messages.

    Returns:
      The `ModelConfig`.

    Raises:
      InputError: if the architecture or one of its options is not supported, or a field is missing.

    >>> from_huggingface(dict(model_type="qwen3", vocab_size=8, hidden_size=4, num_hidden_layers=1,
    ...     num_attention_heads=2, intermediate_size=8)).qk_norm
    True
    """
    architecture = fields.get("model_type")
    if architecture not in ARCHITECTURES:
        raise InputError(f"{source}: model_type {architecture!r} is not supported; it must be one of {', '.join(ARCHITECTURES)}")
    _refuse_unsupported(fields, source)
    rope = {**(fields.get("rope_parameters") or {})}
    bias = bool(fields.get("attention_bias", False))
    try:
        heads = fields["num_attention_heads"]
        return ModelConfig(
            architecture=architecture,
            vocabulary_size=fields["vocab_size"],
            width=fields["hidden_size"],
            layers=fields["num_hidden_layers"],
            heads=heads,
            kv_heads=fields.get("num_key_value_heads") or heads,
            head_dim=fields.get("head_dim") or fields["hidden_size"] // heads,
            mlp_width=fields["intermediate_size"],
            rope_theta=float(rope.get("rope_theta", fields.get("rope_theta", 10000.0))),
            norm_epsilon=fields.get("rms_norm_eps", 1e-6),
            tied=bool(fields.get("tie_word_embeddings", False)),
            qk_norm=architecture == "qwen3",
            qkv_bias=bias or architecture == "qwen2",
            output_bias=bias and architecture != "qwen2",
            max_positions=fields.get("max_position_embeddings", 2048),
        )
    except KeyError as missing:
        raise InputError(f"{source}: the field {missing} is missing") from None


def to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """Returns the fields of a `config.json` from which `from_huggingface` makes the same model."""
    names = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
    return {
        "architectures": [names[config.architecture]],
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
        "max_position_embeddings": config.max_positions,
    }


def _refuse_unsupported(fields: Mapping[str, Any], source: str) -> None:
    """Raises for every option that would silently change the function that the weights compute."""
    rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    checks = {
        f"hidden_act {fields.get('hidden_act')!r}": fields.get("hidden_act", "silu") not in ("silu", "swish"),
        f"rope scaling {rope_type!r}": rope_type != "default",
        "mlp_bias": bool(fields.get("mlp_bias")),
        "use_sliding_window": bool(fields.get("use_sliding_window")),
        "quantization_config": fields.get("quantization_config") is not None,
    }
    for name, present in checks.items():
        if present:
            raise InputError(f"{source}: {name} is not supported yet")
