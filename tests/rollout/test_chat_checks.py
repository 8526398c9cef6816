"""Chat templates that drop text, ignore the next turn, end turns their own way, or never end."""

import datetime
import types

import pytest
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as backends
from transformers import PreTrainedTokenizerFast

from papo_jax.errors import InputError
from papo_jax.rollout.chat import ChatOptions, PromptRenderer
from papo_jax.rollout.chat_checks import add_turn_end, find_turn_end
from papo_jax.rollout.prompts import PromptStore
from papo_jax.rollout.templates.process import TemplateFailure, TemplateProcess
from papo_jax.tasks.problem import Problem

WORDS = ["<bos>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "</s>"]
WORDS += "abcdefghijklmnopqrstuvwxyz "
NEXT_TURN = "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + ' ' + m.content + '<|im_end|>' }}"
    "{% endfor %}" + NEXT_TURN
)
# Ends the assistant's turn alone, with the end of sequence, where the next begins.
LATE_END = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{% if not loop.first %}</s>{% endif %}{{ 'a' + m.content + 'b' }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
PROBLEMS = [Problem(7, "one and one", ""), Problem(9, "two", "")]
NOON = datetime.datetime(2026, 12, 1, 12)


def make_tokenizer(template=None, post_processor=None):
    backend = Tokenizer(
        backends.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="a")
    )
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = post_processor or processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=template,
        bos_token="<bos>",
        eos_token="<|endoftext|>",
        additional_special_tokens=WORDS[2:5],
    )


def encode(template, **options):
    return PromptStore.from_problems(make_tokenizer(template), PROBLEMS, ChatOptions(**options))


DROPPING = {
    "content as a list": "{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}"
    "{% endfor %}<|im_start|>",
    "other roles": "{% for m in messages %}{% if m.role == 'human' %}{{ m.content }}{% endif %}"
    "{% endfor %}<|im_start|>",
    "the first letters": "{{ messages[-1].content[:5] }}<|im_start|>",
    "nothing": "{# #}",
}


@pytest.mark.parametrize("template", DROPPING.values(), ids=DROPPING)
def test_a_question_that_a_template_drops_is_missed(template):
    with pytest.raises(InputError, match="drops the question of problem 7|empty prompt"):
        encode(template)


def test_a_system_message_that_a_template_drops_is_missed():
    user_alone = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
        "<|im_start|>"
    )
    with pytest.raises(InputError, match="drops the system message of model.system"):
        encode(user_alone, system="be brief")
    assert len(encode(user_alone)) == 2
    assert len(encode(CHATML, system="be brief")) == 2


def test_spaces_at_the_ends_may_be_stripped():
    padded = [Problem(1, "  one \n", "")]
    template = CHATML.replace("m.content", "m.content | trim")
    assert len(PromptStore.from_problems(make_tokenizer(template), padded)) == 1


def test_a_missing_generation_prompt_is_noticed():
    with pytest.raises(InputError, match="ignores add_generation_prompt"):
        encode(CHATML.replace(NEXT_TURN, ""))


@pytest.mark.parametrize("template, end", [(CHATML, "<|im_end|>"), (LATE_END, "</s>")])
def test_the_end_of_a_turn_is_found_by_rendering_one(template, end):
    tokenizer = make_tokenizer(template)
    with PromptRenderer(tokenizer, template, ChatOptions()) as renderer:
        assert find_turn_end(renderer, tokenizer) == WORDS.index(end)


def test_the_end_of_a_turn_is_a_stop():
    """A base model's files name <|endoftext|>; under ChatML a turn ends with <|im_end|>."""
    policy = make_policy(CHATML)
    assert add_turn_end(policy, ChatOptions()).stop_tokens == (1, 3)
    assert add_turn_end(policy, ChatOptions(enabled=False)).stop_tokens == (1,)
    assert add_turn_end(make_policy(None), ChatOptions()).stop_tokens == (1,)


def make_policy(template):
    from papo_jax.models import Policy

    return Policy(
        config=types.SimpleNamespace(),
        graph=None,
        params={},
        tokenizer=make_tokenizer(template),
        stop_tokens=(1,),
    )


def test_the_date_is_that_of_the_beginning():
    template = "{{ strftime_now('%d %b %Y') }} " + CHATML
    tokenizer = make_tokenizer(template)
    with PromptRenderer(tokenizer, template, ChatOptions(moment=NOON)) as renderer:
        assert renderer.render_problems(PROBLEMS[1:]) == [
            "01 Dec 2026 <|im_start|>user two<|im_end|><|im_start|>assistant "
        ]


@pytest.mark.parametrize(
    "template, reason",
    [
        ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", ""),
        ("{{ 10 ** 10000000 }}", ""),
        ("{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}", "writes more than"),
        ("{{ 'x' * 10 ** 12 }}", ""),
        ("{{ messages.__class__.__mro__ }}", ""),
    ],
)
def test_a_template_that_attacks_is_stopped(template, reason):
    chat = {"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": True}
    with (
        TemplateProcess(template, NOON, deadline=1.0) as process,
        pytest.raises(TemplateFailure, match=reason),
    ):
        process.render_chats([chat])


@pytest.mark.parametrize("behind", ["<|endoftext|>", "</s>"])
def test_an_end_of_sequence_behind_a_plain_prompt_is_left_out(behind):
    index = WORDS.index(behind)
    post_processor = processors.TemplateProcessing(
        single=f"<bos> $A {behind}", special_tokens=[("<bos>", 0), (behind, index)]
    )
    store = PromptStore.from_problems(make_tokenizer(None, post_processor), PROBLEMS)
    assert [WORDS[token] for token in store[1]] == ["<bos>", "t", "w", "o"]


def test_tokens_past_the_embedding_are_refused():
    store = PromptStore.from_problems(make_tokenizer(), PROBLEMS)
    store.check_tokens(len(WORDS))
    with pytest.raises(InputError, match="problem 7"):
        store.check_tokens(WORDS.index("n"))
