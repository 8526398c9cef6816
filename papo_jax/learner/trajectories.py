"""What a rollout leaves for the update, and how it is cut into minibatches and micro-batches.

Shapes: B sequences, P prompt slots, T completion slots. Row b, slot t of a [B, T] array speaks of
the token tokens[b, t], whose distribution comes from the hidden state one slot before.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from kernels.token_stats import TokenStats
from papo_jax.learner import sharded_token_stats


class Trajectories(NamedTuple):
    """Teacher-forced sequences.

    Attributes:
      prompt_tokens: [B, P] int32; the last slot holds a token, so padding stands on the left.
      prompt_valid: [B, P] boolean, false on padding.
      tokens: [B, T] int32.
      mask: [B, T] boolean, true on tokens that the policy drew.
    """

    prompt_tokens: jax.Array
    prompt_valid: jax.Array
    tokens: jax.Array
    mask: jax.Array


class Batch(NamedTuple):
    """What an update reads, [B, T] unless said otherwise.

    Attributes:
      trajectories: the sequences.
      old_logprob: under the parameters that sampled, from the trainer's own pass, nats.
      reference_logprob: under the reference policy, nats; equal to old_logprob where there is none.
      advantages: w A, the weighted advantages.
      loss_mask: boolean, tokens that take part in the loss: drawn ones, of sequences that are not
        left out.
      polarity: P under the parameters that sampled, 0 in the dead band.
      sequences: [B] int32, a sequence's identity within the rollout, for random choices among
        tokens.
      accuracy: [B] the share of right answers among the samples of the sequence's prompt.
    """

    trajectories: Trajectories
    old_logprob: jax.Array
    reference_logprob: jax.Array
    advantages: jax.Array
    loss_mask: jax.Array
    polarity: jax.Array
    sequences: jax.Array
    accuracy: jax.Array


def statistics(
    graph: nnx.GraphDef,
    params,
    trajectories: Trajectories,
    *,
    temperature: float,
    implementation: str | None = None,
    mesh: Mesh | None = None,
) -> TokenStats:
    """Computes the token statistics of every completion slot under teacher forcing.

    Args:
      graph: of the policy.
      params: of the policy.
      trajectories: B sequences.
      temperature: the sampler's.
      implementation: of `kernels.token_stats.linear_token_stats`.
      mesh: that the sequences and the parameters are spread over; None for one device.

    Returns:
      `TokenStats` of shape [B, T], 0 where the mask is false.
    """
    return sharded_token_stats.token_stats(
        *hidden_and_unembedding(graph, params, trajectories),
        trajectories.tokens,
        trajectories.mask,
        temperature=temperature,
        implementation=implementation,
        mesh=mesh,
    )


def hidden_and_unembedding(
    graph: nnx.GraphDef, params, trajectories: Trajectories
) -> tuple[jax.Array, jax.Array]:
    """Runs the decoder: (hidden states [B, T, D] from which the completion tokens are predicted,
    unembedding [V, D])."""
    model = nnx.merge(graph, params)
    tokens = jnp.concatenate([trajectories.prompt_tokens, trajectories.tokens], axis=1)
    valid = jnp.concatenate([trajectories.prompt_valid, trajectories.mask], axis=1)
    before = trajectories.prompt_tokens.shape[1] - 1
    return model.compute_hidden_states(tokens, valid)[:, before:-1], model.unembedding_matrix()


def split(tree, parts: int):
    """Cuts every [B, ...] leaf into [parts, B / parts, ...], rows dealt out in turn.

    Dealing keeps a batch that is spread over devices spread in every part.
    """
    return jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf.reshape(-1, parts, *leaf.shape[1:]), 1, 0), tree
    )


def join(tree):
    """Undoes `split`."""
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), tree)


def map_rows(function, parts: int, trajectories):
    """Applies `function` to `parts` slices of the rows, one after another, to bound memory."""
    if parts == 1:
        return function(trajectories)
    return join(jax.lax.map(function, split(trajectories, parts)))
