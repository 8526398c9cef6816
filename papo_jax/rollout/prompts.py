"""Problems to padded token ids: text is encoded once, and never again after that.

Shapes: N problems, P prompt slots (padded on the left).
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from papo_jax.errors import InputError
from papo_jax.rollout.chat import Chat, render, template_of
from papo_jax.rollout.generate import Prompts
from papo_jax.tasks.problem import Problem

_BLOCK = 1024  # texts encoded at once, on all cores; their lists of ids are garbage before the next block


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """The prompts of many problems, encoded.

    Attributes:
      tokens: [S] int32, the prompts end to end.
      offsets: [N + 1] int64; prompt n is `tokens[offsets[n] : offsets[n + 1]]`.
      identifiers: [N] int32, of the problems.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    identifiers: np.ndarray

    @classmethod
    def of(cls, tokenizer, problems: Iterable[Problem], chat: Chat = Chat()) -> "Store":
        """Encodes problems.

        Args:
          tokenizer: a fast tokenizer of `transformers`.
          problems: read once, in order.
          chat: how a text becomes a prompt.

        Returns:
          The `Store`. Special tokens are those that the chat template writes, or without one those
          that the tokenizer adds by itself.

        Raises:
          InputError: if the template fails or cannot do what `chat` asks for, or a prompt has no
            token.
        """
        tokens, lengths, identifiers = [np.zeros(0, np.int32)], [0], []
        for block, encoded in _blocks(tokenizer, problems, chat):
            tokens.append(np.fromiter(itertools.chain.from_iterable(encoded), np.int32))
            lengths.extend(map(len, encoded))
            identifiers.extend(problem.identifier for problem in block)
        return cls(
            np.concatenate(tokens),
            np.cumsum(lengths, dtype=np.int64),
            np.array(identifiers, np.int32),
        )

    def __len__(self) -> int:
        return len(self.identifiers)

    def __getitem__(self, row: int) -> np.ndarray:
        """Returns the token ids of one prompt."""
        row = range(len(self))[row]
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def longest(self) -> int:
        """The length of the longest prompt, tokens; 0 of no prompts."""
        return int(np.diff(self.offsets).max(initial=0))

    def check(self, *, limit: int, room: int) -> None:
        """Checks that all prompts fit.

        Args:
          limit: rollout.max_prompt_tokens.
          room: what remains of the model's positions for a prompt.

        Raises:
          InputError: if a prompt is longer than either.
        """
        worst = self.longest
        if worst > limit:
            where = self.identifiers[int(np.argmax(np.diff(self.offsets)))]
            raise InputError(
                f"problem {where} has a prompt of {worst} tokens, more than rollout.max_prompt_tokens = {limit}"
            )
        if worst > room:
            raise InputError(
                f"a prompt of {worst} tokens and rollout.max_new_tokens do not fit the model's positions;"
                f" {room} tokens are left for a prompt"
            )

    def take(self, rows: Sequence[int], *, multiple: int, longest: int) -> Prompts:
        """Returns some prompts, padded.

        Args:
          rows: places in the store, which are the identifiers of a task's split.
          multiple: of the number of slots.
          longest: the most slots; no less than the longest prompt.

        Returns:
          `Prompts` of as many rows, P = `slots` of them.
        """
        encoded = [self[row] for row in rows]
        return pad(
            encoded,
            self.identifiers[list(rows)],
            slots(encoded, multiple=multiple, longest=longest),
        )


def _blocks(
    tokenizer, problems: Iterable[Problem], chat: Chat
) -> Iterator[tuple[list[Problem], list[list[int]]]]:
    """Yields (problems, their token ids), some at a time."""
    template = template_of(tokenizer, chat)
    problems = iter(problems)
    while block := list(itertools.islice(problems, _BLOCK)):
        texts = [
            problem.prompt if template is None else render(tokenizer, template, problem, chat)
            for problem in block
        ]
        # A template has written every special token already.
        encoded = tokenizer(texts, add_special_tokens=template is None, verbose=False)["input_ids"]
        for problem, ids in zip(block, encoded, strict=True):
            if not ids:
                raise InputError(
                    f"problem {problem.identifier} has an empty prompt: no token to go on from; mend the task"
                )
        yield block, encoded


def slots(encoded: Sequence[Sequence[int]], *, multiple: int, longest: int) -> int:
    """Returns P for these prompts: their longest rounded up, so that few shapes are compiled, but
    never above `longest`.

    >>> (slots([[1, 2, 3]], multiple=64, longest=12), slots([[1] * 70], multiple=64, longest=300))
    (12, 128)
    """
    here = max(len(ids) for ids in encoded)
    return min(-(-here // multiple) * multiple, longest)


def pad(encoded: Sequence[Sequence[int]], identifiers: Sequence[int], width: int) -> Prompts:
    """Pads prompts on the left to [N, width]."""
    tokens = np.zeros((len(encoded), width), np.int32)
    valid = np.arange(width) >= width - np.array([[len(ids)] for ids in encoded])
    tokens[valid] = np.concatenate(encoded)
    return Prompts(tokens, valid, np.array(identifiers, np.int32))
