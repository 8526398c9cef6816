"""Completions back to text."""

import numpy as np

from papo_jax.rollout.generate import Completions


def texts(tokenizer, stop_tokens: tuple[int, ...], completions: Completions) -> list[str]:
    """Decodes completions without their stop tokens.

    Args:
      tokenizer: of the policy.
      stop_tokens: of the policy.
      completions: B sequences.

    Returns:
      B texts.
    """
    tokens, mask = np.asarray(completions.tokens), np.asarray(completions.mask)
    ids = [
        [t for t in row[kept].tolist() if t not in stop_tokens]
        for row, kept in zip(tokens, mask, strict=True)
    ]
    return tokenizer.batch_decode(ids)
