"""Token statistics on a mesh, and a loss on them, from hidden states and the unembedding.

On several devices the sequences are split over `data` and `fsdp` and the vocabulary over `tensor`,
as the table of `papo_jax.mesh_rules` says. Each device goes over its part of the vocabulary for its
sequences; numbers of a token are combined by a maximum and a sum, and no device gets another's part
of the vocabulary.

Shapes: B sequences, T time, V vocabulary, D width.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from kernels.token_stats import TokenStats, linear_token_loss, linear_token_stats
from papo_jax import mesh_rules

PyTree = Any


def token_stats(
    hidden: jax.Array,
    unembedding: jax.Array,
    tokens: jax.Array,
    mask: jax.Array,
    *,
    temperature: float,
    implementation: str | None = None,
    mesh: Mesh | None = None,
) -> TokenStats:
    """Computes `kernels.token_stats.linear_token_stats` on a mesh.

    Args:
      hidden: [B, T, D].
      unembedding: [V, D].
      tokens: [B, T] integers.
      mask: [B, T] boolean; elsewhere the statistics are 0.
      temperature: tau > 0.
      implementation: of `linear_token_stats`.
      mesh: from `mesh_rules.make_mesh`; None or one device for no splitting.

    Returns:
      `TokenStats` of shape [B, T].
    """
    axis = _vocabulary_axis(mesh, unembedding)

    def local(hidden, unembedding, tokens, mask):
        return linear_token_stats(
            hidden,
            unembedding,
            tokens,
            temperature=temperature,
            mask=mask,
            axis_name=axis,
            implementation=implementation,
        )

    if mesh is None or mesh.size == 1:
        return local(hidden, unembedding, tokens, mask)
    rows = PartitionSpec(mesh_rules.RULES["batch"])
    specs = (rows, PartitionSpec(axis), rows, rows)
    return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=rows)(
        hidden, unembedding, tokens, mask
    )


def token_loss(
    loss: Callable[[TokenStats, PyTree], jax.Array],
    hidden: jax.Array,
    unembedding: jax.Array,
    *,
    tokens: jax.Array,
    mask: jax.Array,
    context: PyTree,
    temperature: float,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, TokenStats]:
    """Computes `kernels.token_stats.linear_token_loss` on a mesh.

    Args:
      loss: as in `linear_token_loss`, a sum over tokens.
      hidden, unembedding, tokens, mask, temperature, mesh: as in `token_stats`.
      context: pytree of [B, T] arrays.

    Returns:
      (loss [], `TokenStats` of shape [B, T] without gradient).
    """
    axis = _vocabulary_axis(mesh, unembedding)

    def local(hidden, unembedding, tokens, mask, context):
        return linear_token_loss(
            loss,
            hidden,
            unembedding,
            tokens,
            context,
            temperature=temperature,
            mask=mask,
            axis_name=axis,
        )

    if mesh is None or mesh.size == 1:
        return local(hidden, unembedding, tokens, mask, context)

    def on_device(*arguments):
        total, stats = local(*arguments)
        return jax.lax.psum(total, mesh_rules.RULES["batch"]), stats

    rows = PartitionSpec(mesh_rules.RULES["batch"])
    specs = (rows, PartitionSpec(axis), rows, rows, rows)
    mapped = jax.shard_map(on_device, mesh=mesh, in_specs=specs, out_specs=(PartitionSpec(), rows))
    return mapped(hidden, unembedding, tokens, mask, context)


def _vocabulary_axis(mesh: Mesh | None, unembedding: jax.Array) -> str | None:
    """The mesh axis that splits the vocabulary, or None if it stays whole."""
    if mesh is None:
        return None
    axis = mesh_rules.partition_spec(mesh, ("vocabulary", None), unembedding.shape)[0]
    return axis if axis is not None and mesh.shape[axis] > 1 else None
