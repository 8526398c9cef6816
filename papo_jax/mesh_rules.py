"""The device mesh, and the one table of which array axis is split over which mesh axis.

Axes of the mesh: `data` copies the parameters and splits the batch; `fsdp` splits both; `tensor`
splits heads, the inner width and the vocabulary. One device is the mesh 1 x 1 x 1.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from papo_jax.errors import InputError

PyTree = Any
Array = jax.Array | np.ndarray  # the host's until a jitted program takes it
AXES = ("data", "fsdp", "tensor")

# Logical axis -> mesh axes. An axis that is not named here is whole on every device.
RULES: Mapping[str, Any] = {
    "batch": ("data", "fsdp"),
    "width": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "mlp": "tensor",
    "vocabulary": "tensor",
}


def refuse_several_processes() -> None:
    """Raises `InputError` if this is one of several processes of JAX.

    Rollouts are gathered on the host and every process would write the run's files: one process
    with many devices works, several do not.
    """
    if jax.process_count() > 1:
        raise InputError(
            f"this is process {jax.process_index()} of {jax.process_count()}; runs of several"
            " processes are not supported, so start one process on one machine, with all of its"
            " devices"
        )


def make_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1) -> Mesh:
    """Makes the mesh over the first data x fsdp x tensor devices.

    Axes are of type Auto on purpose: the compiler places the collectives, and contractions over a
    split axis need no annotation (jax 0.12's default type, Explicit, refuses them without one).

    Args:
      data: copies of the parameters.
      fsdp: parts that parameters and batch are split in.
      tensor: parts that heads, the inner width and the vocabulary are split in.

    Returns:
      A `Mesh` with the axes `AXES`.

    Raises:
      InputError: if a size is below 1, there are not that many devices, or there are several
        processes.
    """
    refuse_several_processes()
    shape = (data, fsdp, tensor)
    if min(shape) < 1:
        raise InputError(f"mesh.data, mesh.fsdp and mesh.tensor must be at least 1, not {shape}")
    needed, present = int(np.prod(shape)), jax.device_count()
    if needed > present:
        raise InputError(
            f"the mesh {data} x {fsdp} x {tensor} needs {needed} devices; this machine has"
            f" {present}"
        )
    return jax.make_mesh(
        shape, AXES, axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:needed]
    )


def partition_spec(
    mesh: Mesh, logical: tuple[str | None, ...], shape: tuple[int, ...]
) -> PartitionSpec:
    """Looks up the mesh axes of an array.

    A dimension that does not divide evenly stays whole (nine heads over two devices): results are
    the same, only less is split.

    Args:
      mesh: from `make_mesh`.
      logical: for each dimension the name of its logical axis, or None.
      shape: of the array.

    Returns:
      The `PartitionSpec`.
    """
    axes = []
    for name, size in zip(logical, shape, strict=True):
        axis = RULES.get(name) if name else None
        names = (axis,) if isinstance(axis, str) else axis or ()
        parts = int(np.prod([mesh.shape[n] for n in names], dtype=int))
        axes.append(axis if size % parts == 0 else None)
    return PartitionSpec(*axes)


def param_shardings(
    mesh: Mesh, tree: PyTree, logical_axes: Mapping[str, tuple[str | None, ...]]
) -> PyTree:
    """Returns the sharding of every array in a tree of parameters or of a state that holds them.

    Args:
      mesh: from `make_mesh`.
      tree: arrays or shapes; a leaf's last key names the parameter. Leading axes that the table
        does not name are stacked layers; a leaf that is no parameter (a count) is whole everywhere.
      logical_axes: parameter name -> logical axes.

    Returns:
      A tree of `NamedSharding` of the same structure.
    """

    def shard_leaf(path, leaf):
        name = getattr(path[-1], "key", "") if path else ""
        axes = logical_axes.get(name, ())
        axes = (
            (None,) * (len(leaf.shape) - len(axes)) + tuple(axes)
            if len(axes) <= len(leaf.shape)
            else ()
        )
        if len(axes) != len(leaf.shape):
            axes = (None,) * len(leaf.shape)
        return NamedSharding(mesh, partition_spec(mesh, axes, leaf.shape))

    return jax.tree_util.tree_map_with_path(shard_leaf, tree)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays whose first axis is sequences, [B, ...]."""
    return NamedSharding(mesh, PartitionSpec(RULES["batch"]))


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_parts(mesh: Mesh) -> int:
    """Returns the number of parts that a batch is split in."""
    return int(np.prod([mesh.shape[name] for name in RULES["batch"]]))
