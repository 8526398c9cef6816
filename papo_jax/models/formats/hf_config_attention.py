"""Rotary scaling, sliding windows and differences between layers in `config.json`."""

import math
from typing import Any

from papo_jax.errors import InputError
from papo_jax.models.formats.hf_config_fields import FieldReader
from papo_jax.models.model_config import ModelConfig, RopeScaling

_DEFAULT_THETA = {"smollm3": 2000000.0}  # where config.json has none; 10000 for the others
_FULL, _SLIDING = "full_attention", "sliding_attention"
# Kind of rotary scaling -> its fields, besides its kind and rope_theta.
_ROPE_FIELDS = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": (
        *("factor", "original_max_position_embeddings", "beta_fast", "beta_slow"),
        *("attention_factor", "mscale", "mscale_all_dim", "truncate"),
    ),
}


def make_attention_fields(config: ModelConfig) -> dict[str, Any]:
    """Returns the fields of scaling, windows and layers, for `hf_config.make_hf_config`."""
    fields = {}
    if config.rope_scaling:
        fields["rope_scaling"] = _make_scaling_fields(config.rope_scaling)
    if config.architecture == "smollm3":
        rotated = config.rotated or (True,) * config.layers
        fields["no_rope_layers"] = [int(rotates) for rotates in rotated]
    if config.architecture == "mistral":
        fields["sliding_window"] = config.window
    elif config.window:
        windowed = config.windowed or (True,) * config.layers
        fields |= {
            "use_sliding_window": True,
            "sliding_window": config.window,
            "layer_types": [_SLIDING if slides else _FULL for slides in windowed],
        }
    return fields


def read_rope_theta(reader: FieldReader, architecture: str) -> float:
    """Reads the base of the rotary frequencies."""
    default = _DEFAULT_THETA.get(architecture, 10000.0)
    return _rope_section(reader).read_real("rope_theta", reader.read_real("rope_theta", default))


def read_rope_scaling(reader: FieldReader) -> RopeScaling | None:
    """Reads the scaling of the rotary frequencies, None if there is none."""
    rope = _rope_section(reader)
    kind = _check_rope_kind(rope)
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling(kind, rope.read_real("factor"))

    max_positions = reader.read_integer("max_position_embeddings", 2048)
    original = rope.read_integer("original_max_position_embeddings", max_positions)
    if kind == "llama3":
        slow, fast = rope.read_real("low_freq_factor"), rope.read_real("high_freq_factor")
        factor = rope.read_real("factor")
        return RopeScaling(kind, factor, original, slow_factor=slow, fast_factor=fast)

    factor = rope.read_real("factor", max_positions / original)
    return RopeScaling(
        kind,
        factor,
        original,
        fast_turns=rope.read_real("beta_fast", 32.0),
        slow_turns=rope.read_real("beta_slow", 1.0),
        whole_numbers=rope.read_flag("truncate", True),
        magnitude=rope.read_real("attention_factor", _default_yarn_magnitude(rope, factor)),
    )


def _rope_section(reader: FieldReader) -> FieldReader:
    """Returns the reader of the rotary fields, wherever this version of transformers put them."""
    sections = [
        section
        for name in ("rope_parameters", "rope_scaling")
        if (section := reader.read_section(name))
    ]
    if len(sections) == 2 and sections[0].fields != sections[1].fields:
        raise InputError(
            f"{reader.label}: rope_parameters and rope_scaling say different things; take one of"
            " them out"
        )
    return sections[0] if sections else FieldReader({}, reader.label)


def _check_rope_kind(rope: FieldReader) -> str:
    """Returns the kind of rotary scaling; raises if it or one of its fields is not known."""
    kind = rope.fields.get("rope_type", rope.fields.get("type", "default"))
    known = isinstance(kind, str) and kind in _ROPE_FIELDS
    allowed = {"rope_type", "type", "rope_theta", *(_ROPE_FIELDS[kind] if known else ())}
    unknown = sorted(
        name for name, value in rope.fields.items() if name not in allowed and value is not None
    )
    if not known or unknown:
        refused = f"the rope_type {kind!r}"
        if known:
            refused = f"the field {unknown[0]!r} of rope_type {kind!r}"
        raise InputError(
            f"{rope.label}: {refused} is not supported; rope_type can be {', '.join(_ROPE_FIELDS)}"
        )
    return kind


def _default_yarn_magnitude(rope: FieldReader, factor: float) -> float:
    """Returns yarn's factor on cosine and sine without its field: 1 + m log(factor) / 10."""

    def magnitude_at(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    if rope.fields.get("mscale") and rope.fields.get("mscale_all_dim"):
        return magnitude_at(rope.read_real("mscale")) / magnitude_at(
            rope.read_real("mscale_all_dim")
        )
    return magnitude_at(1.0)


def _make_scaling_fields(scaling: RopeScaling) -> dict[str, Any]:
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


def read_window(
    reader: FieldReader, architecture: str, layers: int
) -> tuple[int | None, tuple[bool, ...]]:
    """Reads the sliding window: (its size or None, its layers or () for all)."""
    if architecture == "mistral":
        return _read_window_size(reader, architecture), ()

    uses_window = reader.read_flag("use_sliding_window")
    window = _read_window_size(reader, architecture) if uses_window else None
    kinds = reader.fields.get("layer_types")
    if kinds is None:
        kinds = [
            _SLIDING if window and _is_windowed(reader, architecture, layer) else _FULL
            for layer in range(layers)
        ]
    allowed = (_FULL, _SLIDING) if window else (_FULL,)
    if (
        not isinstance(kinds, list)
        or len(kinds) != layers
        or any(kind not in allowed for kind in kinds)
    ):
        raise InputError(
            f"{reader.label}: the field 'layer_types' must say {_FULL} or, with use_sliding_window"
            f" and a sliding_window, {_SLIDING} for each of {layers} layers; not {kinds!r:.80}"
        )

    windowed = tuple(kind == _SLIDING for kind in kinds)
    if not any(windowed):
        return None, ()
    return window, () if all(windowed) else windowed


def _read_window_size(reader: FieldReader, architecture: str) -> int | None:
    """Reads the size of the window; null is none.

    Where the field is absent each family of transformers has its own default.
    """
    has_none = "sliding_window" in reader.fields or architecture == "smollm3"
    return reader.read_integer("sliding_window", None if has_none else 4096)


def _is_windowed(reader: FieldReader, architecture: str, layer: int) -> bool:
    """Applies the rule of each family where `layer_types` is not written out."""
    if architecture == "smollm3":
        return not _is_rotated(reader, layer)
    return layer >= reader.read_integer("max_window_layers", 28, least=0)


def read_rotated_layers(reader: FieldReader, architecture: str, layers: int) -> tuple[bool, ...]:
    """Reads for each layer whether it rotates queries and keys; () if all do."""
    if architecture != "smollm3":
        return ()
    # 1 where a layer does rotate, whatever the field's name says.
    listed = reader.fields.get("no_rope_layers")
    if listed is not None and not (
        isinstance(listed, list) and len(listed) == layers and set(map(str, listed)) <= {"0", "1"}
    ):
        raise InputError(
            f"{reader.label}: the field 'no_rope_layers' must list a 0 or a 1 for every layer,"
            f" not {listed!r:.80}"
        )
    rotated = tuple(_is_rotated(reader, layer) for layer in range(layers))
    return () if all(rotated) else rotated


def _is_rotated(reader: FieldReader, layer: int) -> bool:
    listed = reader.fields.get("no_rope_layers")
    if listed is not None:
        return bool(listed[layer])
    return bool((layer + 1) % reader.read_integer("no_rope_layer_interval", 4))
