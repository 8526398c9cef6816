"""`config.json`: what it means, what is refused by name, and known rotary frequencies."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from papo_jax.errors import InputError
from papo_jax.models import rope
from papo_jax.models.formats.hf_config import ARCHITECTURES, make_hf_config, parse_hf_config
from papo_jax.models.model_config import ModelConfig, RopeScaling
from papo_jax.models.policy import make_abstract_model
from papo_jax.models.transformer import place_tokens

BASE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def parse_changed(architecture="llama", **fields) -> ModelConfig:
    return parse_hf_config({"model_type": architecture, **BASE, **fields})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_families(architecture):
    made = parse_changed(architecture)
    assert (made.qk_norm, made.qkv_bias) == (architecture == "qwen3", architecture == "qwen2")
    # Mistral's default, as in transformers.
    assert made.window == (4096 if architecture == "mistral" else None)
    assert made.rotated == ((True, True, True, False) if architecture == "smollm3" else ())
    assert made.tied == (architecture == "smollm3") and made.head_dim == 8
    assert made.rope_theta == (2e6 if architecture == "smollm3" else 1e4)


FIELDS = {
    "head_dim": ("llama", {"head_dim": 12}, {"head_dim": 12}),
    "biases": (
        "llama",
        {"attention_bias": True, "mlp_bias": True},
        {"qkv_bias": True, "output_bias": True, "mlp_bias": True},
    ),
    "rope_theta beside": ("qwen3", {"rope_theta": 5e5}, {"rope_theta": 5e5}),
    "rope_theta inside": (
        "qwen3",
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        {"rope_theta": 5e5},
    ),
    "linear": (
        "llama",
        {"rope_scaling": {"type": "linear", "factor": 2}},
        {"rope_scaling": RopeScaling("linear", 2.0)},
    ),
    "llama3": (
        "llama",
        {"rope_scaling": LLAMA3},
        {"rope_scaling": RopeScaling("llama3", 32.0, 8192, 1.0, 4.0)},
    ),
    # 0.1 log 4 + 1 = 1.138629
    "yarn": (
        "qwen2",
        {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
        {"rope_scaling": RopeScaling("yarn", 4.0, 64, magnitude=0.1 * math.log(4.0) + 1.0)},
    ),
    "yarn by lengths": (
        "qwen2",
        {
            "rope_scaling": {
                "rope_type": "yarn",
                "original_max_position_embeddings": 64,
                "attention_factor": 1.5,
            }
        },
        {"rope_scaling": RopeScaling("yarn", 4.0, 64, magnitude=1.5)},
    ),
    # (0.1 x 2 log 4 + 1) / (0.1 log 4 + 1)
    "yarn by scales": (
        "llama",
        {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 64,
                "mscale": 2.0,
                "mscale_all_dim": 1.0,
                "beta_fast": 16,
                "beta_slow": 2,
                "truncate": False,
            }
        },
        {
            "rope_scaling": RopeScaling(
                "yarn",
                4.0,
                64,
                fast_turns=16.0,
                slow_turns=2.0,
                whole_numbers=False,
                magnitude=(0.2 * math.log(4.0) + 1) / (0.1 * math.log(4.0) + 1),
            )
        },
    ),
    "window of all": ("mistral", {"sliding_window": 7}, {"window": 7, "windowed": ()}),
    "no window": ("mistral", {"sliding_window": None}, {"window": None}),
    "window not used": (
        "qwen2",
        {"sliding_window": 7, "use_sliding_window": False, "max_window_layers": 2},
        {"window": None},
    ),
    "window of the last": (
        "qwen2",
        {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 3},
        {"window": 7, "windowed": (False, False, False, True)},
    ),
    "layer types": (
        "qwen3",
        {
            "sliding_window": 7,
            "use_sliding_window": True,
            "layer_types": ["sliding_attention"] * 2 + ["full_attention"] * 2,
        },
        {"window": 7, "windowed": (True, True, False, False)},
    ),
    "window where nothing rotates": (
        "smollm3",
        {"sliding_window": 7, "use_sliding_window": True, "no_rope_layers": [1, 0, 1, 0]},
        {
            "window": 7,
            "windowed": (False, True, False, True),
            "rotated": (True, False, True, False),
        },
    ),
    "window by default": (
        "qwen2",
        {"use_sliding_window": True, "max_window_layers": 0},
        {"window": 4096, "windowed": ()},
    ),
    "interval": ("smollm3", {"no_rope_layer_interval": 2}, {"rotated": (True, False, True, False)}),
}


@pytest.mark.parametrize("architecture, fields, expected", FIELDS.values(), ids=FIELDS.keys())
def test_fields(architecture, fields, expected):
    made = parse_changed(architecture, **fields)
    assert made == dataclasses.replace(
        parse_changed(
            architecture, **({"sliding_window": None} if architecture == "mistral" else {})
        ),
        **expected,
    )
    assert parse_hf_config(make_hf_config(made)) == made


REFUSED = {
    "unknown architecture": ({"model_type": "gpt2"}, "model_type 'gpt2'"),
    "mixture of experts": ({"model_type": "qwen3_moe"}, "model_type 'qwen3_moe'"),
    "unknown field": ({"attention_sinks": 4}, "the field 'attention_sinks'"),
    "soft cap": ({"final_logit_softcapping": 30.0}, "'final_logit_softcapping'"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
    "dropout": ({"attention_dropout": 0.1}, "attention_dropout = 0.1"),
    "part of a head": ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
    "part of a head, inside": (
        {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "partial_rotary_factor": 0.5}},
        "'partial_rotary_factor'",
    ),
    "rope kind": (
        {"rope_scaling": {"rope_type": "longrope", "short_factor": [1]}},
        "rope_type 'longrope'",
    ),
    "rope field": (
        {
            "rope_scaling": {
                "rope_type": "linear",
                "factor": 2.0,
                "original_max_position_embeddings": 4,
            }
        },
        "'original_max_position_embeddings'",
    ),
    "rope field without a kind": (
        {"rope_parameters": {"rope_theta": 1e4, "factor": 2.0}},
        "'factor' of rope_type 'default'",
    ),
    "part of a head, no scaling": (
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        "'partial_rotary_factor'",
    ),
    "rope for each kind of layer": (
        {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 2.0}}},
        "'full_attention'",
    ),
    "two ropes": (
        {
            "rope_parameters": {"rope_type": "linear", "factor": 2.0},
            "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        },
        "say different things",
    ),
    "kinds that are no text": ({"rope_scaling": {"rope_type": ["linear"]}}, "rope_type ['linear']"),
    "architecture that is no text": ({"model_type": ["llama"]}, "model_type ['llama']"),
    "no layer type": ({"model_type": "qwen2", "layer_types": []}, "'layer_types'"),
    "layer types that would be all": (
        {
            "model_type": "qwen2",
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["sliding_attention"],
        },
        "for each of 4 layers",
    ),
    "layer type that is no text": (
        {"model_type": "qwen2", "layer_types": [["x"]] * 4},
        "'layer_types'",
    ),
    "heads of no size": (
        {"hidden_size": 2, "num_attention_heads": 4},
        "no multiple of 4 attention heads",
    ),
    "long list": ({"model_type": "smollm3", "no_rope_layers": [1] * 5}, "'no_rope_layers'"),
    "rope factor missing": ({"rope_scaling": {"rope_type": "linear"}}, "'factor' is missing"),
    "quantized": ({"quantization_config": {"bits": 4}}, "quantization_config"),
    "code": ({"auto_map": {"AutoModel": "code.Model"}}, "auto_map"),
    "window of another family": ({"use_sliding_window": True}, "use_sliding_window = True"),
    "layer types of another family": ({"layer_types": ["full_attention"]}, "'layer_types'"),
    "layer type": (
        {"model_type": "qwen3", "layer_types": ["chunked_attention"] * 4},
        "'layer_types'",
    ),
    "layer types too few": (
        {
            "model_type": "qwen3",
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "for each of 4 layers",
    ),
    "text for a number": (
        {"hidden_size": "32"},
        "'hidden_size' is '32'; it must be a whole number of at least 1",
    ),
    "zero": ({"num_hidden_layers": 0}, "'num_hidden_layers' is 0"),
    "not a number": ({"rms_norm_eps": float("nan")}, "'rms_norm_eps'"),
    "number for a flag": ({"tie_word_embeddings": 1}, "true or false"),
    "missing": ({"intermediate_size": None}, "'intermediate_size' is missing"),
    "odd": ({"head_dim": 5}, "head_dim 5 is odd"),
    "heads": ({"num_key_value_heads": 3}, "no multiple of 3"),
    "bias of another family": (
        {"model_type": "mistral", "attention_bias": True},
        "attention_bias = True",
    ),
    "short list": ({"model_type": "smollm3", "no_rope_layers": [1]}, "'no_rope_layers'"),
}


@pytest.mark.parametrize("fields, said", REFUSED.values(), ids=REFUSED.keys())
def test_refused_by_name_in_one_line(fields, said):
    with pytest.raises(InputError) as raised:
        parse_hf_config({"model_type": "llama", **BASE, **fields})
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_what_changes_nothing_is_let_through():
    inert = {
        "architectures": ["LlamaForCausalLM"],
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "bos_token_id": 1,
        "transformers_version": "5",
        "attention_dropout": 0.0,
        "pretraining_tp": 1,
        "hidden_act": "silu",
        "rope_scaling": None,
        "_name_or_path": "x",
    }
    assert parse_changed(**inert) == parse_changed()


def test_frequencies_of_llama3_by_hand():
    # theta 10000, head_dim 8: f = 1, 0.1, 0.01, 0.001. Within 1,000 positions they turn 159, 15.9,
    # 1.59 and 0.159 times. With slow_factor 1 and fast_factor 4: the first two stay, the last is
    # divided by 8, and the third, at s = (1.5915 - 1) / 3 = 0.19718, becomes
    # 0.01 ((1 - s) / 8 + s) = 0.0029754.
    got = rope.rotary_frequencies(
        8, 1e4, RopeScaling("llama3", 8.0, 1000, slow_factor=1.0, fast_factor=4.0)
    )
    np.testing.assert_allclose(got, [1.0, 0.1, 0.0029754, 0.000125], rtol=1e-4)


def test_frequencies_of_yarn_by_hand():
    # Pair d turns original / (2 pi) theta^(-2 d / 8) times:
    # d(turns) = 8 log(1000 / (2 pi turns)) / (2 log 10000).
    # d(32) = 0.6967 and d(1) = 2.2018: the ramp runs from 0 to 3, so pairs 0 to 3 are stretched by
    # 0, 1/3, 2/3 and 1.
    got = rope.rotary_frequencies(8, 1e4, RopeScaling("yarn", 4.0, 1000))
    kept = np.array([0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(got, [1, 0.1, 0.01, 0.001] * (1 - kept + kept / 4), rtol=1e-5)
    # Not rounded to whole pairs, the ramp runs from 0.6967 to 2.2018.
    ramp = np.clip((np.arange(4) - 0.69667) / (2.20182 - 0.69667), 0, 1)
    exact = rope.rotary_frequencies(8, 1e4, RopeScaling("yarn", 4.0, 1000, whole_numbers=False))
    np.testing.assert_allclose(exact, [1, 0.1, 0.01, 0.001] * (1 - ramp + ramp / 4), rtol=1e-4)


def test_magnitude_scales_cosine_and_sine():
    config = dataclasses.replace(
        parse_changed("llama"), rope_scaling=RopeScaling("yarn", 4.0, 64, magnitude=1.5)
    )
    graph, shapes = make_abstract_model(config)
    model = nnx.merge(graph, shapes)
    places = place_tokens(jnp.ones((1, 3), bool))
    context = model._make_contexts(places, places)({})
    np.testing.assert_allclose(context.cosine**2 + context.sine**2, 1.5**2, rtol=1e-6)
