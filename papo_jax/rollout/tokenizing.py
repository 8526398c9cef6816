"""Encoding of prompts and decoding of completions, under the guard that a tokenizer needs."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from papo_jax.errors import InputError
from papo_jax.models.formats.hf_tokenizer import label_tokenizer
from papo_jax.models.formats.tokenizer_guard import TokenizerFailure, call_guarded

Result = TypeVar("Result")

# Seconds; honest tokenizers take a microsecond a character.
_DEADLINE, _DEADLINE_PER_CHARACTER = 30.0, 1e-4
_CHARACTERS_PER_TOKEN = 16  # at most, about
_PROBE = "1 a"  # a text of which every tokenizer makes tokens


def encode_texts(tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Encodes texts as they are, without tokens of the tokenizer's own.

    Args:
      tokenizer: a fast tokenizer of `transformers`.
      texts: in which special tokens may stand.

    Returns:
      The token ids of each.

    Raises:
      InputError: if the tokenizer fails, or takes far too long.
    """
    return _encode(tokenizer, texts, add_special_tokens=False)["input_ids"]


def encode_plain_texts(tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Encodes prompts, with the special tokens that the tokenizer puts in front of a text.

    Those that it puts behind one (an end of sequence, a separator) would end the prompt before the
    policy has begun to answer, so they are left out.

    Args:
      tokenizer: a fast tokenizer of `transformers`.
      texts: of the prompts.

    Returns:
      The token ids of each.

    Raises:
      InputError: as `encode_texts`.
    """
    probe = _encode(tokenizer, [_PROBE], add_special_tokens=True, return_special_tokens_mask=True)
    behind = _count_behind(probe["special_tokens_mask"][0])
    encoded = _encode(tokenizer, texts, add_special_tokens=True)["input_ids"]
    return [ids[: len(ids) - behind] for ids in encoded]


def decode_texts(tokenizer, ids: Sequence[Sequence[int]]) -> list[str]:
    """Decodes sequences of token ids.

    Args:
      tokenizer: a fast tokenizer of `transformers`.
      ids: of each sequence.

    Returns:
      A text a sequence.

    Raises:
      InputError: as `encode_texts`.
    """
    characters = _CHARACTERS_PER_TOKEN * sum(map(len, ids))
    return _call(tokenizer, "decode", characters, lambda: tokenizer.batch_decode(ids))


def _encode(tokenizer, texts: Sequence[str], **options: bool) -> Any:
    # A list, since for one text alone the library does not let other threads run meanwhile.
    texts = list(texts)
    characters = sum(map(len, texts))
    return _call(
        tokenizer, "encode", characters, lambda: tokenizer(texts, verbose=False, **options)
    )


def _call(tokenizer, task: str, characters: int, call: Callable[[], Result]) -> Result:
    try:
        return call_guarded(call, seconds=_DEADLINE + _DEADLINE_PER_CHARACTER * characters)
    except TokenizerFailure as failure:
        raise InputError(
            f"{label_tokenizer(tokenizer)}: the tokenizer cannot {task} these texts ({failure});"
            " mend tokenizer.json, or fetch it again"
        ) from None


def _count_behind(added: Sequence[int]) -> int:
    """Counts the tokens behind a text that the tokenizer added, [T] marks -> a number.

    >>> _count_behind([1, 0, 0, 1]), _count_behind([1, 0]), _count_behind([1])
    (1, 0, 0)
    """
    return 0 if all(added) else [*reversed(added)].index(0)
