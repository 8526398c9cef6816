"""Hugging Face's `config.json`, read strictly and written: a field that would change the model is
never passed over."""

from collections.abc import Mapping
from typing import Any

from papo_jax.errors import InputError
from papo_jax.models.config import ModelConfig, RopeScaling
from papo_jax.models.formats import hf_config_fields
from papo_jax.models.formats.hf_config_fields import Fields

CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
ARCHITECTURES = tuple(CLASSES)
_THETA = {"smollm3": 2000000.0}  # where config.json does not say
_WINDOWED = "sliding_attention"


def from_huggingface(fields: Mapping[str, Any], *, source: str = "config.json") -> ModelConfig:
    """Reads the fields of a Hugging Face `config.json`.

    Args:
      fields: the parsed file.
      source: its name, for messages.

    Returns:
      The `ModelConfig`.

    Raises:
      InputError: if the architecture, a field or its value is not supported, or a field is missing
        or of a wrong type.

    >>> from_huggingface(
    ...     dict(
    ...         model_type="qwen3",
    ...         vocab_size=8,
    ...         hidden_size=4,
    ...         num_hidden_layers=1,
    ...         num_attention_heads=2,
    ...         intermediate_size=8,
    ...     )
    ... ).qk_norm
    True
    """
    architecture = fields.get("model_type")
    if not isinstance(architecture, str) or architecture not in CLASSES:
        raise InputError(
            f"{source}: model_type {architecture!r} is not supported; it must be one of {', '.join(CLASSES)}"
        )
    hf_config_fields.refuse_unsupported(fields, architecture, source)
    read = Fields(fields, source)
    heads, layers, width = (
        read.integer(name) for name in ("num_attention_heads", "num_hidden_layers", "hidden_size")
    )
    if read.integer("head_dim", None) is None and width % heads:
        raise InputError(
            f"{source}: hidden_size {width} is no multiple of {heads} attention heads, and head_dim is missing"
        )
    bias = read.flag("attention_bias")
    rotated = _rotated(read, architecture, layers)
    window, windowed = _windows(read, architecture, layers)
    return ModelConfig(
        architecture=architecture,
        vocabulary_size=read.integer("vocab_size"),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=read.integer("num_key_value_heads", heads),
        head_dim=read.integer("head_dim", width // heads),
        mlp_width=read.integer("intermediate_size"),
        rope_theta=_rope(read).real(
            "rope_theta", read.real("rope_theta", _THETA.get(architecture, 10000.0))
        ),
        rope_scaling=_scaling(read),
        rotated=rotated,
        window=window,
        windowed=windowed,
        norm_epsilon=read.real("rms_norm_eps", 1e-6),
        tied=read.flag("tie_word_embeddings", architecture == "smollm3"),
        qk_norm=architecture == "qwen3",
        qkv_bias=bias or architecture == "qwen2",
        output_bias=bias,
        mlp_bias=read.flag("mlp_bias"),
        max_positions=read.integer("max_position_embeddings", 2048),
    )


def to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """Returns the fields of a `config.json` from which `from_huggingface` makes the same model.

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
    if config.rope_scaling:
        fields["rope_scaling"] = _scaling_fields(config.rope_scaling)
    if config.architecture == "smollm3":
        fields["no_rope_layers"] = [
            int(rotated) for rotated in config.rotated or (True,) * config.layers
        ]
    if config.architecture == "mistral":
        fields["sliding_window"] = config.window
    elif config.window:
        kinds = config.windowed or (True,) * config.layers
        fields |= {
            "use_sliding_window": True,
            "sliding_window": config.window,
            "layer_types": [_WINDOWED if windowed else "full_attention" for windowed in kinds],
        }
    return fields


def _rope(read: Fields) -> Fields:
    """The rotary fields, wherever this version of transformers put them."""
    sections = [
        section for name in ("rope_parameters", "rope_scaling") if (section := read.section(name))
    ]
    if len(sections) == 2 and sections[0].fields != sections[1].fields:
        raise InputError(
            f"{read.source}: rope_parameters and rope_scaling say different things; take one of them out"
        )
    return sections[0] if sections else Fields({}, read.source)


def _scaling(read: Fields) -> RopeScaling | None:
    rope = _rope(read)
    kind = rope.fields.get("rope_type", rope.fields.get("type", "default"))
    known = isinstance(kind, str) and kind in hf_config_fields.ROPE
    allowed = {"rope_type", "type", "rope_theta", *(hf_config_fields.ROPE[kind] if known else ())}
    unknown = sorted(
        name for name, value in rope.fields.items() if name not in allowed and value is not None
    )
    if not known or unknown:
        what = (
            f"the field {unknown[0]!r} of rope_type {kind!r}"
            if known
            else f"the rope_type {kind!r}"
        )
        raise InputError(
            f"{read.source}: {what} is not supported; rope_type can be {', '.join(hf_config_fields.ROPE)}"
        )
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling(kind, rope.real("factor"))
    pretrained = rope.integer(
        "original_max_position_embeddings", read.integer("max_position_embeddings", 2048)
    )
    if kind == "llama3":
        slow, fast = rope.real("low_freq_factor"), rope.real("high_freq_factor")
        return RopeScaling(
            kind, rope.real("factor"), pretrained, slow_factor=slow, fast_factor=fast
        )
    factor = rope.real("factor", read.integer("max_position_embeddings", 2048) / pretrained)
    return RopeScaling(
        kind,
        factor,
        pretrained,
        fast_turns=rope.real("beta_fast", 32.0),
        slow_turns=rope.real("beta_slow", 1.0),
        whole_numbers=rope.flag("truncate", True),
        magnitude=rope.real("attention_factor", hf_config_fields.yarn_magnitude(rope, factor)),
    )


def _scaling_fields(scaling: RopeScaling) -> dict[str, Any]:
    fields = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind != "linear":
        fields["original_max_position_embeddings"] = scaling.original_positions
    if scaling.kind == "llama3":
        fields |= {"low_freq_factor": scaling.slow_factor, "high_freq_factor": scaling.fast_factor}
    if scaling.kind == "yarn":
        fields |= {
            "beta_fast": scaling.fast_turns,
            "beta_slow": scaling.slow_turns,
            "attention_factor": scaling.magnitude,
            "truncate": scaling.whole_numbers,
        }
    return fields


def _windows(read: Fields, architecture: str, layers: int) -> tuple[int | None, tuple[bool, ...]]:
    """(the window or None, which layers it applies to or () for all)."""
    if architecture == "mistral":
        return _window(read, architecture), ()
    kinds = read.fields.get("layer_types")
    window = _window(read, architecture) if read.flag("use_sliding_window") else None
    if kinds is None:
        kinds = [
            _WINDOWED if window and _is_windowed(read, architecture, n) else "full_attention"
            for n in range(layers)
        ]
    allowed = ("full_attention", _WINDOWED) if window else ("full_attention",)
    if (
        not isinstance(kinds, list)
        or len(kinds) != layers
        or any(kind not in allowed for kind in kinds)
    ):
        raise InputError(
            f"{read.source}: the field 'layer_types' must say full_attention or, with use_sliding_window and a"
            f" sliding_window, {_WINDOWED} for each of {layers} layers; not {kinds!r:.80}"
        )
    windowed = tuple(kind == _WINDOWED for kind in kinds)
    return (window, () if all(windowed) else windowed) if any(windowed) else (None, ())


def _window(read: Fields, architecture: str) -> int | None:
    """A window of null is none; where the field is absent each family of transformers has its own
    default."""
    return read.integer(
        "sliding_window",
        None if "sliding_window" in read.fields or architecture == "smollm3" else 4096,
    )


def _is_windowed(read: Fields, architecture: str, layer: int) -> bool:
    """The rule of each family where `layer_types` is not written out."""
    if architecture == "smollm3":
        return not _rotates(read, layer)
    return layer >= read.integer("max_window_layers", 28, least=0)


def _rotated(read: Fields, architecture: str, layers: int) -> tuple[bool, ...]:
    if architecture != "smollm3":
        return ()
    listed = read.fields.get(
        "no_rope_layers"
    )  # 1 where a layer does rotate, whatever its name says
    if listed is not None and not (
        isinstance(listed, list) and len(listed) == layers and set(map(str, listed)) <= {"0", "1"}
    ):
        raise InputError(
            f"{read.source}: the field 'no_rope_layers' must list a 0 or a 1 for every layer, not {listed!r:.80}"
        )
    rotated = tuple(_rotates(read, layer) for layer in range(layers))
    return () if all(rotated) else rotated


def _rotates(read: Fields, layer: int) -> bool:
    listed = read.fields.get("no_rope_layers")
    return bool(
        listed[layer]
        if listed is not None
        else (layer + 1) % read.integer("no_rope_layer_interval", 4)
    )
