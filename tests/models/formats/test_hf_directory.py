"""Hugging Face directories: written and read back bit for bit; wrong ones refused in one line."""

import dataclasses
import functools
import itertools
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import models as backends
from transformers import PreTrainedTokenizerFast

from papo_jax import models
from papo_jax.errors import InputError
from papo_jax.models.formats import hf_directory
from papo_jax.models.formats.hf_config import make_hf_config, parse_hf_config
from papo_jax.models.model_config import ModelConfig
from papo_jax.models.policy import Policy, make_abstract_model
from tests.support.seeds import make_rng

SHAPE = dict(
    vocabulary_size=12,
    width=8,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=6,
    mlp_width=16,
    max_positions=32,
)


def edit_json(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def make_tokenizer(entries=10):
    words = {word: index for index, word in enumerate(["<end>", *"abcdefghijklmnop"][:entries])}
    backend = Tokenizer(backends.WordLevel(words, unk_token="<end>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", padding_side="left")


def make_policy(config, entries=10):
    """A policy whose weights all differ, biases and norms too."""
    graph, shapes = make_abstract_model(config)
    rng = make_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    return Policy(
        config=config,
        graph=graph,
        params=params,
        tokenizer=make_tokenizer(entries),
        stop_tokens=(0, 3),
    )


def list_configs():
    for architecture, tied, bias in itertools.product(
        ("llama", "qwen2", "qwen3"), (False, True), (False, True)
    ):
        if architecture == "qwen2" and bias:
            continue  # Qwen 2 has no such option: biases on query, key and value alone, always
        yield ModelConfig(
            architecture,
            **SHAPE,
            rope_theta=5e5,
            norm_epsilon=1e-5,
            tied=tied,
            qk_norm=architecture == "qwen3",
            qkv_bias=bias or architecture == "qwen2",
            output_bias=bias,
        )


@pytest.mark.parametrize(
    "config",
    [*list_configs()],
    ids=lambda c: f"{c.architecture}-tied={c.tied}-bias={c.output_bias}",
)
def test_round_trip_is_exact(tmp_path, config):
    first, second = tmp_path / "first", tmp_path / "second"
    policy = make_policy(config)
    models.export(policy, first)
    edit_json(first / "config.json", bos_token_id=7, _name_or_path="elsewhere")
    edit_json(first / "generation_config.json", temperature=0.6)
    (first / "chat_template.jinja").write_text("{{ messages }}")
    loaded = models.load(str(first))
    models.export(loaded, second)
    assert loaded.config == config and loaded.stop_tokens == (0, 3)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, policy.params)
    assert sorted(file.name for file in first.iterdir()) == sorted(
        file.name for file in second.iterdir()
    )
    for file in first.iterdir():
        if file.name != "config.json":
            assert file.read_bytes() == (second / file.name).read_bytes(), file.name
    assert json.loads((first / "config.json").read_text()) == json.loads(
        (second / "config.json").read_text()
    )


@pytest.fixture
def exported(tmp_path):
    models.export(make_policy(next(list_configs())), tmp_path)
    return tmp_path


def test_names_and_layout_are_hugging_faces(exported):
    tensors = load_file(exported / "model.safetensors")
    params = make_policy(next(list_configs())).params
    query = params["blocks"]["attention"]["query"][1]  # [D, heads, head_dim]
    stored = tensors["model.layers.1.self_attn.q_proj.weight"]  # [heads head_dim, D]
    assert (
        stored.shape == (24, 8) and stored[7, 3] == query[3, 1, 1]
    )  # row 7 = head 1, coordinate 1
    output = params["blocks"]["attention"]["output"][0]  # [heads, head_dim, D]
    assert tensors["model.layers.0.self_attn.o_proj.weight"][5, 13] == output[2, 1, 5]
    assert len(tensors) == 3 + 2 * 9


def test_weights_in_bfloat16(exported, tmp_path):
    models.export(models.load(str(exported)), tmp_path / "half", dtype="bfloat16")
    half = models.load(str(tmp_path / "half"))
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "bfloat16"
    assert_close = functools.partial(np.testing.assert_allclose, rtol=2**-8)  # of 8 bits
    jax.tree.map(assert_close, half.params, make_policy(next(list_configs())).params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(half.params)} == {"float32"}


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 5e5},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        {"rope_parameters": {"rope_theta": 5e5}, "rope_theta": 1.0},
    ],
)
def test_both_spellings_of_the_rotary_base(rope):
    fields = {**make_hf_config(next(list_configs()))}
    del fields["rope_theta"]
    assert parse_hf_config({**fields, **rope}).rope_theta == 5e5


def test_defaults_of_config_json():
    needed = dict(
        vocab_size=8,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=8,
    )
    config = parse_hf_config({"model_type": "llama", **needed})
    assert (config.kv_heads, config.head_dim) == (3, 4)
    assert (config.rope_theta, config.tied) == (10000.0, False)
    assert parse_hf_config({"model_type": "qwen2", **needed}).qkv_bias
    assert (
        parse_hf_config({"model_type": "llama", **needed, "head_dim": None, "rope_scaling": None})
        == config
    )


def edit_config(directory, **changes):
    path = directory / "config.json"
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(
        json.dumps({name: value for name, value in fields.items() if value != "DELETE"})
    )


def edit_tensors(directory, **changes):
    path = directory / "model.safetensors"
    tensors = {
        **load_file(path),
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    save_file({name: value for name, value in tensors.items() if value is not None}, path)


def cut_file(path, end):
    path.write_bytes(path.read_bytes()[:end])


WRONG = {
    "no config.json": (lambda d: (d / "config.json").unlink(), "config.json does not exist"),
    "config.json no JSON": (
        lambda d: (d / "config.json").write_text("{"),
        "config.json is not valid JSON",
    ),
    "config.json a list": (
        lambda d: (d / "config.json").write_text("[]"),
        "must hold a JSON object",
    ),
    "no safetensors": (
        lambda d: (d / "model.safetensors").unlink(),
        "model.safetensors does not exist",
    ),
    "safetensors empty": (lambda d: cut_file(d / "model.safetensors", 0), "damaged or cut short"),
    "safetensors cut in its header": (
        lambda d: cut_file(d / "model.safetensors", 100),
        "damaged or cut short",
    ),
    "safetensors cut in its data": (
        lambda d: cut_file(d / "model.safetensors", -1),
        "damaged or cut short",
    ),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json does not exist"),
    "tokenizer damaged": (
        lambda d: cut_file(d / "tokenizer.json", 50),
        "tokenizer.json or a file beside it is damaged",
    ),
    "unknown architecture": (
        lambda d: edit_config(d, model_type="gemma"),
        "'gemma' is not supported.*llama.*qwen2, qwen3",
    ),
    "no architecture": (
        lambda d: edit_config(d, model_type="DELETE"),
        "model_type None is not supported",
    ),
    "a field missing": (
        lambda d: edit_config(d, hidden_size="DELETE"),
        "field 'hidden_size' is missing",
    ),
    "heads do not divide": (lambda d: edit_config(d, num_key_value_heads=3), "no multiple of 3"),
    "odd head": (lambda d: edit_config(d, head_dim=5), "head_dim 5 is odd"),
    "rope scaling": (
        lambda d: edit_config(d, rope_scaling={"rope_type": "dynamic"}),
        "'dynamic'.*is not supported",
    ),
    "other activation": (lambda d: edit_config(d, hidden_act="gelu"), "'gelu' is not supported"),
    "quantized": (
        lambda d: edit_config(d, quantization_config={"bits": 4}),
        "quantization_config.* is not supported",
    ),
    "wrong shape": (
        lambda d: edit_config(d, intermediate_size=10),
        r"has shape \(\d+, \d+\), the config asks for",
    ),
    "tensor missing": (
        lambda d: edit_tensors(d, model__layers__1__mlp__up_proj__weight=None),
        "model.layers.1.mlp.up_proj.weight is missing",
    ),
    "tensor left over": (
        lambda d: edit_tensors(
            d, model__layers__1__mlp__down_up_proj__weight=np.zeros((2, 2), np.float32)
        ),
        "1 tensors have no place.*layers.1.mlp.down_up_proj",
    ),
    "tokenizer too big": (
        lambda d: make_tokenizer(14).save_pretrained(d),
        "14 entries, more than the 12 rows",
    ),
    "generation config no JSON": (
        lambda d: (d / "generation_config.json").write_text("{"),
        "generation_config.json is not",
    ),
}


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_refused_in_one_line(exported, change, message):
    change(exported)
    with pytest.raises(InputError, match=message) as caught:
        models.load(str(exported))
    assert "\n" not in str(caught.value)


def test_a_place_or_dtype_that_is_none(tmp_path):
    with pytest.raises(
        InputError, match="neither a directory, a .gguf file nor one of the names tiny, smollm2"
    ):
        models.load(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="model.dtype is 'float64'"):
        models.load(str(tmp_path), dtype="float64")


def test_a_stored_copy_of_a_tied_head_is_no_error_and_another_head_is(tmp_path, monkeypatch):
    monkeypatch.setattr(hf_directory, "_COMPARED_ROWS", 5)  # of 12: compared in three pieces
    policy = make_policy(dataclasses.replace(next(list_configs()), tied=True))
    models.export(policy, tmp_path)
    head = np.array(policy.params["embedding"])
    edit_tensors(tmp_path, lm_head__weight=head)
    assert "unembedding" not in models.load(str(tmp_path)).params
    head[11, 3] += 1
    for other in (head, head[:, :4].copy()):
        edit_tensors(tmp_path, lm_head__weight=other)
        with pytest.raises(
            InputError, match="lm_head.weight differs from model.embed_tokens.weight"
        ):
            models.load(str(tmp_path))


def test_stop_tokens(exported):
    file = exported / "generation_config.json"
    file.write_text('{"eos_token_id": 5}')
    assert models.load(str(exported)).stop_tokens == (0, 5)
    file.unlink()
    assert models.load(str(exported)).stop_tokens == (0,)


def test_an_export_over_another_leaves_nothing_of_it(exported, tmp_path):
    (exported / "chat_template.jinja").write_text("{{ messages }}")
    (exported / "generation_config.json").write_text('{"eos_token_id": 5, "top_k": 3}')
    directory = tmp_path / "directory"
    models.export(models.load(str(exported)), directory)
    assert (directory / "generation_config.json").read_text() == '{"eos_token_id": 5, "top_k": 3}'
    (directory / "notes.txt").write_text("mine")
    models.export(make_policy(next(list_configs())), directory)
    assert (
        models.load(str(directory)).stop_tokens == (0, 3)
        and "top_k" not in (directory / "generation_config.json").read_text()
    )
    assert (
        not (directory / "chat_template.jinja").exists()
        and (directory / "notes.txt").read_text() == "mine"
    )
