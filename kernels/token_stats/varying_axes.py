"""Inside `jax.shard_map`: which values differ between the devices of a mesh axis, and saying so.

`jax.shard_map` checks in the types of values over which mesh axes they vary (its `check_vma`).
Outside of it, and where the check is off, nothing varies and these functions do nothing.
"""

import jax


def varying_as(tree, *like, but: str | None = None):
    """Inside `jax.shard_map`, marks `tree` as different on every device along the axes where `like`
    is, except `but`.

    Loop carries must have one type, and the gradient of an operand that all devices share must be
    summed over
    them: both follow from saying so.
    """
    axes = _varying_axes(like) - {but}

    def mark(leaf):
        missing = tuple(sorted(axes - _varying(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(mark, tree)


def shaped_as(shape: tuple[int, ...], dtype, *like) -> jax.ShapeDtypeStruct:
    """The shape of a kernel's output that differs between devices wherever one of `like` does."""
    axes = _varying_axes(like)
    if not axes:
        return jax.ShapeDtypeStruct(shape, dtype)
    return jax.ShapeDtypeStruct(
        shape, dtype, manual_axis_type=jax.typeof(jax.tree.leaves(like)[0]).manual_axis_type
    )


def _varying(array) -> frozenset[str]:
    return jax.typeof(array).manual_axis_type.varying


def _varying_axes(tree) -> frozenset[str]:
    return frozenset().union(*(_varying(leaf) for leaf in jax.tree.leaves(tree)))
