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
    """Makes one optimizer step, accumulated over micro-batches with one global denominator.

    An update that is not finite is skipped: the state stays as it was, but for the count of skips
    in a row. So it does, without being counted, where no token takes part in the loss.

    Args:
      state: before the update.
      batch: B sequences; B is a multiple of the scorer's micro-batch.
      key: for objectives that choose tokens at random.
      scorer: of the policy.
      method: whose objective is followed.
      optimizer: whose state `state` holds.
      max_new_tokens: the longest completion, tokens.

    Returns:
      (new state, metrics). `entropy_change/sum` is sum_t g_t T_t over the minibatch,
      g_t = -d loss / d log p(y_t) with clip, ratio, weight and normalizer included; what an entropy
      bonus does by itself is not in it.
    """
    loss_fn = LossFunction(method, max_new_tokens, state.entropy_trajectory)
    gradients, sums = compute_gradients(state.params, batch, key, scorer, loss=loss_fn)
    loss = sums.pop("loss")
    norm = optax.tree.norm(gradients)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)

    # Without a token in the loss there is nothing to follow but the optimizer's momentum and decay.
    finite = jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
    made = finite & (sums.pop("count") > 0)
    proposed = state._replace(
        params=optax.apply_updates(state.params, updates), opt_state=opt_state
    )
    kept = jax.tree.map(lambda new, old: jnp.where(made, new, old), proposed, state)
    counts = {"update/made": made.astype(jnp.int32), "update/skipped": 1 - finite.astype(jnp.int32)}
    metrics = {"loss": loss, "grad_norm": norm, **counts, **sums}
    return kept._replace(skipped=jnp.where(finite, 0, state.skipped + 1)), metrics
