"""Random numbers that belong to tokens, and choices among tokens made with them.

Shapes: B sequences, T time. A token's number depends on its sequence's identity and its position,
so a random choice among tokens does not change when sequences are laid out in another order,
padded, split over micro-batches or over devices. (Numbers are multiples of 2^-23: where two tokens
have the same one, the one that is laid out first comes first.)
"""

import jax
import jax.numpy as jnp

SLACK = 3e-7  # relative: float32 rounds share x number, and a share of 0.1 of 30 tokens must be 3


def token_uniforms(key: jax.Array, sequences: jax.Array, slots: int) -> jax.Array:
    """Draws a number in [0, 1) for every token.

        u[b, t] = uniform(fold_in(fold_in(key, sequences[b]), t))

    Args:
      key: what the numbers are for.
      sequences: [B] integers, a sequence's identity within its rollout.
      slots: T.

    Returns:
      [B, T] float32.

    >>> numbers = token_uniforms(jax.random.key(0), jnp.array([7, 3]), 4)
    >>> # The same numbers in another order of longer rows:
    >>> swapped = token_uniforms(jax.random.key(0), jnp.array([3, 7]), 6)
    >>> bool((numbers == swapped[::-1, :4]).all())
    True
    """

    def fold_slots(sequence_key):
        return jax.vmap(jax.random.fold_in, (None, 0))(sequence_key, jnp.arange(slots))

    sequence_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, sequences)
    token_keys = jax.vmap(fold_slots)(sequence_keys)
    return jax.vmap(jax.vmap(jax.random.uniform))(token_keys)


def select_lowest(uniforms: jax.Array, eligible: jax.Array, count: jax.Array | int) -> jax.Array:
    """Selects the `count` eligible tokens whose numbers are lowest, all where there are fewer.

    Args:
      uniforms: [B, T] from `token_uniforms`.
      eligible: [B, T] boolean.
      count: [] integer.

    Returns:
      [B, T] boolean.

    >>> select_lowest(jnp.array([[0.3, 0.1, 0.2]]), jnp.array([[True, False, True]]), 1).tolist()
    [[False, False, True]]
    """
    return select_highest(-uniforms, eligible, count, ties=uniforms)


def select_highest(
    values: jax.Array, eligible: jax.Array, count: jax.Array | int, *, ties: jax.Array
) -> jax.Array:
    """Selects the `count` eligible tokens of the highest values, all where there are fewer.

    Args:
      values: [B, T].
      eligible: [B, T] boolean.
      count: [] integer.
      ties: [B, T] from `token_uniforms`; of equal values those with the lowest numbers win, so that
        positions in the batch do not matter. (Ties are common: the samples of one prompt often
        begin with the same token, and so with the same values.)

    Returns:
      [B, T] boolean.

    >>> ties = jnp.array([[0.5, 0.5, 0.1, 0.4]])
    >>> select_highest(
    ...     jnp.array([[3.0, 9.0, 2.0, 3.0]]), jnp.array([[True, False, True, True]]), 1, ties=ties
    ... ).tolist()
    [[False, False, False, True]]
    """
    ranked = jnp.where(eligible, -values, jnp.inf).reshape(-1)
    order = jnp.lexsort((ties.reshape(-1), ranked))
    rank = jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
    return eligible & (rank.reshape(values.shape) < count)


def count_at_most(share: float, number: jax.Array | int) -> jax.Array:
    """Returns max(1, floor(share number)): a share of the tokens, rounded down, at least one.

    >>> int(count_at_most(1e-4, 19_999)), int(count_at_most(1e-4, 20_000))
    (1, 2)
    """
    return jnp.maximum(1, jnp.floor(share * number * (1.0 + SLACK))).astype(jnp.int32)


def count_at_least(share: float, number: jax.Array | int) -> jax.Array:
    """Returns max(1, ceil(share number)): a share of the tokens, rounded up, at least one.

    >>> int(count_at_least(0.2, 5)), int(count_at_least(0.2, 6))
    (1, 2)
    """
    return jnp.maximum(1, jnp.ceil(share * number * (1.0 - SLACK))).astype(jnp.int32)


def top_threshold(values: jax.Array, mask: jax.Array, share: float) -> jax.Array:
    """Returns the value that the top `share` of the masked entries reach, [].

    The k-th highest value, k = ceil(share N): entries equal to it belong to the top. +inf where the
    mask is empty.

    >>> float(
    ...     top_threshold(
    ...         jnp.array([[1.0, 4.0, 3.0, 9.0]]), jnp.array([[True, True, True, False]]), 0.5
    ...     )
    ... )
    3.0
    """
    number = mask.sum()
    wanted = jnp.minimum(count_at_least(share, number), jnp.maximum(number, 1))
    descending = -jnp.sort(jnp.where(mask, -values, jnp.inf).reshape(-1))
    return jnp.where(number > 0, descending[wanted - 1], jnp.inf)


def permute_within_strata(
    values: jax.Array, mask: jax.Array, key: jax.Array, *, sequences: jax.Array, strata: jax.Array
) -> jax.Array:
    """Permutes values at random among the tokens of each stratum.

    The tokens in the order of (stratum, a first random number) get the values in the order of
    (stratum, a second one). Both orders go through the strata one after another, so no value leaves
    its stratum.

    Args:
      values: [B, T].
      mask: [B, T] boolean; elsewhere nothing moves.
      key: of the permutation.
      sequences: [B] integers, identities.
      strata: [B, T] integers.

    Returns:
      [B, T]; every stratum has the values that it had.

    >>> values, strata = jnp.array([[1.0, 2.0, 3.0, 4.0]]), jnp.array([[0, 1, 0, 1]])
    >>> everywhere, key = strata < 2, jax.random.key(0)
    >>> moved = permute_within_strata(
    ...     values, everywhere, key, sequences=jnp.array([7]), strata=strata
    ... )
    >>> sorted(moved[0, ::2].tolist()), sorted(moved[0, 1::2].tolist())
    ([1.0, 3.0], [2.0, 4.0])
    """
    # Tokens outside the mask form a last stratum.
    flat_strata = jnp.where(mask, strata, jnp.iinfo(jnp.int32).max).reshape(-1)

    def shuffle_strata(number: int) -> jax.Array:
        uniforms = token_uniforms(jax.random.fold_in(key, number), sequences, mask.shape[1])
        return jnp.lexsort((uniforms.reshape(-1), flat_strata))

    targets, sources = shuffle_strata(0), shuffle_strata(1)
    flat_values = values.reshape(-1)
    moved = flat_values.at[targets].set(flat_values[sources]).reshape(values.shape)
    return jnp.where(mask, moved, values)
