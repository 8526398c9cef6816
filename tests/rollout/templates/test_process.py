"""Templates that attack: too long, too large, too much, and what they may not reach."""

import datetime
import time

import pytest

from papo_jax.rollout.templates.process import TemplateFailure, TemplateProcess

MOMENT = datetime.datetime(2024, 7, 26, 11, 30)
ASK = {"messages": [{"role": "user", "content": "2+2="}], "add_generation_prompt": True}
LOOP = "{% for i in range(99999) %}"
BOMBS = {
    "power": "{{ 10 ** 1000000000 }}",
    "power of a message": "{{ messages[0].content | length ** (10 ** 10) }}",
    "nested loops": LOOP * 4 + "{% endfor %}" * 4,
    "loops that write": LOOP * 4 + "x" + "{% endfor %}" * 4,
    "a long text": "{{ 'x' * 10 ** 9 }}",
    "a wide text": "{{ '%1000000000d' % 1 }}",
    "a text in the middle": "{{ 'x' | center(10 ** 9) }}",
    "a text that doubles": "{% set n = namespace(t='xx') %}"
    + LOOP
    + "{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}",
    "a list": "{% set l = [0] * 10 ** 10 %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "deep nesting": "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "much text": "{% for i in range(9999) %}" + "x" * 200 + "{% endfor %}",
}


def render(template, chats=(ASK,), **options):
    with TemplateProcess(template, MOMENT, **options) as process:
        return process.render_chats(list(chats))


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_ends_soon_with_a_reason(template):
    started = time.monotonic()
    with pytest.raises(TemplateFailure) as caught:
        render(template, deadline=1.0)
    assert time.monotonic() - started < 20
    assert caught.value.index == 0 and caught.value.reason and "\n" not in caught.value.reason


def test_the_chat_that_fails_is_named():
    chats = [{**ASK, "n": n} for n in (1, 2, 0, 3)]
    with pytest.raises(TemplateFailure, match="division") as caught:
        render("{{ 6 // n }}", chats)
    assert caught.value.index == 2


def test_a_chat_that_is_late_is_named_and_the_next_ones_are_served():
    template = "{% if slow %}" + LOOP * 4 + "{% endfor %}" * 4 + "{% endif %}{{ n }}"
    with TemplateProcess(template, MOMENT, deadline=1.0) as process:
        with pytest.raises(TemplateFailure, match="longer than 1 seconds") as caught:
            process.render_chats([{**ASK, "n": 1}, {**ASK, "n": 2, "slow": True}])
        assert caught.value.index == 1
        assert process.render_chats([{**ASK, "n": n} for n in (3, 4)]) == ["3", "4"]


def test_replies_of_a_failed_request_do_not_reach_the_next():
    with TemplateProcess("{{ 6 // n }}", MOMENT) as process:
        with pytest.raises(TemplateFailure):
            process.render_chats([{**ASK, "n": 0}, {**ASK, "n": 1}])
        assert process.render_chats([{**ASK, "n": 3}]) == ["2"]


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ messages.append(1) }}",
        "{% set n = namespace(__class__=1) %}",
        "{% set n = namespace() %}{% set n._x = 1 %}",
        "{% include '/etc/passwd' %}",
        "{{ ''.format.__self__.__class__ }}",
    ],
)
def test_nothing_outside_is_reached(template):
    try:
        (text,) = render(template)
    except TemplateFailure:
        return
    assert text == ""  # an attribute that the sandbox hides is undefined


def test_what_a_template_writes_is_the_same_in_every_process():
    template = "{{ range(10**4) | random }} {{ lipsum() }} {{ strftime_now('%d %H:%M') }}"
    first, second = (render(template, [ASK, ASK]) for _ in range(2))
    assert first == second and first[0] == first[1] and first[0].endswith("26 11:30")


def test_functions_of_transformers():
    assert render(
        "{% generation %}{{ dict(a='<') | tojson }}{% endgeneration %}"
        "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        "{{ dict.fromkeys(['k'], 1) }}{% set n = namespace(self=3) %}{{ n.self }}"
    ) == ["""{"a": "<"}01{'k': 1}3"""]


def test_any_text_comes_through():
    text = "\ud800 \x00 é 日 \u2028 {{ x }}"
    chat = {**ASK, "messages": [{"role": "user", "content": text}]}
    assert render("{{ messages[0].content }}", [chat]) == [text]
