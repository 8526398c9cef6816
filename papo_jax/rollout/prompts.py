"""Problems to padded token ids: text is encoded once, and never again after that."""

from collections.abc import Sequence

import numpy as np

from papo_jax.errors import InputError
from papo_jax.rollout.generate import Prompts
from papo_jax.tasks.problem import Problem


def encode(tokenizer, problems: Sequence[Problem]) -> list[list[int]]:
    """Returns the token ids of each problem's prompt, under the chat template where the tokenizer has one."""
    texts = [problem.prompt for problem in problems]
    if not getattr(tokenizer, "chat_template", None):
        return tokenizer(texts)["input_ids"]
    rendered = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
        for text in texts
    ]
    # The template has written every special token already.
    return tokenizer(rendered, add_special_tokens=False)["input_ids"]


def longest(encoded: Sequence[Sequence[int]], problems: Sequence[Problem], *, limit: int, room: int) -> int:
    """Returns the length of the longest prompt, tokens, after checking that all fit.

    Args:
      encoded: from `encode`.
      problems: the same problems, for messages.
      limit: rollout.max_prompt_tokens.
      room: what remains of the model's positions for a prompt.

    Raises:
      InputError: if a prompt is longer than either.
    """
    lengths = [len(ids) for ids in encoded]
    worst = int(np.argmax(lengths))
    if lengths[worst] > limit:
        raise InputError(
            f"problem {problems[worst].identifier} has a prompt of {lengths[worst]} tokens, more than"
            f" rollout.max_prompt_tokens = {limit}"
        )
    if lengths[worst] > room:
        raise InputError(
            f"a prompt of {lengths[worst]} tokens and rollout.max_new_tokens do not fit the model's positions;"
            f" {room} tokens are left for a prompt"
        )
    return lengths[worst]


def slots(encoded: Sequence[Sequence[int]], *, multiple: int, longest: int) -> int:
    """Returns P for these prompts: their longest rounded up, so that few shapes are compiled, but never above `longest`.

    >>> slots([[1, 2, 3]], multiple=64, longest=12), slots([[1] * 70], multiple=64, longest=300)
    (12, 128)
    """
    here = max(len(ids) for ids in encoded)
    return min(-(-here // multiple) * multiple, longest)


def pad(encoded: Sequence[Sequence[int]], problems: Sequence[Problem], width: int) -> Prompts:
    """Pads prompts on the left to [N, width]."""
    tokens = np.zeros((len(encoded), width), np.int32)
    valid = np.zeros((len(encoded), width), bool)
    for row, ids in enumerate(encoded):
        tokens[row, width - len(ids) :] = ids
        valid[row, width - len(ids) :] = True
    return Prompts(tokens, valid, np.array([problem.identifier for problem in problems], np.int32))
