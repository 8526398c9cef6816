"""The gradient of a minibatch's objective, in one of two ways; neither ever holds [B, T, V].

An objective is a function of token statistics, [B, T]. Where it is a sum over tokens, the head
computes statistics, loss and gradient chunk by chunk of tokens in one pass. Where it looks across
tokens (`Rule.whole`), a first pass without gradient makes the statistics of the whole minibatch;
the objective's slopes in them,

    a_t = d L / d log p(y_t),   h_t = d L / d H_t,

are then numbers, and the second pass differentiates sum_t a_t log p(y_t) + h_t H_t: the same
gradient. What the step predicts of entropy is sum_t g_t T_t with g = -a, since a step goes down.

Shapes: B sequences of the minibatch, T completion slots. What stands after `*` is static.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from kernels.token_stats import TokenStats
from papo_jax.learner import sharded_token_stats
from papo_jax.learner.trajectories import Batch, hidden_and_unembedding, map_rows, split, statistics
from papo_jax.methods import draws, signals
from papo_jax.methods.calling import keywords, named
from papo_jax.methods.objectives import Objective, Rule
from papo_jax.methods.phase import PhaseState
from papo_jax.models import Params, lora

Metrics = dict[str, jax.Array]
Arrays = dict[str, jax.Array]


def accumulate(
    params: Params,
    batch: Batch,
    key: jax.Array,
    phase: PhaseState,
    frozen: Params | None = None,
    *,
    graph: nnx.GraphDef,
    method: dict,
    limit: int,
    temperature: float,
    microbatches: int,
    mesh: Mesh | None = None,
) -> tuple[Params, Metrics]:
    """Computes the minibatch's gradient and averaged sums, micro-batch by micro-batch.

    Args:
      params: those that are trained.
      batch: B sequences; B is a multiple of `microbatches`.
      key: for objectives that choose tokens at random.
      phase: the entropy trajectory, which some objectives look at.
      frozen: parameters that are not trained; None where all are.
      graph: of the policy.
      method: a preset's keyword arguments.
      limit: the longest completion, tokens.
      temperature: the sampler's.
      microbatches: parts that the minibatch is gone through in.
      mesh: that parameters and batch are spread over; None for one device.

    Returns:
      (gradients like `params`, {"loss": [], "entropy_change/sum": [], "count": [] the denominator,
      and the objective's metrics as averages}).
    """
    rule: Rule = method["objective"]
    scalars = {
        "bonus": phase.bonus,
        "rollout_entropy": phase.entropy,
        "past_entropy": phase.ema,
        "limit": limit,
    }

    def objective(stats: TokenStats, arrays: Arrays) -> Objective:
        flipped = _flipped(stats, arrays, method)
        arrays = {**arrays, "entropy": stats.entropy, "unit_polarity": stats.unit_polarity}
        needed = (arrays.pop(name) for name in ("old_logprob", "advantages", "mask"))
        out = rule.loss(stats.logprob, *needed, **keywords(rule.loss, arrays, scalars, method))
        return out._replace(metrics={**out.metrics, "polarity/flipped": flipped})

    def token_loss(loss: Callable, params: Params, rows: Batch, context: Arrays):
        hidden, unembedding = hidden_and_unembedding(
            graph, lora.join_params(params, frozen), rows.trajectories
        )
        return sharded_token_stats.token_loss(
            loss,
            hidden,
            unembedding,
            rows.trajectories.tokens,
            rows.loss_mask,
            context,
            temperature=temperature,
            mesh=mesh,
        )

    arrays = _arrays(rule, batch, key, limit)
    if rule.whole:

        def function(rows):
            return statistics(
                graph, lora.join_params(params, frozen), rows, temperature=temperature, mesh=mesh
            )

        stats = map_rows(function, microbatches, batch.trajectories)
        slopes, (out, change) = _slopes(objective, stats, arrays)
        part = _pulled(token_loss)
        gradients, _ = _summed(part, params, batch, slopes, microbatches)
        loss = out.total
    else:
        part = _separable(objective, token_loss)
        gradients, (loss, out, change) = _summed(part, params, batch, arrays, microbatches)
    denominator = jnp.maximum(out.count, 1.0)
    averages = {
        name: value / jnp.maximum(number, 1) for name, (value, number) in out.metrics.items()
    }
    gradients = jax.tree.map(lambda gradient: gradient / denominator, gradients)
    return gradients, {
        "loss": loss / denominator,
        "entropy_change/sum": change / denominator,
        "count": out.count,
        **averages,
    }


def _arrays(rule: Rule, batch: Batch, key: jax.Array, limit: int) -> Arrays:
    """What an objective may ask for of each token, [B, T], beside the current statistics."""
    mask = batch.loss_mask
    arrays = {
        "old_logprob": batch.old_logprob,
        "advantages": batch.advantages,
        "mask": mask,
        "reference_logprob": batch.reference_logprob,
        "polarity": batch.polarity,
        "accuracy": jnp.broadcast_to(batch.accuracy[:, None], mask.shape),
    }
    if not rule.whole:
        arrays["coefficients"] = rule.average(mask, limit).coefficients
    if "draws" in named(rule.loss):
        arrays["draws"] = draws.uniform(key, batch.sequences, mask.shape[1])
    return arrays


def _flipped(stats: TokenStats, arrays: Arrays, method: dict) -> tuple[jax.Array, jax.Array]:
    """(tokens whose polarity has another sign now than where they were sampled, tokens that were in
    a branch there)."""
    now = signals.polarity(
        stats, arrays["advantages"], arrays["mask"], **keywords(signals.polarity, method)
    )
    acting = arrays["mask"] & (arrays["polarity"] != 0)
    return (acting & (jnp.sign(now) == -jnp.sign(arrays["polarity"]))).sum(), acting.sum()


def _slopes(objective, stats: TokenStats, arrays: Arrays):
    """((d total / d log p(y_t), d total / d H_t), (`Objective`, sum_t g T)), everything of the
    whole minibatch."""

    def total(logprob, entropy):
        out = objective(stats._replace(logprob=logprob, entropy=entropy), arrays)
        return out.total, out

    slopes, out = jax.grad(total, argnums=(0, 1), has_aux=True)(stats.logprob, stats.entropy)
    slopes = {
        name: jnp.where(arrays["mask"], slope, 0.0)
        for name, slope in zip(("logprob", "entropy"), slopes, strict=True)
    }
    change = -(slopes["logprob"] * stats.unit_polarity).sum()
    return slopes, (out._replace(count=jnp.asarray(out.count, jnp.float32)), change)


def _pulled(token_loss) -> Callable:
    """(params, rows, slopes) -> (gradient, ()): of a loss whose slopes are known."""

    def linear(stats: TokenStats, slopes: Arrays):
        return (slopes["logprob"] * stats.logprob + slopes["entropy"] * stats.entropy).sum()

    return lambda params, rows, slopes: (
        jax.grad(lambda params: token_loss(linear, params, rows, slopes)[0])(params),
        (),
    )


def _separable(objective, token_loss) -> Callable:
    """(params, rows, arrays) -> (gradient, (loss, `Objective`, sum_t g T)): of a loss that is a sum
    over tokens."""

    def of_chunk(stats: TokenStats, arrays: Arrays):
        """A chunk of tokens as one row: their coefficients know the answers that they come from."""
        return objective(*jax.tree.map(lambda leaf: leaf[None], (stats, arrays))).total

    def total(params, rows: Batch, arrays: Arrays):
        loss, stats = token_loss(of_chunk, params, rows, arrays)
        out = objective(stats, arrays)
        slope = jax.grad(lambda logprob: objective(stats._replace(logprob=logprob), arrays).total)(
            stats.logprob
        )
        change = -jnp.where(arrays["mask"], slope * stats.unit_polarity, 0.0).sum()
        return loss, (loss, out._replace(count=jnp.asarray(out.count, jnp.float32)), change)

    return jax.grad(total, has_aux=True)


def _summed(part: Callable, params: Params, batch: Batch, arrays: Arrays, microbatches: int):
    """Adds up part(params, rows, arrays of the rows) over the micro-batches."""
    parts = split((batch, arrays), microbatches)
    shapes = jax.eval_shape(part, params, *jax.tree.map(lambda leaf: leaf[0], parts))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(sums, rows):
        return (jax.tree.map(jnp.add, sums, part(params, *rows)), None)

    return jax.lax.scan(add, zeros, parts)[0]
