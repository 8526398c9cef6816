"""Random numbers that belong to tokens, and orders made of them. Shapes: B sequences, T time.

A token's number depends on its sequence's identity and its position, so a random choice among tokens does not change
when sequences are laid out in another order, padded, split over micro-batches or over devices.
"""

import jax
import jax.numpy as jnp


def uniform(key: jax.Array, sequences: jax.Array, slots: int) -> jax.Array:
    """Draws a number in [0, 1) for every token.

        u[b, t] = uniform(fold_in(fold_in(key, sequences[b]), t))

    Args:
      key: what the numbers are for.
      sequences: [B] integers, a sequence's identity within its rollout.
      slots: T.

    Returns:
      [B, T] float32.

    >>> numbers = uniform(jax.random.key(0), jnp.array([7, 3]), 4)
    >>> swapped = uniform(jax.random.key(0), jnp.array([3, 7]), 6)  # another order, longer rows
    >>> bool((numbers == swapped[::-1, :4]).all())
    True
    """
    of_sequence = jax.vmap(jax.random.fold_in, (None, 0))(key, sequences)
    of_token = jax.vmap(lambda k: jax.vmap(jax.random.fold_in, (None, 0))(k, jnp.arange(slots)))(of_sequence)
    return jax.vmap(jax.vmap(jax.random.uniform))(of_token)


def lowest(draws: jax.Array, eligible: jax.Array, count: jax.Array | int) -> jax.Array:
    """Chooses at random: the `count` eligible tokens whose numbers are lowest, all of them where there are fewer.

    Args:
      draws: [B, T] from `uniform`.
      eligible: [B, T] boolean.
      count: [] integer.

    Returns:
      [B, T] boolean.

    >>> lowest(jnp.array([[0.3, 0.1, 0.2]]), jnp.array([[True, False, True]]), 1).tolist()
    [[False, False, True]]
    """
    return highest(-draws, eligible, count, ties=draws)


def highest(values: jax.Array, eligible: jax.Array, count: jax.Array | int, *, ties: jax.Array) -> jax.Array:
    """Chooses the `count` eligible tokens of the highest values, all of them where there are fewer.

    Args:
      values: [B, T].
      eligible: [B, T] boolean.
      count: [] integer.
      ties: [B, T] from `uniform`; of equal values the lowest numbers win, so that places in the batch do not matter.
        (The samples of one prompt often begin with the same token, and so with the same values.)

    Returns:
      [B, T] boolean.

    >>> ties = jnp.array([[0.5, 0.5, 0.1, 0.4]])
    >>> highest(jnp.array([[3.0, 9.0, 2.0, 3.0]]), jnp.array([[True, False, True, True]]), 1, ties=ties).tolist()
    [[False, False, False, True]]
    """
    ranked = jnp.where(eligible, -values, jnp.inf).reshape(-1)
    order = jnp.lexsort((ties.reshape(-1), ranked))
    rank = jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
    return eligible & (rank.reshape(values.shape) < count)


def threshold(values: jax.Array, mask: jax.Array, share: float) -> jax.Array:
    """Returns the value that the top `share` of the masked entries reach, [], +inf where the mask is empty.

    The k-th highest value, k = ceil(share N): entries equal to it belong to the top.

    >>> float(threshold(jnp.array([[1.0, 4.0, 3.0, 9.0]]), jnp.array([[True, True, True, False]]), 0.5))
    3.0
    """
    number = mask.sum()
    # A hair less, so that 0.2 x 5 in float32 asks for one entry and not for two.
    wanted = jnp.clip(jnp.ceil(share * number - 1e-3), 1, jnp.maximum(number, 1)).astype(jnp.int32)
    descending = -jnp.sort(jnp.where(mask, -values, jnp.inf).reshape(-1))
    return jnp.where(number > 0, descending[wanted - 1], jnp.inf)


def permuted(values: jax.Array, mask: jax.Array, key: jax.Array, sequences: jax.Array, strata: jax.Array) -> jax.Array:
    """Permutes values at random among the tokens of each stratum.

    Sorting tokens by (stratum, one number) and by (stratum, another number) pairs them within strata.

    Args:
      values: [B, T].
      mask: [B, T] boolean; elsewhere nothing moves.
      key: of the permutation.
      sequences: [B] integers, identities.
      strata: [B, T] integers.

    Returns:
      [B, T] with the same values in every stratum.
    """
    slots = mask.shape[1]
    outside = jnp.where(mask, strata, jnp.iinfo(jnp.int32).max).reshape(-1)
    places, sources = (
        jnp.lexsort((uniform(jax.random.fold_in(key, number), sequences, slots).reshape(-1), outside)) for number in (0, 1)
    )
    flat = values.reshape(-1)
    moved = flat.at[places].set(flat[sources]).reshape(values.shape)
    return jnp.where(mask, moved, values)
