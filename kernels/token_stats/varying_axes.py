"""Helpers for the varying axes in the types of values inside `jax.shard_map`.

`jax.shard_map` checks in the types of values over which mesh axes they vary (its `check_vma`).
Outside of it, and where the check is off, nothing varies and these functions do nothing.
"""

from typing import Any, TypeVar

import jax

Tree = TypeVar("Tree")


def mark_varying(tree: Tree, *like: Any, except_axis: str | None = None) -> Tree:
    """Marks `tree` as varying over the mesh axes over which any of `like` varies.

    Loop carries must have one type, and the gradient of an operand that all devices share must be
    summed over them: both follow from the mark.

    Args:
      tree: pytree of arrays.
      *like: pytrees of arrays.
      except_axis: a mesh axis that is left unmarked.

    Returns:
      The marked `tree`.
    """
    axes = _union_varying_axes(like) - {except_axis}

    def mark_leaf(leaf):
        missing = tuple(sorted(axes - _varying_axes(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(mark_leaf, tree)


def make_output_shape(shape: tuple[int, ...], dtype, *like: Any) -> jax.ShapeDtypeStruct:
    """Returns the type of a kernel's output that varies over the axes over which `like` varies."""
    axes = _union_varying_axes(like)
    if not axes:
        return jax.ShapeDtypeStruct(shape, dtype)
    return jax.ShapeDtypeStruct(
        shape, dtype, manual_axis_type=jax.typeof(jax.tree.leaves(like)[0]).manual_axis_type
    )


def _varying_axes(array: jax.Array) -> frozenset[str]:
    return jax.typeof(array).manual_axis_type.varying


def _union_varying_axes(tree: Any) -> frozenset[str]:
    return frozenset().union(*(_varying_axes(leaf) for leaf in jax.tree.leaves(tree)))
