"""Chat templates of public shapes: whole prompts, ends of turns, and relatives that are refused."""

import datetime

import pytest

from experiments.pretrain import character_tokenizer
from papo_jax.errors import InputError
from papo_jax.rollout import chat_checks
from papo_jax.rollout.chat import ChatOptions, PromptRenderer
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.problem import Problem
from tests.support.chat_templates import FAMILIES, Family, equip_tokenizer

MOMENT = datetime.datetime(2024, 7, 26, 11, 30)
QUESTION = Problem(3, "2+2=", "4")
CHATML = FAMILIES["chatml"]
START = "<|im_start|>assistant\\n"


def make_tokenizer(family: Family, template: str | None = None):
    made = equip_tokenizer(character_tokenizer(), family)
    made.chat_template = template or family.template
    return made


def encode(tokenizer, problems=(QUESTION,), **options) -> list[str]:
    store = PromptStore.from_problems(tokenizer, problems, ChatOptions(moment=MOMENT, **options))
    return [tokenizer.decode(store[row]) for row in range(len(store))]


def read_refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        encode(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES.keys())
def family(request):
    return request.param


def test_honest_templates_make_the_prompts_that_they_always_made(family):
    tokenizer = make_tokenizer(family)
    assert encode(tokenizer) == [family.prompt]


@pytest.mark.parametrize("system, thinking", [(None, None), ("Be brief.", False)])
def test_texts_are_those_of_transformers(family, system, thinking):
    """Of today, but that the caller names the date."""
    tokenizer = make_tokenizer(family)
    options = ChatOptions(system=system, thinking=thinking)
    switch = {} if thinking is None else {"enable_thinking": thinking}
    with PromptRenderer(tokenizer, family.template, options) as renderer:
        messages = renderer.list_messages("2+2=")
        answered = [*messages, {"role": "assistant", "content": "4"}]
        for chat, answer_next in ((messages, True), (messages, False), (answered, False)):
            found = renderer.try_messages(chat, answer_next=answer_next)
            try:
                expected = tokenizer.apply_chat_template(
                    chat, tokenize=False, add_generation_prompt=answer_next, **switch
                )
            except Exception:
                expected = None
            assert found == expected


def test_a_turn_ends_with_the_token_that_the_template_writes(family):
    tokenizer = make_tokenizer(family)
    with PromptRenderer(tokenizer, family.template, ChatOptions()) as renderer:
        found = chat_checks.find_turn_end(renderer, tokenizer)
    assert (None if found is None else tokenizer.convert_ids_to_tokens(found)) == family.end


def test_a_system_message_reaches_every_template_that_has_one(family):
    tokenizer = make_tokenizer(family)
    if "System role not supported" in family.template:
        assert "System role not supported" in read_refusal(tokenizer, system="Be brief.")
    else:
        assert "Be brief." in encode(tokenizer, system="Be brief.")[0]


DROPPED_QUESTIONS = {
    "list content": "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}",
    "first part": "{% for m in messages %}{{ m.content[0].text }}",
    "other roles": "{% for m in messages %}{% if m.role == 'human' %}{{ m.content }}{% endif %}",
    "other field": "{% for m in messages %}{{ m.value }}",
    "cut": "{% for m in messages %}{{ m.content[:2] }}",
    "one character less": "{% for m in messages %}{{ m.content[:-1] }}",
    "upper case": "{% for m in messages %}{{ m.content | replace('2', 'two') }}",
    "last of several": "{% for m in messages[1:] %}{{ m.content }}",
}


@pytest.mark.parametrize("loop", DROPPED_QUESTIONS.values(), ids=DROPPED_QUESTIONS.keys())
def test_a_question_that_is_dropped_is_refused(loop):
    template = loop + "{% endfor %}{% if add_generation_prompt %}" + START + "{% endif %}"
    said = read_refusal(make_tokenizer(CHATML, template))
    assert "drops the question of problem 3" in said and "model.chat=false" in said


def test_every_question_is_looked_for():
    template = "{{ messages[-1].content[:5] }}{% if add_generation_prompt %}:{% endif %}"
    long = Problem(8, "2+2+2+2=", "8")
    assert "problem 8" in read_refusal(make_tokenizer(CHATML, template), [QUESTION, long])


@pytest.mark.parametrize(
    "loop",
    [
        "{% for m in messages if m.role != 'system' %}",
        "{% for m in messages[-1:] %}",
        "{% for m in messages if m.role in ('user', 'assistant') %}",
    ],
)
def test_a_system_message_that_is_dropped_is_refused(loop):
    tokenizer = make_tokenizer(
        CHATML, loop + "{{ m.content }}{% endfor %}{% if add_generation_prompt %}:{% endif %}"
    )
    assert encode(tokenizer) == ["2+2=:"]
    assert "model.system; leave model.system unset" in read_refusal(tokenizer, system="Be brief.")


def test_white_space_may_change():
    template = (
        "{% for m in messages %}{{ m.content | trim | replace('\\n\\n', '\\n') }}{% endfor %}"
    )
    problem = Problem(1, "  2+2=\n\n is? \n", "4")
    assert encode(make_tokenizer(CHATML, template), [problem]) == ["2+2=\n is?"]


MISSING_HEADERS = {
    "chatml": CHATML.template.partition("{% if add_generation_prompt")[0],
    "gemma": FAMILIES["gemma"].template.partition("{% if add_generation_prompt")[0],
    "dated": FAMILIES["dated"].template.partition("{%- if add_generation_prompt")[0],
    "text": "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}",
    "end of sequence": "{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}",
}


@pytest.mark.parametrize("template", MISSING_HEADERS.values(), ids=MISSING_HEADERS.keys())
def test_a_prompt_that_does_not_end_where_the_answer_begins_is_refused(template):
    said = read_refusal(make_tokenizer(CHATML, template))
    assert "ignores add_generation_prompt" in said and "model.chat=false" in said
    assert encode(make_tokenizer(CHATML, template), enabled=False) == ["2+2="]
