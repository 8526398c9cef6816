"""The fields of `config.json`: which are read, which change nothing, and which must have one value;
everything else is refused."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from papo_jax.errors import InputError

_READ = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rms_norm_eps",
    "tie_word_embeddings",
    "max_position_embeddings",
)
_WINDOW = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")
_READ_BY = {
    "llama": ("attention_bias", "mlp_bias"),
    "mistral": ("sliding_window",),
    "qwen2": _WINDOW,
    "qwen3": ("attention_bias", *_WINDOW),
    "smollm3": ("attention_bias", "mlp_bias", "no_rope_layers", "no_rope_layer_interval", *_WINDOW),
}
# What a kind of rotary scaling may say, besides its kind and rope_theta.
ROPE = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "beta_fast",
        "beta_slow",
        "attention_factor",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
}
# The one value under which a field means what is computed here.
_ONLY = {
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
    "_name_or_path name_or_path architectures transformers_version torch_dtype dtype use_cache initializer_range pretraining_tp"
    " bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id tokenizer_class"
    " return_dict output_attentions output_hidden_states _attn_implementation _attn_implementation_autoset"
    " attn_implementation is_decoder problem_type id2label label2id finetuning_task prefix task_specific_params"
    " torchscript use_bfloat16 tf_legacy_loss return_dict_in_generate output_scores"
    " do_sample temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff max_length max_new_tokens min_length"
    " num_beams num_beam_groups num_return_sequences diversity_penalty length_penalty repetition_penalty"
    " encoder_no_repeat_ngram_size no_repeat_ngram_size bad_words_ids early_stopping remove_invalid_values"
    " exponential_decay_length_penalty suppress_tokens begin_suppress_tokens forced_bos_token_id forced_eos_token_id"
    " transformers.js_config is_llama_config unsloth_fixed unsloth_version".split()
)


def refuse_unsupported(fields: Mapping[str, Any], architecture: str, source: str) -> None:
    """Raises for every field that would silently change the function that the weights compute.

    Args:
      fields: of `config.json`.
      architecture: its model_type.
      source: the file, for messages.

    Raises:
      InputError: names the field.
    """
    for name, value in fields.items():
        if name in _READ or name in _READ_BY[architecture] or name in _INERT:
            continue
        if name not in _ONLY:
            raise InputError(
                f"{source}: the field {name!r} ({value!r:.60}) is not known; if it changes nothing for {architecture}, take it out"
            )
        if value not in _ONLY[name]:
            only = (
                " or ".join(repr(option) for option in _ONLY[name] if option is not None)
                or "absent"
            )
            raise InputError(
                f"{source}: {name} = {value!r:.60} is not supported for {architecture}; it must be {only}"
            )


class Fields(NamedTuple):
    """A JSON object whose values are read by type; a null counts as absent."""

    fields: Mapping[str, Any]
    source: str

    def integer(self, name: str, *default: int | None, least: int = 1) -> int | None:
        """Returns a whole number of at least `least`, or the default, without which the field must
        be there."""

        def fits(value):
            return type(value) is int and value >= least

        return self._read(name, default, fits, f"a whole number of at least {least}")

    def real(self, name: str, *default: float) -> float:
        """Returns a finite number above 0."""

        def fits(value):
            return type(value) in (int, float) and 0 < value < math.inf

        return float(self._read(name, default, fits, "a number above 0"))

    def flag(self, name: str, default: bool = False) -> bool:
        """Returns true or false."""
        return self._read(name, (default,), lambda value: type(value) is bool, "true or false")

    def section(self, name: str) -> "Fields | None":
        """Returns the object of that name, or None."""
        found = self._read(name, (None,), lambda value: isinstance(value, dict), "an object")
        return Fields(found, f"{self.source}, {name}") if found else None

    def _read(self, name, default, fits, wanted):
        value = self.fields.get(name)
        if value is None:
            if not default:
                raise InputError(f"{self.source}: the field {name!r} is missing")
            return default[0]
        if not fits(value):
            raise InputError(
                f"{self.source}: the field {name!r} is {value!r:.60}; it must be {wanted}"
            )
        return value


def yarn_magnitude(rope: Fields, factor: float) -> float:
    """Returns the factor on cosine and sine where yarn's fields do not give it: 1 + m log(factor) /
    10."""

    def of(scale):
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    scale, all_dimensions = rope.fields.get("mscale"), rope.fields.get("mscale_all_dim")
    return (
        of(rope.real("mscale")) / of(rope.real("mscale_all_dim"))
        if scale and all_dimensions
        else of(1.0)
    )
