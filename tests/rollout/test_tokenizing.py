"""Tokenizers of all sorts: what they add to a prompt, and what they do to the program."""

import time

import pytest
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers import models as backends
from transformers import PreTrainedTokenizerFast

from papo_jax import inspection, models
from papo_jax.errors import InputError
from papo_jax.models.formats import tokenizer_guard
from papo_jax.rollout import tokenizing
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.problem import Problem

WORDS = ["<bos>", "<eos>", "<sep>", *"1 a+=", "<unk>"]
SPECIAL = [(name, WORDS.index(name)) for name in ("<bos>", "<eos>", "<sep>")]


def make_tokenizer(post_processor=None, *, split="[\\s\\S]", decoder=None):
    backend = Tokenizer(
        backends.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")
    if post_processor is not None:
        backend.post_processor = post_processor
    if decoder is not None:
        backend.decoder = decoder
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def surround(text):
    return processors.TemplateProcessing(single=text, special_tokens=SPECIAL)


POST_PROCESSORS = {
    "none": (None, ""),
    "beginning": (surround("<bos> $A"), "<bos>"),
    "both": (surround("<bos> $A <eos>"), "<bos>"),
    "end": (surround("$A <eos>"), ""),
    "two ends": (surround("$A <sep> <eos>"), ""),
    "end in front": (surround("<eos> $A <eos>"), "<eos>"),
    "bert": (processors.BertProcessing(("<eos>", 1), ("<bos>", 0)), "<bos>"),
    "roberta": (processors.RobertaProcessing(("<eos>", 1), ("<bos>", 0)), "<bos>"),
    "sequence": (
        processors.Sequence([processors.ByteLevel(), surround("<bos> $A <eos>")]),
        "<bos>",
    ),
}


@pytest.mark.parametrize(
    "post_processor, front", POST_PROCESSORS.values(), ids=POST_PROCESSORS.keys()
)
def test_nothing_stands_behind_a_prompt(post_processor, front):
    tokenizer = make_tokenizer(post_processor)
    texts = ["1+1=", "a", "1+1=<eos>"]  # the last one ends with a token of its own
    encoded = tokenizing.encode_plain_texts(tokenizer, texts)
    words = ["".join(tokenizer.convert_ids_to_tokens(ids)) for ids in encoded]
    assert words == [front + text for text in texts]
    store = PromptStore.from_problems(tokenizer, [Problem(0, "1+1=", "2")])
    assert store[0].tolist() == encoded[0]


def test_an_empty_prompt_is_what_stands_in_front():
    tokenizer = make_tokenizer(surround("<bos> $A <eos>"))
    assert tokenizing.encode_plain_texts(tokenizer, ["", "a"]) == [[0], [0, WORDS.index("a")]]


def test_inspection_reads_on_where_the_prompt_ends():
    policy = models.load("tiny")
    plain = inspection.read(policy, "1+1=", "2")
    policy.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    assert inspection.read(policy, "1+1=", "2") == plain


BOMB, TEXT = "(a+)+=", "a" * 40 + "1"


def test_a_regular_expression_that_never_ends_is_refused_in_one_line(capfd):
    """On a long enough text the library panics, past every `except Exception`."""
    tokenizer = make_tokenizer(split=BOMB)
    for encode in (tokenizing.encode_texts, tokenizing.encode_plain_texts):
        with pytest.raises(InputError, match="the tokenizer cannot encode these texts") as caught:
            encode(tokenizer, [TEXT])
        assert "\n" not in str(caught.value) and "tokenizer.json" in str(caught.value)
        assert "retry-limit" in str(caught.value)  # the panic, and no wait for the deadline
    decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex(BOMB), "x")])
    tokenizer = make_tokenizer(decoder=decoder)
    with pytest.raises(InputError, match="cannot decode"):
        tokenizing.decode_texts(tokenizer, [[WORDS.index("a")] * 40])
    assert capfd.readouterr().err == ""


def test_a_tokenizer_that_is_late_is_left_behind(monkeypatch):
    monkeypatch.setattr(tokenizing, "_DEADLINE", 0.2)
    monkeypatch.setattr(tokenizing, "_DEADLINE_PER_CHARACTER", 0.0)
    slow = make_tokenizer(split=BOMB)
    started = time.monotonic()
    with pytest.raises(InputError, match="not done after 0 seconds"):
        tokenizing.encode_texts(slow, [("a" * 21 + "1") * 40] * 8)
    assert time.monotonic() - started < 10


def test_the_first_line_of_an_error_is_the_reason():
    def fail():
        raise ValueError("no luck\nat all")

    with pytest.raises(tokenizer_guard.TokenizerFailure, match="^no luck$"):
        tokenizer_guard.call_guarded(fail, seconds=5.0)
