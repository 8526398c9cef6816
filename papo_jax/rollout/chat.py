"""A problem's text under the chat template of a model."""

import dataclasses

from papo_jax.errors import InputError
from papo_jax.models.formats import tokenizer as tokenizers
from papo_jax.tasks.problem import Problem


@dataclasses.dataclass(frozen=True)
class Chat:
    """How a problem's text becomes a prompt.

    Attributes:
      enabled: under the model's chat template, where it has one; else the text is the prompt.
      system: a system message before the problem; None for none, which many templates fill in
        themselves.
      thinking: turns the template's thinking on or off; None leaves it to the template.
    """

    enabled: bool = True
    system: str | None = None
    thinking: bool | None = None


def template_of(tokenizer, chat: Chat) -> str | None:
    """Finds the template to be used and checks that it can do what is asked for.

    Args:
      tokenizer: a fast tokenizer of `transformers`.
      chat: what is asked for.

    Returns:
      The template, or None where the text is the prompt.

    Raises:
      InputError: if a system message or a thinking switch is asked for and there is no place for
        it.
    """
    template = tokenizers.chat_template(tokenizer) if chat.enabled else None
    if template is None:
        why = "the model has no chat template" if chat.enabled else "model.chat is false"
        for name in ("system", "thinking"):
            if getattr(chat, name) is not None:
                raise InputError(f"model.{name} is set but {why}; leave model.{name} unset")
    elif chat.thinking is not None and "enable_thinking" not in template:
        raise InputError(
            "the chat template of this model has no thinking switch; leave model.thinking unset"
        )
    return template


def render(tokenizer, template: str, problem: Problem, chat: Chat) -> str:
    """Writes one problem under the template, up to where the model is to answer.

    Args:
      tokenizer: whose special tokens the template may name.
      template: from `template_of`.
      problem: whose text is the user's message.
      chat: the system message and the thinking switch.

    Returns:
      The text, special tokens included.

    Raises:
      InputError: if the template fails.
    """
    messages = [] if chat.system is None else [{"role": "system", "content": chat.system}]
    messages.append({"role": "user", "content": problem.prompt})
    switch = {} if chat.thinking is None else {"enable_thinking": chat.thinking}
    try:
        return tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True, **switch
        )
    except Exception as error:  # a template is a program: it may fail in any way
        said = (str(error).splitlines() or [""])[0] or type(error).__name__
        unset = "leave model.system unset, " if chat.system is not None else ""
        raise InputError(
            f"{tokenizers.place(tokenizer)}: the chat template fails on problem {problem.identifier} ({said});"
            f" mend chat_template, {unset}or set model.chat=false"
        ) from None
