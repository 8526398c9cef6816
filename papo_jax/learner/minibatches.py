"""The plan of a rollout's updates: which rows each minibatch holds, in which order.

Shapes: B sequences, U = epochs x minibatches updates, b = B / minibatches rows an update.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from papo_jax.learner.state import Stream, TrainState, stream_key


class UpdatePlan(NamedTuple):
    """The updates of a rollout, one after another.

    Attributes:
      rows: [U, b] int32.
      keys: [U] PRNG keys of choices among tokens, one for all updates of an epoch.
      due: [U] boolean; an update that is not due has no row with a token in the loss, and is not
        made.
    """

    rows: jax.Array
    keys: jax.Array
    due: jax.Array


def plan_updates(
    state: TrainState, kept: jax.Array, *, minibatches: int, epochs: int, pack: bool
) -> UpdatePlan:
    """Plans epochs of minibatches, each epoch in an order of its own.

    Rows of the loss are dealt out evenly over the minibatches. With `pack` they fill one minibatch
    after another instead; minibatches without such a row are not due, except the first of each
    epoch, so that there are always metrics.

    Args:
      state: whose key and step decide the order.
      kept: [B] boolean, rows with a token in the loss.
      minibatches: updates an epoch.
      epochs: passes over the rows.
      pack: true to fill minibatches one after another.

    Returns:
      `UpdatePlan`.
    """
    order_key = stream_key(state.key, state.step, Stream.MINIBATCHES)
    selection_key = stream_key(state.key, state.step, Stream.SELECTION)
    rows, due = [], []
    for epoch in range(epochs):
        shuffled = jax.random.permutation(jax.random.fold_in(order_key, epoch), kept.shape[0])
        shuffled = put_kept_first(shuffled, kept)
        cut = shuffled.reshape(minibatches, -1)
        dealt = shuffled.reshape(-1, minibatches).T
        # Where every row is kept, the order is cut as it is: that is even too.
        rows.append(cut if pack else jnp.where(kept.all(), cut, dealt))
        first = jnp.arange(minibatches) == 0
        due.append(first | kept[cut].any(axis=1) if pack else jnp.ones_like(first))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(selection_key, jnp.arange(epochs))
    return UpdatePlan(
        rows=jnp.concatenate(rows),
        keys=keys[jnp.repeat(jnp.arange(epochs), minibatches)],
        due=jnp.concatenate(due),
    )


def put_kept_first(shuffled: jax.Array, kept: jax.Array) -> jax.Array:
    """Moves the rows of the loss to the front of an order, [B]; within both parts it stays.

    >>> order, kept = jnp.array([2, 0, 3, 1]), jnp.array([True, False, False, True])
    >>> put_kept_first(order, kept).tolist()
    [0, 3, 2, 1]
    """
    return shuffled[jnp.argsort(~kept[shuffled], stable=True)]
