"""Tokenizers: read from disk alone, with their chat templates and stop tokens."""

import json
import socket

import pytest

from experiments.pretrain import character_tokenizer
from papo_jax.errors import InputError
from papo_jax.models.formats import hf_tokenizer
from papo_jax.models.formats.hf_tokenizer import (
    find_chat_template,
    find_stop_tokens,
    read_tokenizer,
)

EOS, SIZE = 1, 100  # of the character tokenizer


@pytest.fixture
def directory(tmp_path):
    character_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def edit_config(directory, **fields):
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def read_refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reading_asks_no_network(directory, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments))
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    (directory / "config.json").write_text('{"model_type": "llama"}')
    tokenizer = read_tokenizer(directory)
    # "1" is character 17 from the space at 5.
    assert tokenizer("1+1")["input_ids"] == [22, 16, 22] and not asked


def test_chat_template_from_each_place_that_holds_one(directory):
    def find():
        return find_chat_template(read_tokenizer(directory))

    assert find() is None
    edit_config(directory, chat_template="in the config")
    assert find() == "in the config"
    edit_config(
        directory,
        chat_template=[
            {"name": "tool_use", "template": "tools"},
            {"name": "default", "template": "plain"},
        ],
    )
    assert find() == "plain"
    edit_config(directory, chat_template={"default": "plain", "rag": "documents"})
    assert find() == "plain"
    (directory / "chat_template.jinja").write_text("in a file")
    assert find() == "in a file"
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates/rag.jinja").write_text("documents")
    assert find() == "in a file"


@pytest.mark.parametrize(
    "value, said",
    [
        ({"rag": "a", "tool_use": "b"}, "the chat templates are rag, tool_use"),
        (5, "chat_template is 5"),
        ({"default": 1}, "chat_template is 1"),
    ],
)
def test_chat_template_that_cannot_be_used(directory, value, said):
    edit_config(directory, chat_template=value)
    line = read_refusal(find_chat_template, read_tokenizer(directory))
    assert line.startswith(str(directory)) and said in line


@pytest.mark.parametrize(
    "name, text",
    [
        ("tokenizer.json", "{"),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"chat_template": [{"name": "default"}]}'),
    ],
)
def test_damaged_files(directory, name, text):
    (directory / name).write_text(text)
    assert "or a file beside it is damaged" in read_refusal(read_tokenizer, directory)


def test_place_of_a_tokenizer_for_messages(directory):
    assert hf_tokenizer.label_tokenizer(read_tokenizer(directory)) == str(directory)
    assert hf_tokenizer.label_tokenizer(character_tokenizer()) == "the model's tokenizer"


@pytest.mark.parametrize(
    "named, stops",
    [
        ({}, (1,)),
        ({"eos_token_id": None}, (1,)),
        ({"eos_token_id": 7}, (1, 7)),
        ({"eos_token_id": [99, 0, 7]}, (0, 1, 7, 99)),
        ({"eos_token_id": []}, (1,)),
    ],
)
def test_stop_tokens_are_the_named_ones_and_the_tokenizers_own(directory, named, stops):
    (directory / "generation_config.json").write_text(json.dumps(named))
    assert find_stop_tokens(directory, read_tokenizer(directory), SIZE) == stops


def test_stop_tokens_without_a_generation_config(directory):
    tokenizer = read_tokenizer(directory)
    assert find_stop_tokens(directory, tokenizer, SIZE) == (EOS,)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>", "<|other|>"]})
    assert find_stop_tokens(directory, tokenizer, SIZE + 2) == (EOS, 100)
    # As for a GGUF file.
    assert find_stop_tokens(directory / "tokenizer.json", tokenizer, SIZE + 2) == (EOS, 100)
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    assert "generation could never stop" in read_refusal(
        find_stop_tokens, directory, tokenizer, SIZE
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        ("[2]", "a JSON object, not a list"),
        ('{"eos_token_id": "<eos>"}', "eos_token_id holds '<eos>'"),
        ('{"eos_token_id": [1, 100]}', "eos_token_id holds 100"),
        ('{"eos_token_id": -1}', "from 0 to 99"),
        ('{"eos_token_id": true}', "holds True"),
        ('{"eos_token_id": 1.0}', "holds 1.0"),
        ('{"eos_token_id": [[1]]}', "holds [1]"),
        ('{"eos_token_id": {"a": 1}}', "holds {'a': 1}"),
        ('{"eos_token_id": [null]}', "None"),
    ],
)
def test_generation_config_that_cannot_be(directory, text, said):
    file = directory / "generation_config.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = read_refusal(find_stop_tokens, directory, read_tokenizer(directory), SIZE)
    assert line.startswith(str(file)) and said in line
