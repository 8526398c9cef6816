"""One optimizer step on one minibatch, a pure function of the state and the batch.

Shapes: B sequences of the minibatch, T completion slots.
"""

import jax
import jax.numpy as jnp
import optax

from papo_jax.learner.batches import UpdateBatch
from papo_jax.learner.gradients import LossFunction, Metrics, compute_gradients
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import TrainState
from papo_jax.methods.method import Method


def update_minibatch(
    state: TrainState,
    batch: UpdateBatch,
    key: jax.Array,
    scorer: PolicyScorer,
    *,
    method: Method,
    optimizer: optax.GradientTransformation,
    max_new_tokens: int,
) -> tuple[TrainState, Metrics]:
    """Makes one optimizer step; micro-batches accumulate over one global denominator.

    An update that is not finite is skipped: the state stays as it was, except that `skipped` counts
    it. Without a token in the loss the state stays as it was too, and that is no skip.

    Args:
      state: before the update.
      batch: B sequences.
      key: for objectives that choose tokens at random.
      scorer: of the policy.
      method: whose objective is minimized.
      optimizer: whose state `state` holds.
      max_new_tokens: the longest completion, tokens.

    Returns:
      (new state, metrics). `entropy_change/sum` is sum_t g_t T_t over the minibatch,
      g_t = -d loss / d log p(y_t) with clip, ratio, weight and normalizer included; the gradient
      that an entropy bonus has through H_t is not in it.
    """
    loss_fn = LossFunction(method, max_new_tokens, state.entropy_trajectory)
    gradients, sums = compute_gradients(state.params, batch, key, scorer, loss=loss_fn)
    loss = sums.pop("loss")
    norm = optax.tree.norm(gradients)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)

    # Without a token in the loss only momentum and weight decay would move the parameters.
    finite = jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
    made = finite & (sums.pop("count") > 0)
    proposed = state._replace(
        params=optax.apply_updates(state.params, updates), opt_state=opt_state
    )
    next_state = jax.tree.map(lambda new, old: jnp.where(made, new, old), proposed, state)
    counts = {"update/made": made.astype(jnp.int32), "update/skipped": 1 - finite.astype(jnp.int32)}
    metrics = {"loss": loss, "grad_norm": norm, **counts, **sums}
    return next_state._replace(skipped=jnp.where(finite, 0, state.skipped + 1)), metrics
