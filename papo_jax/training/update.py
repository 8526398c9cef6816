"""One optimiser step on one minibatch: a pure function of the state and the batch.

Shapes: B sequences of the minibatch, T completion slots. What stands after `*` is static.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from papo_jax.methods import objectives
from papo_jax.models import Params, head, lora
from papo_jax.training.state import TrainState
from papo_jax.training.trajectories import Batch, hidden_and_unembedding, split

Metrics = dict[str, jax.Array]


def update(
    state: TrainState,
    batch: Batch,
    frozen: Params | None = None,
    *,
    graph: nnx.GraphDef,
    optimiser: optax.GradientTransformation,
    objective: str,
    clip_low: float,
    clip_high: float,
    kl_coefficient: float,
    temperature: float,
    microbatches: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Makes one optimiser step on one minibatch, accumulated over micro-batches with one global denominator.

    An update that is not finite is skipped: the state stays as it was, but for the count of skips in a row. So it does,
    without being counted, where no token takes part in the loss.

    Args:
      state: donated.
      batch: B sequences; B is a multiple of `microbatches`.
      frozen: parameters that are not trained, beside those of the state; None where all are.
      graph: of the policy.
      optimiser: whose state `state` holds.
      objective: a name in `objectives.OBJECTIVES`.
      clip_low, clip_high, kl_coefficient: of the objective.
      temperature: the sampler's.
      microbatches: parts that the minibatch is gone through in.
      mesh: that state and batch are spread over; None for one device.

    Returns:
      (new state, metrics). `entropy_change/sum` is sum_t g_t T_t over the minibatch, g_t = -d loss / d log p(y_t)
      with clip, ratio, weight and normaliser included.
    """
    arguments = dict(clip_low=clip_low, clip_high=clip_high, kl_coefficient=kl_coefficient)
    gradients, sums = accumulate(
        state.params, batch, frozen, graph=graph, objective=objective, arguments=arguments,
        temperature=temperature, microbatches=microbatches, mesh=mesh,
    )  # fmt: skip
    loss = sums.pop("loss")
    norm = optax.tree.norm(gradients)
    updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
    # Without a token in the loss there is nothing to follow but the optimiser's momentum and decay.
    made = finite & (sums.pop("count") > 0)
    proposed = state._replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)
    kept = jax.tree.map(lambda new, old: jnp.where(made, new, old), proposed, state)
    metrics = {"loss": loss, "grad_norm": norm, "update/skipped": 1 - finite.astype(jnp.int32), **sums}
    return kept._replace(skipped=jnp.where(finite, 0, state.skipped + 1)), metrics


def accumulate(
    params: Params,
    batch: Batch,
    frozen: Params | None = None,
    *,
    graph: nnx.GraphDef,
    objective: str,
    arguments: dict,
    temperature: float,
    microbatches: int,
    mesh: Mesh | None = None,
):
    """Computes the minibatch's gradient and averaged sums, micro-batch by micro-batch.

    The gradient at the head is made chunk by chunk of tokens in the forward pass, so no [B, T, V] array exists.

    Returns:
      (gradients like `params`, {"loss": [], "entropy_change/sum": [], "count": [] the denominator, and the objective's
      metrics as averages}).
    """
    function, coefficients_of = objectives.OBJECTIVES[objective]

    def of_logprob(logprob, context: _Context) -> objectives.Objective:
        return function(
            logprob, context.old_logprob, context.advantages, context.mask,
            coefficients=context.coefficients, reference_logprob=context.reference_logprob, **arguments,
        )  # fmt: skip

    def of_chunk(stats, context):
        """A chunk of tokens as one row: their coefficients know the answers that they come from."""
        return of_logprob(stats.logprob[None], jax.tree.map(lambda leaf: leaf[None], context)).total

    def total(params, rows: Batch):
        trajectories, mask = rows.trajectories, rows.loss_mask
        context = _Context(rows.old_logprob, rows.reference_logprob, rows.advantages, mask, coefficients_of(mask))
        loss, stats = head.token_loss(
            of_chunk, *hidden_and_unembedding(graph, lora.join(params, frozen), trajectories), trajectories.tokens, mask, context,
            temperature=temperature, mesh=mesh,
        )  # fmt: skip
        out = of_logprob(stats.logprob, context)
        pressure = -jax.grad(lambda logprob: of_logprob(logprob, context).total)(stats.logprob)
        change = jnp.where(mask, pressure * stats.unit_polarity, 0.0).sum()
        return loss, (out.count.astype(jnp.float32), change, out.metrics)

    def part(rows: Batch):
        return jax.value_and_grad(total, has_aux=True)(params, rows)

    parts = split(batch, microbatches)
    shapes = jax.eval_shape(part, jax.tree.map(lambda leaf: leaf[0], parts))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    add = lambda sums, rows: (jax.tree.map(jnp.add, sums, part(rows)), None)  # noqa: E731
    ((loss, (count, change, metrics)), gradients), _ = jax.lax.scan(add, zeros, parts)
    denominator = jnp.maximum(count, 1.0)
    averages = {name: value / jnp.maximum(number, 1) for name, (value, number) in metrics.items()}
    gradients = jax.tree.map(lambda gradient: gradient / denominator, gradients)
    return gradients, {"loss": loss / denominator, "entropy_change/sum": change / denominator, "count": count, **averages}


class _Context(NamedTuple):
    """What an objective needs to know of each token, [B, T]."""

    old_logprob: jax.Array
    reference_logprob: jax.Array
    advantages: jax.Array
    mask: jax.Array
    coefficients: jax.Array
