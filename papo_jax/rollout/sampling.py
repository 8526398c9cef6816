"""Sampling of tokens from logits: the only place where a token is drawn.

Shapes: B sequences, V vocabulary. The same tempered, untruncated softmax is what the token
statistics describe, so what is sampled is what is trained. A draw has gone over all logits anyway,
so it gives its token's statistics too, in sums of the same exponentials.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from kernels.token_stats.sums import MIN_EXPONENT, VocabularySums, to_token_stats
from kernels.token_stats.token_rows import TokenRows


class _LogitBlocks(NamedTuple):
    """Tempered logits in blocks of about sqrt(V), with their one-pass sums.

    Attributes:
      x: [B, n, V / n], (z - max z) / tau; -inf beyond the vocabulary.
      maximum: [B], max z.
      s0, s1, q0, q1: [B, n], of each block, as in `VocabularySums`.
    """

    x: jax.Array
    maximum: jax.Array
    s0: jax.Array
    s1: jax.Array
    q0: jax.Array
    q1: jax.Array


def sample_tokens(
    keys: jax.Array, logits: jax.Array, *, temperature: float = 1.0
) -> tuple[jax.Array, TokenStats]:
    """Draws one token a row, exactly, from softmax(logits / temperature), with its statistics.

    In two levels, each by Gumbel-max: first a block of about sqrt(V) tokens by its probability,
    then a token inside it. That takes 2 sqrt(V) random numbers a row instead of V, which would be
    most of the time of generation on a CPU. Probabilities are as accurate as float32 exponentials:
    no cumulative sum rounds rare tokens away.

    Args:
      keys: [B] PRNG keys, one a row: a row's draw depends on nothing else in the batch.
      logits: [B, V]; an entry of -inf is never drawn.
      temperature: tau > 0.

    Returns:
      ([B] int32 tokens, `TokenStats` [B]).

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> tokens, stats = sample_tokens(keys, jnp.array([[0.0, -jnp.inf], [-jnp.inf, 0.0]]))
    >>> print(tokens, stats.entropy)
    [0 1] [0. 0.]
    """
    chex.assert_rank([keys, logits], [1, 2])
    blocks = _cut_into_blocks(logits, temperature)

    # Draw a block by its probability, then a token inside it.
    keys = jax.vmap(jax.random.split)(keys)
    chosen = _sample_categorical(keys[:, 0], jnp.log(blocks.s0))
    block = jnp.take_along_axis(blocks.x, chosen[:, None, None], axis=1)[:, 0]
    inside = _sample_categorical(keys[:, 1], block)
    # The token's x comes from its block: on CPU, XLA takes 15 ms more to gather it from the logits.
    tokens = (chosen * blocks.x.shape[2] + inside).astype(jnp.int32)
    return tokens, _stats_of_tokens(blocks, _take_columns(block, inside), temperature)


def take_likeliest_tokens(logits: jax.Array) -> tuple[jax.Array, TokenStats]:
    """Takes the likeliest token of each row, the limit of temperature 0.

    Args:
      logits: [B, V].

    Returns:
      ([B] int32 tokens, `TokenStats` [B] at temperature 1).
    """
    tokens, blocks = logits.argmax(axis=-1).astype(jnp.int32), _cut_into_blocks(logits, 1.0)
    return tokens, _stats_of_tokens(blocks, jnp.zeros_like(blocks.maximum), 1.0)


def _cut_into_blocks(logits: jax.Array, temperature: float) -> _LogitBlocks:
    """Cuts [B, V] logits into blocks; impossible tokens fill up the last one."""
    rows, vocabulary = logits.shape
    block_size = math.isqrt(vocabulary - 1) + 1
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    maximum = logits.max(axis=1)
    fill = ((0, 0), (0, -vocabulary % block_size))
    x = jnp.pad((logits - maximum[:, None]) / temperature, fill, constant_values=-jnp.inf)
    x = x.reshape(rows, -1, block_size)

    # e^x is an exact 0 where x is -inf, and 0 * -inf would be NaN.
    exponential, finite_x = jnp.exp(x), jnp.maximum(x, MIN_EXPONENT)
    return _LogitBlocks(
        x=x,
        maximum=maximum,
        s0=exponential.sum(axis=2),
        s1=(finite_x * exponential).sum(axis=2),
        q0=(exponential * exponential).sum(axis=2),
        q1=(finite_x * exponential * exponential).sum(axis=2),
    )


def _stats_of_tokens(blocks: _LogitBlocks, x: jax.Array, temperature: float) -> TokenStats:
    """Adds up the sums of the blocks to the statistics of a token a row, whose x is [B]."""
    rows = TokenRows(
        tokens=jnp.zeros_like(x, jnp.int32),  # its logit has been taken already
        active=jnp.ones_like(x, bool),
        support_end=jnp.int32(0),
        temperature=jnp.asarray(temperature, x.dtype),
    )
    sums = VocabularySums(
        maximum=jnp.zeros_like(x),
        s0=blocks.s0.sum(axis=1),
        s1=blocks.s1.sum(axis=1),
        q0=blocks.q0.sum(axis=1),
        q1=blocks.q1.sum(axis=1),
        target_logit=x * rows.temperature,
    )
    stats = to_token_stats(sums, rows)
    return stats._replace(logsumexp=stats.logsumexp + blocks.maximum / rows.temperature)


def _take_columns(array: jax.Array, columns: jax.Array) -> jax.Array:
    """Takes a column of each row, [B, n] and [B] -> [B]."""
    return jnp.take_along_axis(array, columns[:, None], axis=1)[:, 0]


def _sample_categorical(keys: jax.Array, logits: jax.Array) -> jax.Array:
    """Draws an index a row, [B] keys and [B, n] -> [B].

    Mode "high" draws tokens rarer than 2^-23 with their right probability too.
    """

    def draw_index(key, row):
        return jax.random.categorical(key, row, mode="high")

    return jax.vmap(draw_index)(keys, logits)
