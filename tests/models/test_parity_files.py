"""Parity of files: transformers reads ours without a warning; its own come back bit for bit."""

import contextlib
import dataclasses
import json
import logging
import pathlib
import warnings

import jax
import numpy as np
import pytest
from tokenizers import pre_tokenizers

torch = pytest.importorskip(
    "torch", reason="parity with transformers: pip install -r requirements-parity.txt"
)

import transformers  # noqa: E402

from experiments.pretrain import character_tokenizer  # noqa: E402
from papo_jax import models  # noqa: E402
from papo_jax.models.formats import hf_directory  # noqa: E402
from papo_jax.models.formats.hf_config import make_hf_config  # noqa: E402
from tests.support import parity  # noqa: E402


@contextlib.contextmanager
def fail_on_warnings():
    """Fails on any warning of Python and on any that transformers logs, or worse."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("transformers")
    # Or a message of an earlier test would not come again.
    transformers.utils.logging.warning_once.cache_clear()
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        logger.removeHandler(handler)
    assert not records


def open_model(directory, **options):
    """Loads with `AutoModelForCausalLM`.

    Fails on any warning and on any tensor that is missing, left over or misshapen.
    """
    with fail_on_warnings():
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            directory, output_loading_info=True, attn_implementation="eager", **options
        )
    assert not any(report.values()), report
    return model


def compute_logits(model) -> np.ndarray:
    tokens, valid = parity.make_batch()
    with torch.no_grad():
        return parity.compute_their_logits(model, tokens, valid).numpy()[valid]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", parity.CASES)
def test_exports_are_opened_by_transformers(name, dtype, tmp_path):
    """The weights are numbers of bfloat16, so neither dtype loses anything."""
    original = parity.build_model(name, tmp_path / "theirs")
    policy = models.load(str(tmp_path / "theirs"))
    models.export(policy, tmp_path / "ours", dtype=dtype)
    assert {str(weight.dtype) for weight in open_model(tmp_path / "ours").parameters()} == {
        f"torch.{dtype}"
    }
    opened = open_model(tmp_path / "ours", dtype=torch.float32)
    np.testing.assert_allclose(compute_logits(opened), compute_logits(original), rtol=0, atol=1e-5)
    assert tuple(np.atleast_1d(opened.generation_config.eos_token_id)) == policy.stop_tokens


@pytest.mark.parametrize("name", parity.CASES)
def test_exports_without_an_origin_are_opened_by_transformers(name, tmp_path):
    """A policy that was made here, not loaded: every field of its config.json is ours."""
    original = parity.build_model(name, tmp_path / "theirs")
    policy = dataclasses.replace(models.load(str(tmp_path / "theirs")), source=None)
    models.export(policy, tmp_path / "ours")
    opened = open_model(tmp_path / "ours")
    np.testing.assert_allclose(compute_logits(opened), compute_logits(original), rtol=0, atol=1e-5)
    assert tuple(np.atleast_1d(opened.generation_config.eos_token_id)) == policy.stop_tokens


def test_shards_are_opened_by_transformers(tmp_path):
    original = parity.build_model("qwen3", tmp_path / "theirs")
    policy = models.load(str(tmp_path / "theirs"))
    hf_directory.write_directory(
        tmp_path / "ours",
        make_hf_config(policy.config),
        policy.params,
        dtype="float32",
        shard_bytes=40_000,
    )
    assert len([*(tmp_path / "ours").glob("*.safetensors")]) > 3
    np.testing.assert_array_equal(
        compute_logits(open_model(tmp_path / "ours")), compute_logits(original)
    )


def make_tokenizer(name: str):
    """Returns a tokenizer of characters.

    For qwen2 AutoTokenizer builds a byte-level one whatever the files say, so that is what it gets.
    """
    if name != "qwen2":
        return character_tokenizer()
    symbols = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġw", "or"]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    return transformers.Qwen2Tokenizer(vocabulary, [("Ġ", "w"), ("o", "r")], padding_side="left")


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "smollm3"])
def test_tokenizers_are_opened_by_transformers(name, tmp_path):
    parity.build_model(name, tmp_path / "theirs", vocab_size=300)
    first = make_tokenizer(name)
    first.save_pretrained(tmp_path / "theirs")
    models.export(models.load(str(tmp_path / "theirs")), tmp_path / "ours")
    with fail_on_warnings():
        opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    for text in (
        "12+7*(3-1)=",
        " Two words,\n\ta tab and an é",
        f"{first.eos_token}1{first.pad_token}",
    ):
        assert opened(text)["input_ids"] == first(text)["input_ids"]
        assert opened.decode(opened(text)["input_ids"]) == first.decode(first(text)["input_ids"])
    assert (len(opened), opened.eos_token_id, opened.padding_side) == (
        len(first),
        first.eos_token_id,
        "left",
    )


def read_raw(directory: pathlib.Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Returns every tensor as (dtype, shape, bytes), read by the definition of the format."""
    tensors = {}
    for file in directory.glob("*.safetensors"):
        content = file.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            first, last = (start + offset for offset in entry["data_offsets"])
            assert name not in tensors
            tensors[name] = (entry["dtype"], tuple(entry["shape"]), content[first:last])
    return tensors


@pytest.mark.parametrize("sharded", [False, True], ids=["one_file", "sharded"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["qwen3-attention_bias", "smollm3-mlp_bias", "qwen2-tied"])
def test_import_export_import_is_exact(name, dtype, sharded, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    model = parity.build_model(name, first)
    for file in first.glob("*.safetensors"):
        file.unlink()
    model.to(getattr(torch, dtype)).save_pretrained(
        first, max_shard_size="40KB" if sharded else "5GB"
    )
    assert (len([*first.glob("*.safetensors")]) > 3) == sharded
    loaded = models.load(str(first))
    models.export(loaded, second)
    assert read_raw(second) == read_raw(first)
    again = models.load(str(second))
    assert again.config == loaded.config and again.stop_tokens == loaded.stop_tokens
    jax.tree.map(np.testing.assert_array_equal, again.params, loaded.params)
