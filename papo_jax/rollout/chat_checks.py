"""Checks of chat templates by what they write: nothing is dropped, turns begin and end.

A template is a program that ignores what it does not know: a role, a message as plain text, a
request for the assistant's turn. So its output is looked at.
"""

import dataclasses

from papo_jax.errors import InputError
from papo_jax.models import Policy
from papo_jax.rollout.chat import ChatOptions, PromptRenderer, select_template
from papo_jax.rollout.tokenizing import encode_texts
from papo_jax.tasks.problem import Problem

_QUESTION, _ANSWER = "QUARTZ", "BASALT"  # words that no template writes or changes


def check_nothing_is_dropped(renderer: PromptRenderer, problem: Problem, text: str) -> None:
    """Raises `InputError` if a prompt lacks its system message or its question.

    White space does not count: many templates strip it.

    Args:
      renderer: that rendered it.
      problem: whose prompt it is.
      text: of the prompt.
    """
    system = renderer.options.system
    if not _contains(text, problem.prompt):
        raise InputError(
            f"{renderer.label}: the chat template drops the question of problem"
            f" {problem.identifier}, or a part of it; mend chat_template, or set model.chat=false"
        )
    if system is not None and not _contains(text, system):
        raise InputError(
            f"{renderer.label}: the chat template drops the system message of model.system; leave"
            " model.system unset, or mend chat_template"
        )


def check_answer_is_next(renderer: PromptRenderer) -> None:
    """Raises `InputError` if a prompt does not end where the assistant's turn begins.

    Some templates write nothing there, since the user's turn ends with it; others lack the header
    that they write before every assistant's turn.
    """
    user = {"role": "user", "content": _QUESTION}
    prompt = renderer.try_messages([user], answer_next=True)
    if prompt is None or prompt != renderer.try_messages([user]):
        return
    answered = renderer.try_messages([user, {"role": "assistant", "content": _ANSWER}])
    if answered is None or _ANSWER not in answered:
        return
    before = answered[: answered.index(_ANSWER)]
    if _without_spaces(prompt) != _without_spaces(before):
        raise InputError(
            f"{renderer.label}: the chat template ignores add_generation_prompt: a prompt ends with"
            f" {prompt[-20:]!r}, and an assistant's turn begins after {before[-20:]!r}; mend"
            " chat_template, or set model.chat=false"
        )


def find_turn_end(renderer: PromptRenderer, tokenizer) -> int | None:
    """Finds the token that the template puts behind an assistant's turn.

    Args:
      renderer: of the template.
      tokenizer: whose added tokens may end a turn.

    Returns:
      Its id; None where the template ends a turn with plain text, or with nothing.
    """
    question = renderer.list_messages(_QUESTION)
    answer = {"role": "assistant", "content": _ANSWER}
    # Some templates end a turn only where the next one begins.
    for messages in ([*question, answer], [*question, answer, question[-1]]):
        text = renderer.try_messages(messages) or ""
        _, found, behind = text.rpartition(_ANSWER)
        if not found:
            continue
        behind = behind.partition(_QUESTION)[0]
        added = {token: name for name, token in tokenizer.get_added_vocab().items() if name.strip()}
        (encoded,) = encode_texts(tokenizer, [behind])
        for token in encoded:
            if token in added:
                return token
    return None


def add_turn_end(policy: Policy, options: ChatOptions) -> Policy:
    """Adds the token that the chat template puts behind an assistant's turn to the stop tokens.

    A base model's files may name another end than the template that it is used with.
    """
    template = select_template(policy.tokenizer, options)
    if template is None:
        return policy
    with PromptRenderer(policy.tokenizer, template, options) as renderer:
        token = find_turn_end(renderer, policy.tokenizer)
    if token is None or token in policy.stop_tokens:
        return policy
    return dataclasses.replace(policy, stop_tokens=(*policy.stop_tokens, token))


def _contains(text: str, part: str) -> bool:
    return part.strip() in text or _without_spaces(part) in _without_spaces(text)


def _without_spaces(text: str) -> str:
    return "".join(text.split())
