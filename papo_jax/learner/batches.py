"""Arrays of the learner: trajectories, a rollout, its grades, the batch that updates read.

Shapes: N prompts, G samples a prompt, B = N G sequences, P prompt slots, T completion slots. Row b,
slot t of a [B, T] array belongs to the token tokens[b, t], whose distribution comes from the hidden
state one slot before.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats import TokenStats
from papo_jax.mesh_rules import Array
from papo_jax.rollout.generate import Completions, Prompts


class Trajectories(NamedTuple):
    """Teacher-forced sequences.

    Attributes:
      prompt_tokens: [B, P] int32; the last slot holds a token, so padding stands on the left.
      prompt_valid: [B, P] boolean, false on padding.
      tokens: [B, T] int32.
      valid: [B, T] boolean, true where a token stands: what attention and positions go by.
      action: [B, T] boolean, true on tokens that the policy drew: what loss, metrics and weights go
        by. Never true where `valid` is false; the two differ where an environment's tokens stand
        between those of the policy.
    """

    prompt_tokens: jax.Array
    prompt_valid: jax.Array
    tokens: jax.Array
    valid: jax.Array
    action: jax.Array


class Rollout(NamedTuple):
    """Sampled sequences with their statistics under the policy that sampled them.

    Attributes:
      trajectories: B sequences, the samples of a prompt side by side.
      stats: `TokenStats` [B, T], of the logits that each token was drawn from, or from the
        learner's own pass; the first update's ratios are 1 up to the rounding of two programs, or
        of one.
      entropy: [] mean over all tokens that the policy drew in this step, nats; those of groups that
        dynamic sampling drew and did not train on are included.
      reference_logprob: [B, T] under the reference policy of a KL term, nats, from the learner's
        own pass; None for a method without such a term.
    """

    trajectories: Trajectories
    stats: TokenStats
    entropy: jax.Array
    reference_logprob: jax.Array | None = None


class Grades(NamedTuple):
    """Grades of a rollout's answers, given by the task, [N, G].

    Attributes:
      rewards: float32, in the task's own unit.
      right: boolean, what accuracy and pass@k count.
      kept: boolean, false on answers that are left out of the loss.
    """

    rewards: Array
    right: Array
    kept: Array


class UpdateBatch(NamedTuple):
    """The batch that updates read, [B, T] unless said otherwise.

    Attributes:
      trajectories: the sequences.
      old_logprob: under the parameters that sampled, nats.
      reference_logprob: under the reference policy, nats; equal to old_logprob where there is none.
      weighted_advantages: w A.
      loss_mask: boolean, tokens that take part in the loss: the policy's own, of answers that are
        kept, without those that the method drops.
      polarity: P under the parameters that sampled, 0 in the dead band.
      sequences: [B] int32, a sequence's identity within the rollout, for random choices among
        tokens.
      accuracy: [B] the share of right answers among the samples of the sequence's prompt.
    """

    trajectories: Trajectories
    old_logprob: jax.Array
    reference_logprob: jax.Array
    weighted_advantages: jax.Array
    loss_mask: jax.Array
    polarity: jax.Array
    sequences: jax.Array
    accuracy: jax.Array


def make_trajectories(prompts: Prompts, completions: Completions, *, samples: int) -> Trajectories:
    """Lays every prompt beside its completions, all of whose tokens are the policy's own."""
    return Trajectories(
        prompt_tokens=jnp.repeat(prompts.tokens, samples, axis=0),
        prompt_valid=jnp.repeat(prompts.valid, samples, axis=0),
        tokens=completions.tokens,
        valid=completions.action,
        action=completions.action,
    )


def sum_entropy(stats: TokenStats, mask: jax.Array) -> jax.Array:
    """Returns [2], the entropy summed over the mask, nats, and the number of tokens in it."""
    return jnp.stack([jnp.where(mask, stats.entropy, 0.0).sum(), mask.sum().astype(jnp.float32)])


def split_rows(tree, parts: int):
    """Cuts every [B, ...] leaf into [parts, B / parts, ...], rows dealt out in turn.

    Row b goes to part b % parts. So every part of a batch that is split over devices is split over
    all of them; a cut into runs of rows would leave a part on a few.
    """

    def deal(leaf):
        return jnp.moveaxis(leaf.reshape(-1, parts, *leaf.shape[1:]), 1, 0)

    return jax.tree.map(deal, tree)


def join_rows(tree):
    """Undoes `split_rows`."""
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), tree)


def map_rows(function, parts: int, rows):
    """Applies a function to `parts` slices of the rows, one after another, to bound memory."""
    if parts == 1:
        return function(rows)
    return join_rows(jax.lax.map(function, split_rows(rows, parts)))
