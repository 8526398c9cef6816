"""Detokenization of completions."""

import numpy as np

from papo_jax.rollout.generate import Completions
from papo_jax.rollout.tokenizing import decode_texts


def detokenize_completions(
    tokenizer, stop_tokens: tuple[int, ...], completions: Completions
) -> list[str]:
    """Turns completions into text, without their stop tokens.

    Args:
      tokenizer: of the policy.
      stop_tokens: of the policy.
      completions: B sequences.

    Returns:
      B texts.

    Raises:
      InputError: if the tokenizer fails, or takes far too long.
    """
    tokens, action = np.asarray(completions.tokens), np.asarray(completions.action)
    ids = [
        [token for token in row[drawn].tolist() if token not in stop_tokens]
        for row, drawn in zip(tokens, action, strict=True)
    ]
    return decode_texts(tokenizer, ids)
