"""Fields of Hugging Face's `config.json`: those read, those without effect, those of one value.

Every other field is refused.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from papo_jax.errors import InputError

_READ = frozenset(
    """
    model_type vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads
    head_dim intermediate_size rope_theta rope_scaling rope_parameters rms_norm_eps
    tie_word_embeddings max_position_embeddings
    """.split()
)
_WINDOW_FIELDS = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")
_READ_BY_ARCHITECTURE = {
    "llama": ("attention_bias", "mlp_bias"),
    "mistral": ("sliding_window",),
    "qwen2": _WINDOW_FIELDS,
    "qwen3": ("attention_bias", *_WINDOW_FIELDS),
    "smollm3": (
        *("attention_bias", "mlp_bias", "no_rope_layers", "no_rope_layer_interval"),
        *_WINDOW_FIELDS,
    ),
}
# Field -> its only values under which the decoder here computes the same.
_ALLOWED_VALUES = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "use_sliding_window": (False, None),
    "sliding_window": (None,),
    "attention_dropout": (0, None),
    "hidden_dropout": (0, None),
    "resid_pdrop": (0, None),
    "partial_rotary_factor": (1, None),
    "rope_interleaved": (False, None),
    "use_mrope": (False, None),
    "use_qk_norm": (False, None),
    "quantization_config": (None,),
    "auto_map": (None,),
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "tie_encoder_decoder": (False, None),
    "chunk_size_feed_forward": (0, None),
    "pruned_heads": ({}, None),
}
# No number of the forward pass depends on these: names, token ids, training's first draw, and
# defaults of generation.
_INERT = frozenset(
    """
    _name_or_path name_or_path architectures transformers_version torch_dtype dtype use_cache
    initializer_range pretraining_tp bos_token_id eos_token_id pad_token_id sep_token_id
    decoder_start_token_id tokenizer_class return_dict output_attentions output_hidden_states
    _attn_implementation _attn_implementation_autoset attn_implementation is_decoder
    problem_type id2label label2id finetuning_task prefix task_specific_params torchscript
    use_bfloat16 tf_legacy_loss return_dict_in_generate output_scores do_sample temperature
    top_k top_p min_p typical_p epsilon_cutoff eta_cutoff max_length max_new_tokens min_length
    num_beams num_beam_groups num_return_sequences diversity_penalty length_penalty
    repetition_penalty encoder_no_repeat_ngram_size no_repeat_ngram_size bad_words_ids
    early_stopping remove_invalid_values exponential_decay_length_penalty suppress_tokens
    begin_suppress_tokens forced_bos_token_id forced_eos_token_id transformers.js_config
    is_llama_config unsloth_fixed unsloth_version
    """.split()
)


def refuse_unsupported(fields: Mapping[str, Any], architecture: str, label: str) -> None:
    """Raises for each field that would silently change the function that the weights compute.

    Args:
      fields: of `config.json`.
      architecture: its model_type.
      label: the file, for messages.

    Raises:
      InputError: names the field.
    """
    supported = _READ | _INERT | {*_READ_BY_ARCHITECTURE[architecture]}
    for name, value in fields.items():
        if name in supported:
            continue
        if name not in _ALLOWED_VALUES:
            raise InputError(
                f"{label}: the field {name!r} ({value!r:.60}) is not known; if it changes nothing"
                f" for {architecture}, take it out"
            )
        if value not in _ALLOWED_VALUES[name]:
            options = [repr(option) for option in _ALLOWED_VALUES[name] if option is not None]
            raise InputError(
                f"{label}: {name} = {value!r:.60} is not supported for {architecture}; it must be"
                f" {' or '.join(options) or 'absent'}"
            )


_MOST = 2**31  # sizes and positions are 32-bit integers on the devices


class FieldReader(NamedTuple):
    """A JSON object whose values are read by type; a null counts as absent.

    Attributes:
      fields: the object.
      label: of the object, for messages.
    """

    fields: Mapping[str, Any]
    label: str

    def read_integer(self, name: str, *default: int | None, least: int = 1) -> Any:
        """Returns a whole number from `least` to 2^31 - 1, or the default.

        Without a default the field must be there.
        """

        def is_valid(value):
            return type(value) is int and least <= value < _MOST

        return self._read_field(
            name, default, is_valid, expected=f"a whole number of at least {least}, below 2^31"
        )

    def read_real(self, name: str, *default: float) -> float:
        """Returns a finite number above 0, or the default."""

        def is_valid(value):
            return type(value) in (int, float) and 0 < value <= sys.float_info.max

        return float(self._read_field(name, default, is_valid, expected="a number above 0"))

    def read_flag(self, name: str, default: bool = False) -> bool:
        """Returns true or false."""

        def is_valid(value):
            return type(value) is bool

        return self._read_field(name, (default,), is_valid, expected="true or false")

    def read_section(self, name: str) -> "FieldReader | None":
        """Returns the reader of the object of that name, or None."""

        def is_valid(value):
            return isinstance(value, dict)

        section = self._read_field(name, (None,), is_valid, expected="an object")
        return FieldReader(section, f"{self.label}, {name}") if section else None

    def _read_field(
        self, name: str, default: tuple, is_valid: Callable[[Any], bool], *, expected: str
    ) -> Any:
        value = self.fields.get(name)
        if value is None:
            if not default:
                raise InputError(f"{self.label}: the field {name!r} is missing")
            return default[0]
        if not is_valid(value):
            raise InputError(
                f"{self.label}: the field {name!r} is {value!r:.60}; it must be {expected}"
            )
        return value
