"""Chat templates: a problem's text under the template of a model."""

import dataclasses

from papo_jax.errors import InputError
from papo_jax.models.formats.hf_tokenizer import find_chat_template, label_tokenizer
from papo_jax.tasks.problem import Problem


@dataclasses.dataclass(frozen=True)
class ChatOptions:
    """Options of the chat template, under which a problem's text becomes a prompt.

    Attributes:
      enabled: use the model's chat template, if it has one; else the text is the prompt.
      system: a system message before the problem; None for none, which many templates fill in
        themselves.
      thinking: turns the template's thinking on or off; None leaves it to the template.
    """

    enabled: bool = True
    system: str | None = None
    thinking: bool | None = None


def select_template(tokenizer, options: ChatOptions) -> str | None:
    """Finds the template to be used and checks that it can do what is asked for.

    Args:
      tokenizer: a fast tokenizer of `transformers`.
      options: what is asked for.

    Returns:
      The template, or None where the text is the prompt.

    Raises:
      InputError: if a system message or a thinking switch is asked for that the template lacks.
    """
    template = find_chat_template(tokenizer) if options.enabled else None
    if template is None:
        why = "the model has no chat template" if options.enabled else "model.chat is false"
        for name in ("system", "thinking"):
            if getattr(options, name) is not None:
                raise InputError(f"model.{name} is set but {why}; leave model.{name} unset")
    elif options.thinking is not None and "enable_thinking" not in template:
        raise InputError(
            "the chat template of this model has no thinking switch; leave model.thinking unset"
        )
    return template


def render_prompt(tokenizer, template: str, problem: Problem, options: ChatOptions) -> str:
    """Renders one problem under the template, up to where the model is to answer.

    Args:
      tokenizer: whose special tokens the template may name.
      template: from `select_template`.
      problem: whose text is the user's message.
      options: the system message and the thinking switch.

    Returns:
      The text, special tokens included.

    Raises:
      InputError: if the template fails.
    """
    messages = [] if options.system is None else [{"role": "system", "content": options.system}]
    messages.append({"role": "user", "content": problem.prompt})
    switch = {} if options.thinking is None else {"enable_thinking": options.thinking}
    try:
        return tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True, **switch
        )
    except Exception as error:  # a template is a program: it may fail in any way
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        unset = "leave model.system unset, " if options.system is not None else ""
        raise InputError(
            f"{label_tokenizer(tokenizer)}: the chat template fails on problem"
            f" {problem.identifier} ({reason}); mend chat_template, {unset}or set model.chat=false"
        ) from None
