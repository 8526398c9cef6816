"""Prompts: problems encoded to token ids once, and padded batches of them.

Shapes: N problems, P prompt slots (padded on the left).
"""

import contextlib
import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from papo_jax.errors import InputError
from papo_jax.rollout import chat_checks
from papo_jax.rollout.chat import ChatOptions, PromptRenderer, select_template
from papo_jax.rollout.generate import Prompts
from papo_jax.rollout.tokenizing import encode_plain_texts, encode_texts
from papo_jax.tasks.problem import Problem

_DEFAULT_OPTIONS = ChatOptions()
Integers = Sequence[int] | np.ndarray

# Texts encoded at once, on all cores; their lists of ids are garbage before the next block.
_BLOCK = 1024


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PromptStore:
    """The encoded prompts of many problems.

    Attributes:
      tokens: [S] int32, the prompts end to end.
      offsets: [N + 1] int64; prompt n is `tokens[offsets[n] : offsets[n + 1]]`.
      identifiers: [N] int32, of the problems.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    identifiers: np.ndarray

    @classmethod
    def from_problems(
        cls, tokenizer, problems: Iterable[Problem], options: ChatOptions = _DEFAULT_OPTIONS
    ) -> "PromptStore":
        """Encodes problems.

        Args:
          tokenizer: a fast tokenizer of `transformers`.
          problems: read once, in order.
          options: of the chat template.

        Returns:
          The `PromptStore`. Special tokens are those that the chat template writes, or without one
          those that the tokenizer puts in front by itself.

        Raises:
          InputError: if the template fails, drops a text or cannot do what `options` asks for, or
            a prompt has no token.
        """
        tokens, lengths, identifiers = [np.zeros(0, np.int32)], [0], []
        for block, encoded in _encode_blocks(tokenizer, problems, options):
            tokens.append(np.fromiter(itertools.chain.from_iterable(encoded), np.int32))
            lengths.extend(map(len, encoded))
            identifiers.extend(problem.identifier for problem in block)
        return cls(
            tokens=np.concatenate(tokens),
            offsets=np.cumsum(lengths, dtype=np.int64),
            identifiers=np.array(identifiers, np.int32),
        )

    def __repr__(self) -> str:
        return f"PromptStore({len(self)} prompts, {len(self.tokens):,} tokens)"

    def __len__(self) -> int:
        return len(self.identifiers)

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns the token ids of one prompt."""
        index = range(len(self))[index]
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @property
    def max_length(self) -> int:
        """The length of the longest prompt, tokens; 0 of no prompts."""
        return int(np.diff(self.offsets).max(initial=0))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every prompt's identifier and tokens, in order."""
        digest = hashlib.sha256()
        for array in (self.identifiers, self.offsets, self.tokens):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def check_tokens(self, vocabulary_size: int) -> None:
        """Raises `InputError` if a prompt holds a token that the embedding has no row for.

        Args:
          vocabulary_size: V, the rows of the embedding.
        """
        outside = np.flatnonzero((self.tokens < 0) | (self.tokens >= vocabulary_size))
        if outside.size:
            row = int(np.searchsorted(self.offsets, outside[0], side="right")) - 1
            raise InputError(
                f"the prompt of problem {self.identifiers[row]} holds the token"
                f" {self.tokens[outside[0]]}, and the embedding has rows 0 to"
                f" {vocabulary_size - 1}; the tokenizer is not the model's"
            )

    def check_lengths(self, *, max_prompt_tokens: int, max_positions: int) -> None:
        """Checks that all prompts fit.

        Args:
          max_prompt_tokens: rollout.max_prompt_tokens.
          max_positions: those of the model that completions leave for a prompt.

        Raises:
          InputError: if a prompt is longer than either.
        """
        longest = self.max_length
        if longest > max_prompt_tokens:
            identifier = self.identifiers[int(np.argmax(np.diff(self.offsets)))]
            raise InputError(
                f"problem {identifier} has a prompt of {longest} tokens, more than"
                f" rollout.max_prompt_tokens = {max_prompt_tokens}"
            )
        if longest > max_positions:
            raise InputError(
                f"a prompt of {longest} tokens and rollout.max_new_tokens do not fit the model's"
                f" positions; {max_positions} tokens are left for a prompt"
            )

    def make_batch(self, indices: Integers, *, multiple: int, max_slots: int) -> Prompts:
        """Returns some prompts, padded.

        Args:
          indices: of the prompts in the store, which are the identifiers of a task's split.
          multiple: of the number of slots.
          max_slots: the most slots; no less than the longest prompt.

        Returns:
          `Prompts` of as many rows, with P from `count_slots`.
        """
        encoded = [self[index] for index in indices]
        slots = count_slots(encoded, multiple=multiple, max_slots=max_slots)
        return pad_prompts(encoded, self.identifiers[list(indices)], slots)


def _encode_blocks(
    tokenizer, problems: Iterable[Problem], options: ChatOptions
) -> Iterator[tuple[list[Problem], list[list[int]]]]:
    """Yields (problems, their token ids), some at a time."""
    template = select_template(tokenizer, options)
    with contextlib.ExitStack() as stack:
        renderer = None
        if template is not None:
            renderer = stack.enter_context(PromptRenderer(tokenizer, template, options))
        for number, block in enumerate(_take_blocks(problems)):
            if renderer is None:
                encoded = encode_plain_texts(tokenizer, [problem.prompt for problem in block])
            else:
                texts = _render_checked(renderer, block)
                if number == 0:
                    chat_checks.check_answer_is_next(renderer)
                encoded = encode_texts(tokenizer, texts)  # the template has written special tokens
            for problem, ids in zip(block, encoded, strict=True):
                if not ids:
                    raise InputError(
                        f"problem {problem.identifier} has an empty prompt: no token to continue"
                        " from; mend the task"
                    )
            yield block, encoded


def _take_blocks(problems: Iterable[Problem]) -> Iterator[list[Problem]]:
    problems = iter(problems)
    while block := list(itertools.islice(problems, _BLOCK)):
        yield block


def _render_checked(renderer: PromptRenderer, block: Sequence[Problem]) -> list[str]:
    """Renders problems and looks for their text in what was rendered."""
    texts = renderer.render_problems(block)
    for problem, text in zip(block, texts, strict=True):
        chat_checks.check_nothing_is_dropped(renderer, problem, text)
    return texts


def count_slots(encoded: Sequence[Integers], *, multiple: int, max_slots: int) -> int:
    """Returns P for these prompts: their longest rounded up, but never above `max_slots`.

    Rounding keeps the number of compiled shapes small.

    >>> count_slots([[1, 2, 3]], multiple=64, max_slots=12)
    12
    >>> count_slots([[1] * 70], multiple=64, max_slots=300)
    128
    """
    longest = max(len(ids) for ids in encoded)
    return min(-(-longest // multiple) * multiple, max_slots)


def count_occurrences(identifiers: Integers) -> np.ndarray:
    """Counts for each row how many rows before it have the same identifier, [N] -> [N] int32.

    >>> count_occurrences([7, 3, 7, 7]).tolist()
    [0, 0, 1, 2]
    """
    seen, occurrences = Counter(), []
    for identifier in map(int, identifiers):
        occurrences.append(seen[identifier])
        seen[identifier] += 1
    return np.array(occurrences, np.int32)


def pad_prompts(encoded: Sequence[Integers], identifiers: Integers, slots: int) -> Prompts:
    """Pads prompts on the left to [N, slots]."""
    tokens = np.zeros((len(encoded), slots), np.int32)
    valid = np.arange(slots) >= slots - np.array([[len(ids)] for ids in encoded])
    tokens[valid] = np.concatenate(encoded)
    return Prompts(
        tokens=tokens,
        valid=valid,
        identifiers=np.array(identifiers, np.int32),
        occurrences=count_occurrences(identifiers),
    )
