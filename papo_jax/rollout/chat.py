"""Chat templates: a problem's text under the template of a model."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

from papo_jax.errors import InputError
from papo_jax.models.formats.hf_tokenizer import find_chat_template, label_tokenizer
from papo_jax.rollout.templates.process import Chat, TemplateFailure, TemplateProcess
from papo_jax.tasks.problem import Problem

Message = dict[str, str]  # {"role": ..., "content": ...}


@dataclasses.dataclass(frozen=True)
class ChatOptions:
    """Options of the chat template, under which a problem's text becomes a prompt.

    Attributes:
      enabled: use the model's chat template, if it has one; else the text is the prompt.
      system: a system message before the problem; None for none, which many templates fill in
        themselves.
      thinking: turns the template's thinking on or off; None leaves it to the template.
      moment: that a template writes which asks for the date; None for now.
    """

    enabled: bool = True
    system: str | None = None
    thinking: bool | None = None
    moment: datetime.datetime | None = None


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


def writes_date(template: str | None) -> bool:
    """Tells whether a template asks for the date."""
    return template is not None and "strftime_now" in template


class PromptRenderer:
    """A context manager that renders under one template, in a process that can be killed."""

    def __init__(self, tokenizer, template: str, options: ChatOptions):
        """Takes what every prompt is rendered with.

        Args:
          tokenizer: whose special tokens the template may name.
          template: from `select_template`.
          options: the system message, the thinking switch and the moment.
        """
        self.options, self.label = options, label_tokenizer(tokenizer)
        moment = options.moment or datetime.datetime.now()
        self._process = TemplateProcess(template, moment)
        special = json.loads(json.dumps(tokenizer.special_tokens_map, default=str))
        thinking = {} if options.thinking is None else {"enable_thinking": options.thinking}
        self._variables = {"tools": None, "documents": None, **special, **thinking}

    def render_problems(self, problems: Sequence[Problem]) -> list[str]:
        """Renders problems, each up to where the model is to answer.

        Args:
          problems: whose text is the user's message.

        Returns:
          The texts, special tokens included.

        Raises:
          InputError: if the template fails on one.
        """
        chats = [self._make_chat(self.list_messages(problem.prompt)) for problem in problems]
        try:
            return self._process.render_chats(chats)
        except TemplateFailure as failure:
            unset = "leave model.system unset, " if self.options.system is not None else ""
            raise InputError(
                f"{self.label}: the chat template fails on problem"
                f" {problems[failure.index].identifier} ({failure.reason}); mend chat_template,"
                f" {unset}or set model.chat=false"
            ) from None

    def list_messages(self, question: str) -> list[Message]:
        """Returns the messages of a prompt."""
        system = self.options.system
        messages = [] if system is None else [{"role": "system", "content": system}]
        return [*messages, {"role": "user", "content": question}]

    def try_messages(self, messages: list[Message], *, answer_next: bool = False) -> str | None:
        """Renders any messages; None where the template fails.

        Args:
          messages: of a conversation.
          answer_next: ask for what comes before the assistant's next turn.
        """
        try:
            return self._process.render_chats([self._make_chat(messages, answer_next)])[0]
        except TemplateFailure:
            return None

    def _make_chat(self, messages: list[Message], answer_next: bool = True) -> Chat:
        return {**self._variables, "messages": messages, "add_generation_prompt": answer_next}

    def __enter__(self) -> "PromptRenderer":
        self._process.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._process.__exit__(*error)
