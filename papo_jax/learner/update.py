"""One optimizer step on one minibatch: a pure function of the state and the batch.

Shapes: B sequences of the minibatch, T completion slots. What stands after `*` is static.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from papo_jax.learner.gradients import Metrics, accumulate
from papo_jax.learner.state import TrainState
from papo_jax.learner.trajectories import Batch
from papo_jax.models import Params


def update(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    frozen: Params | None = None,
    *,
    graph: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    method: dict,
    limit: int,
    temperature: float,
    microbatches: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Makes one optimizer step on one minibatch, accumulated over micro-batches with one global
    denominator.

    An update that is not finite is skipped: the state stays as it was, but for the count of skips
    in a row. So it does, without being counted, where no token takes part in the loss.

    Args:
      state: donated.
      batch: B sequences; B is a multiple of `microbatches`.
      key: for objectives that choose tokens at random.
      frozen: parameters that are not trained, beside those of the state; None where all are.
      graph: of the policy.
      optimizer: whose state `state` holds.
      method: a preset's keyword arguments: its objective and the numbers that it takes.
      limit: the longest completion, tokens.
      temperature: the sampler's.
      microbatches: parts that the minibatch is gone through in.
      mesh: that state and batch are spread over; None for one device.

    Returns:
      (new state, metrics). `entropy_change/sum` is sum_t g_t T_t over the minibatch, g_t = -d loss
      / d log p(y_t) with clip, ratio, weight and normalizer included; what an entropy bonus does by
      itself is not in it.
    """
    gradients, sums = accumulate(
        state.params,
        batch,
        key,
        state.phase,
        frozen,
        graph=graph,
        method=method,
        limit=limit,
        temperature=temperature,
        microbatches=microbatches,
        mesh=mesh,
    )
    loss = sums.pop("loss")
    norm = optax.tree.norm(gradients)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
    # Without a token in the loss there is nothing to follow but the optimizer's momentum and decay.
    made = finite & (sums.pop("count") > 0)
    proposed = state._replace(
        params=optax.apply_updates(state.params, updates), opt_state=opt_state
    )
    kept = jax.tree.map(lambda new, old: jnp.where(made, new, old), proposed, state)
    counts = {"update/made": made.astype(jnp.int32), "update/skipped": 1 - finite.astype(jnp.int32)}
    metrics = {"loss": loss, "grad_norm": norm, **counts, **sums}
    return kept._replace(skipped=jnp.where(finite, 0, state.skipped + 1)), metrics
