"""The gradient of a minibatch's loss, in one of two ways; neither ever holds [B, T, V].

A loss is a function of token statistics, [B, T]. Where it is a sum over tokens, the head computes
statistics, loss and gradient chunk by chunk of tokens in one pass. Where it looks across tokens
(`Objective.needs_full_minibatch`), a first pass without gradient makes the statistics of the whole
minibatch; the loss's cotangents,

    a_t = d L / d log p(y_t),   h_t = d L / d H_t,

are then numbers, and a second pass differentiates sum_t a_t log p(y_t) + h_t H_t: the same
gradient. The predicted entropy change is sum_t g_t T_t with g = -a, since a step descends the loss.

The decoder runs over packed rows (`learner.packing`), some bins at a time: micro-batches whose
gradients add up over one denominator.

Shapes: B sequences of the minibatch, T completion slots; R bins of W places.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax.learner import packing
from papo_jax.learner.batches import UpdateBatch
from papo_jax.learner.packing import PackedRows, Packing
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.methods import signals, token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import LossSum, TokenReduction
from papo_jax.methods.phase import EntropyTrajectory
from papo_jax.methods.token_batch import UNFILLED, TokenBatch
from papo_jax.models import Params

Metrics = dict[str, jax.Array]


class LossContext(NamedTuple):
    """The inputs of a loss beside the tokens' current statistics.

    Attributes:
      tokens: `TokenBatch` without current statistics and without scalars.
      token_weights: [B, T] of the reduction over whole answers.
    """

    tokens: TokenBatch
    token_weights: jax.Array


class LossFunction(NamedTuple):
    """A method's objective with the scalars that all tokens share.

    Attributes:
      method: whose objective it is.
      max_new_tokens: the longest completion, tokens.
      entropy_trajectory: of the state; some objectives read its scalars.
    """

    method: Method
    max_new_tokens: int
    entropy_trajectory: EntropyTrajectory

    def __call__(self, stats: TokenStats, context: LossContext) -> LossSum:
        """Computes the loss of some tokens under their current statistics."""
        tokens, objective = context.tokens, self.method.objective
        flips = self._count_flips(stats, tokens)
        # Pieces of answers do not know how many answers there are; the minibatch's count is used.
        reduction = TokenReduction(context.token_weights, count=jnp.float32(0))
        tokens = tokens._replace(
            logprob=stats.logprob,
            entropy=stats.entropy,
            unit_polarity=stats.unit_polarity,
            adaptive_coefficient=self.entropy_trajectory.adaptive_coefficient,
            rollout_entropy=self.entropy_trajectory.entropy,
            past_entropy=self.entropy_trajectory.ema,
            dual_clip=self.method.dual_clip,
        )
        out = objective.loss(tokens, reduction)
        return out._replace(metrics={**out.metrics, "polarity/flipped": flips})

    def _count_flips(self, stats: TokenStats, tokens: TokenBatch) -> tuple[jax.Array, jax.Array]:
        """Counts (tokens whose polarity has changed sign since sampling, tokens in a branch)."""
        now = signals.banded_polarity(
            stats, tokens.weighted_advantages, tokens.mask, dead_band=self.method.dead_band
        )
        in_branch = tokens.mask & (tokens.polarity != 0)
        flipped = in_branch & (jnp.sign(now) == -jnp.sign(tokens.polarity))
        return flipped.sum(), in_branch.sum()


def compute_gradients(
    params: Params, batch: UpdateBatch, key: jax.Array, scorer: PolicyScorer, *, loss: LossFunction
) -> tuple[Params, Metrics]:
    """Computes the gradient and the metrics of a minibatch's mean loss, over micro-batches.

    Args:
      params: the trained parameters.
      batch: B sequences.
      key: for objectives that choose tokens at random.
      scorer: of the policy.
      loss: `LossFunction`.

    Returns:
      (gradients like `params`, {"loss": [], "entropy_change/sum": [], "count": [] the loss's
      denominator, and the objective's metrics as averages}).
    """
    context, count = _make_context(batch, key, loss)
    size = scorer.count_bins(batch.trajectories)
    packed = packing.pack_rows(batch.trajectories, batch.loss_mask, multiple=size)
    rows = packing.pack_trajectories(packed, batch.trajectories, batch.loss_mask)
    bins = _Bins(packed, rows, size)
    if loss.method.objective.needs_full_minibatch:
        # Two passes: statistics of everything, then the gradient along the loss's cotangents.
        stats = _packed_stats(params, bins, scorer)
        cotangents, (out, change) = _loss_cotangents(loss, stats, context)
        gradients, _ = _sum_over_microbatches(
            _linearized_gradient(scorer), params, bins, packing.pack_arrays(packed, cotangents)
        )
        total = out.total
    else:
        gradients, (total, out, change) = _sum_over_microbatches(
            _fused_gradient(scorer, loss), params, bins, packing.pack_arrays(packed, context)
        )

    denominator = jnp.maximum(count, 1.0)
    gradients = jax.tree.map(lambda gradient: gradient / denominator, gradients)
    averages = {
        name: value / jnp.maximum(number, 1) for name, (value, number) in out.metrics.items()
    }
    sums = {"loss": total / denominator, "entropy_change/sum": change / denominator}
    return gradients, {**sums, "count": count, **averages}


class _Bins(NamedTuple):
    """A packed minibatch: its packing, its rows, and M, the bins of a micro-batch."""

    packing: Packing
    rows: PackedRows
    size: int


def _packed_stats(params: Params, bins: _Bins, scorer: PolicyScorer) -> TokenStats:
    """Computes the token statistics of a packed minibatch, [B, T], 0 outside the mask."""

    def put_stats(stats, index, rows):
        found = scorer.packed_stats(params, rows)
        return jax.tree.map(
            lambda array, part: jax.lax.dynamic_update_slice_in_dim(
                array, part, index * bins.size, axis=0
            ),
            stats,
            found,
        )

    first = jax.tree.map(lambda leaf: leaf[: bins.size], bins.rows)
    shapes = jax.eval_shape(scorer.packed_stats, params, first)
    zeros = jax.tree.map(
        lambda shape: jnp.zeros((bins.rows.mask.shape[0], *shape.shape[1:]), shape.dtype), shapes
    )
    stats = packing.fold_used(put_stats, zeros, bins.packing, bins.rows, size=bins.size)
    return packing.unpack_arrays(bins.packing, stats)


def _make_context(
    batch: UpdateBatch, key: jax.Array, loss: LossFunction
) -> tuple[LossContext, jax.Array]:
    """Collects what an objective may read of each token, except current statistics.

    Returns:
      (`LossContext`, the loss's count [] float32).
    """
    mask, objective = batch.loss_mask, loss.method.objective
    uniforms = UNFILLED
    if objective.needs_token_uniforms:
        uniforms = token_random.token_uniforms(key, batch.sequences, mask.shape[1])
    reduction = objective.reduction(mask, loss.max_new_tokens)
    tokens = TokenBatch(
        logprob=UNFILLED,
        old_logprob=batch.old_logprob,
        weighted_advantages=batch.weighted_advantages,
        mask=mask,
        reference_logprob=batch.reference_logprob,
        polarity=batch.polarity,
        accuracy=jnp.broadcast_to(batch.accuracy[:, None], mask.shape),
        token_uniforms=uniforms,
    )
    return LossContext(tokens, reduction.token_weights), jnp.asarray(reduction.count, jnp.float32)


def _loss_cotangents(loss: LossFunction, stats: TokenStats, context: LossContext):
    """Returns ({"logprob": a, "entropy": h}, (`LossSum`, sum_t g T)) of the whole minibatch."""

    def total_loss(logprob, entropy):
        out = loss(stats._replace(logprob=logprob, entropy=entropy), context)
        return out.total, out

    slopes, out = jax.grad(total_loss, argnums=(0, 1), has_aux=True)(stats.logprob, stats.entropy)
    mask = context.tokens.mask
    cotangents = {
        name: jnp.where(mask, slope, 0.0)
        for name, slope in zip(("logprob", "entropy"), slopes, strict=True)
    }
    change = -(cotangents["logprob"] * stats.unit_polarity).sum()
    return cotangents, (out, change)


def _linearized_gradient(scorer: PolicyScorer) -> Callable:
    """Makes (params, rows, cotangents) -> (gradient, ()), for a loss whose cotangents are known."""

    def linear_loss(stats: TokenStats, cotangents: dict[str, jax.Array]) -> jax.Array:
        logprob, entropy = cotangents["logprob"], cotangents["entropy"]
        return (logprob * stats.logprob + entropy * stats.entropy).sum()

    def gradient(params: Params, rows: PackedRows, cotangents: dict[str, jax.Array]):
        def total_loss(params):
            return scorer.token_loss(linear_loss, params, rows, context=cotangents)[0]

        return jax.grad(total_loss)(params), ()

    return gradient


def _fused_gradient(scorer: PolicyScorer, loss: LossFunction) -> Callable:
    """Makes (params, rows, context) -> (gradient, (loss, `LossSum`, sum_t g T)), in one pass."""

    def chunk_loss(stats: TokenStats, context: LossContext) -> jax.Array:
        """Computes the loss of a chunk as one row of tokens; weights come from whole answers."""
        return loss(*jax.tree.map(lambda leaf: leaf[None], (stats, context))).total

    def total_loss(params: Params, rows: PackedRows, context: LossContext):
        total, stats = scorer.token_loss(chunk_loss, params, rows, context=context)
        # The pass gives the loss alone; metrics and slopes come from its statistics.
        out = loss(stats, context)

        def detached_total(logprob):
            return loss(stats._replace(logprob=logprob), context).total

        slope = jax.grad(detached_total)(stats.logprob)
        change = -jnp.where(context.tokens.mask, slope * stats.unit_polarity, 0.0).sum()
        return total, (total, out, change)

    return jax.grad(total_loss, has_aux=True)


def _sum_over_microbatches(gradient_fn: Callable, params: Params, bins: _Bins, context):
    """Adds up gradient_fn(params, rows, context of the rows) over the micro-batches of the bins."""
    inputs = bins.rows, context
    first = jax.tree.map(lambda leaf: leaf[: bins.size], inputs)
    shapes = jax.eval_shape(gradient_fn, params, *first)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(sums, index, part):
        return jax.tree.map(jnp.add, sums, gradient_fn(params, *part))

    return packing.fold_used(add, zeros, bins.packing, inputs, size=bins.size)
