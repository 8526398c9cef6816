"""Prompts: chat templates applied once, the tokenizer's ids, and refusals in one line."""

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as backends
from transformers import PreTrainedTokenizerFast

from papo_jax import inspection, models
from papo_jax.errors import InputError
from papo_jax.rollout import prompts
from papo_jax.rollout.chat import ChatOptions, PromptRenderer
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.problem import Problem
from papo_jax.tasks.sources import arithmetic

WORDS = ["<bos>", "<eos>", "<user>", "<system>", "<model>", "<think>", *"abcdefgh"]
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<' + message.role + '>' + message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)
THINKING = TEMPLATE + "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
ABC = [Problem(3, "abc", ""), Problem(8, "d", "")]


def make_tokenizer(template=None):
    """A token a letter, and a beginning of sequence that it adds by itself."""
    backend = Tokenizer(
        backends.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<eos>")
    )
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 0)]
    )
    special = dict(bos_token="<bos>", eos_token="<eos>", additional_special_tokens=WORDS[2:6])
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template, **special)


def encode_problems(*arguments):
    store = PromptStore.from_problems(*arguments)
    return [store[row] for row in range(len(store))]


def to_words(encoded):
    return ["".join(WORDS[i] for i in ids) for ids in encoded]


def read_refusal(call, *arguments, **keywords):
    with pytest.raises(InputError) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pad_one_by_one(encoded, width):
    """Padding as plainly as it can be written."""
    tokens = [[0] * (width - len(ids)) + list(ids) for ids in encoded]
    return np.array(tokens), np.array(
        [[slot >= width - len(ids) for slot in range(width)] for ids in encoded]
    )


@pytest.mark.parametrize(
    "template", [None, "{{ messages[0].content + '\\n' }}"], ids=["text", "chat"]
)
def test_ids_are_those_of_the_tokenizer_for_the_policy_that_is_shipped(template, monkeypatch):
    monkeypatch.setattr(prompts, "_BLOCK", 7)  # several blocks, the last one short
    tokenizer = models.load("tiny").tokenizer
    tokenizer.chat_template = template
    problems = [arithmetic.generate_problem(0, "train", i, difficulty=3) for i in range(40)]
    texts = [problem.prompt + ("\n" if template else "") for problem in problems]
    expected = tokenizer(texts)["input_ids"]
    store, encoded = (
        PromptStore.from_problems(tokenizer, problems),
        encode_problems(tokenizer, problems),
    )
    assert [ids.tolist() for ids in encoded] == expected
    assert [store[row].tolist() for row in range(len(store))] == expected and len(store) == 40

    rows = [11, 3, 39, 3]
    width = prompts.count_slots(
        [expected[row] for row in rows], multiple=8, max_slots=store.max_length
    )
    tokens, valid = pad_one_by_one([expected[row] for row in rows], width)
    for made in (
        store.make_batch(rows, multiple=8, max_slots=store.max_length),
        prompts.pad_prompts([encoded[row] for row in rows], rows, width),
    ):
        np.testing.assert_array_equal(made.tokens, tokens)
        np.testing.assert_array_equal(made.valid, valid)
        assert made.identifiers.tolist() == rows
        assert made.occurrences.tolist() == [0, 0, 0, 1]  # 3 comes twice
        assert [part.dtype.name for part in made] == ["int32", "bool", "int32", "int32"]


def test_special_tokens_are_written_once():
    assert to_words(encode_problems(make_tokenizer(), ABC)) == ["<bos>abc", "<bos>d"]
    assert to_words(encode_problems(make_tokenizer(TEMPLATE), ABC)) == [
        "<bos><user>abc<model>",
        "<bos><user>d<model>",
    ]
    assert to_words(encode_problems(make_tokenizer(TEMPLATE), ABC, ChatOptions(enabled=False))) == [
        "<bos>abc",
        "<bos>d",
    ]


def test_system_message():
    tokenizer = make_tokenizer(TEMPLATE)
    assert to_words(encode_problems(tokenizer, ABC[:1], ChatOptions(system="gh"))) == [
        "<bos><system>gh<user>abc<model>"
    ]
    assert to_words(encode_problems(tokenizer, ABC[:1], ChatOptions(system=""))) == [
        "<bos><system><user>abc<model>"
    ]


def test_thinking_is_what_the_template_does_by_itself_unless_it_is_set():
    ends = {None: "<model><think>", True: "<model><think>", False: "<model>"}
    for thinking, end in ends.items():
        assert to_words(
            encode_problems(make_tokenizer(THINKING), ABC[:1], ChatOptions(thinking=thinking))
        ) == ["<bos><user>abc" + end]


def test_named_templates():
    tokenizer = make_tokenizer({"tool_use": "{{ fail }}", "default": TEMPLATE})
    assert to_words(encode_problems(tokenizer, ABC[:1])) == ["<bos><user>abc<model>"]
    assert "call one of them 'default'" in read_refusal(
        encode_problems, make_tokenizer({"rag": TEMPLATE}), ABC
    )


def test_templates_are_applied_once_a_problem(monkeypatch):
    rendered, original = [], PromptRenderer.render_problems

    def render(self, problems):
        rendered.extend(problem.prompt for problem in problems)
        return original(self, problems)

    monkeypatch.setattr(PromptRenderer, "render_problems", render)
    store = PromptStore.from_problems(make_tokenizer(TEMPLATE), iter(ABC))
    for rows in ([0, 1], [1]):
        store.make_batch(rows, multiple=4, max_slots=store.max_length)
    assert rendered == ["abc", "d"]


@pytest.mark.parametrize(
    "template, chat, said",
    [
        (
            TEMPLATE,
            ChatOptions(thinking=True),
            "has no thinking switch; leave model.thinking unset",
        ),
        (
            None,
            ChatOptions(thinking=False),
            "model.thinking is set but the model has no chat template",
        ),
        (
            None,
            ChatOptions(system="a"),
            "model.system is set but the model has no chat template; leave model.system unset",
        ),
        (
            TEMPLATE,
            ChatOptions(enabled=False, system="a"),
            "model.system is set but model.chat is false",
        ),
        (
            THINKING,
            ChatOptions(enabled=False, thinking=True),
            "model.thinking is set but model.chat is false",
        ),
    ],
)
def test_what_a_template_cannot_do(template, chat, said):
    assert said in read_refusal(encode_problems, make_tokenizer(template), ABC, chat)


@pytest.mark.parametrize(
    "template, said",
    [
        ("{% for message in messages %}", "Unexpected end of template"),
        ("{{ raise_exception('no system role here') }}", "no system role here"),
        ("{{ messages[0].content + 1 }}", "can only concatenate str"),
        ("{{ messages[5].content.strip() }}", "has no element 5"),
        ("{{ 1 // 0 }}", "division"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
    ],
)
def test_template_that_fails(template, said):
    line = read_refusal(encode_problems, make_tokenizer(template), ABC)
    assert (
        line.startswith("the model's tokenizer: the chat template fails on problem 3 (")
        and said in line
    )
    assert line.endswith("mend chat_template, or set model.chat=false")
    assert "leave model.system unset" in read_refusal(
        encode_problems, make_tokenizer(template), ABC, ChatOptions(system="a")
    )


def test_prompt_of_no_token():
    tokenizer = make_tokenizer("{% if 'd' not in messages[0].content %}abc{% endif %}")
    said = read_refusal(PromptStore.from_problems, tokenizer, ABC)
    assert "the chat template drops the question of problem 8" in said


def test_lengths_are_checked():
    store = PromptStore.from_problems(make_tokenizer(), ABC)  # <bos>abc, <bos>d
    assert store.max_length == 4
    store.check_lengths(max_prompt_tokens=4, max_positions=4)
    said = read_refusal(store.check_lengths, max_prompt_tokens=3, max_positions=3)
    assert "problem 3 has a prompt of 4 tokens, more than rollout.max_prompt_tokens = 3" in said
    assert "3 tokens are left for a prompt" in read_refusal(
        store.check_lengths, max_prompt_tokens=4, max_positions=3
    )


def test_a_store_of_nothing():
    store = PromptStore.from_problems(make_tokenizer(), [])
    assert len(store) == 0 and store.max_length == 0 and store.tokens.dtype == np.int32
    store.check_lengths(max_prompt_tokens=1, max_positions=1)


def test_rows_outside_the_store():
    with pytest.raises(IndexError):
        PromptStore.from_problems(make_tokenizer(), ABC).make_batch([2], multiple=4, max_slots=4)


def test_slots_never_exceed_the_longest_prompt():
    store = PromptStore.from_problems(make_tokenizer(), ABC)
    assert store.make_batch([1], multiple=3, max_slots=8).tokens.tolist() == [
        [0, WORDS.index("<bos>"), WORDS.index("d")]
    ]
    assert store.make_batch([0], multiple=3, max_slots=4).tokens.shape == (
        1,
        4,
    )  # 6 if it were rounded up


def test_inspection_reads_a_text_with_the_tokenizer():
    readings = inspection.read(models.load("tiny"), "12+7=", "19")
    assert [reading.text for reading in readings] == ["1", "9", "<eos>"]
    assert all(0 < reading.probability <= 1 for reading in readings)
