"""Weights from a file onto the devices, a piece at a time, each device's part straight into place.

A stacked parameter is made empty where it is to live and then written, layer by layer, into the
same memory. No layer is ever gathered, and what the host holds besides is a piece, whatever the
size of the model.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import NamedSharding, PartitionSpec

from papo_jax.errors import InputError
from papo_jax.models.formats import weight_names
from papo_jax.models.formats.weight_names import Layout

# Entries on the way at once, over all devices of this process: 32 MiB of float32, four times while
# it is being copied.
PIECE_ENTRIES = 2**23


class Source(NamedTuple):
    """Tensors under Hugging Face's names, read by rows.

    Attributes:
      label: the file or directory, for messages.
      shapes: name -> shape, [out, in] or [out].
      rows: (name, start, stop) -> those rows, in whatever float type they are stored; of a
        projection that has heads, only whole heads are asked for.
    """

    label: str
    shapes: dict[str, tuple[int, ...]]
    rows: Callable[[str, int, int], np.ndarray]


class _Target(NamedTuple):
    """How a parameter is written; static, so that alike parameters share a compiled program.

    Attributes:
      layout: of one layer.
      stacked: whether the first axis is the layers.
      held: the sharding of the parameter, or None for the default device.
      stored: the same of one layer as the file has it.
    """

    layout: Layout
    stacked: bool
    held: NamedSharding | None
    stored: NamedSharding | None


def fill(
    shapes: dict[str, Any], source: Source, shardings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Makes parameters on their devices out of the tensors of a file.

    Args:
      shapes: nested dict of `jax.ShapeDtypeStruct`; the dtype is the one to hold the parameter in.
      source: where the tensors are.
      shardings: the same nested dict of `NamedSharding`, or None for the default device.

    Returns:
      The same nested dict of arrays.

    Raises:
      InputError: if a tensor is missing, left over or of another shape, found before anything is
        read; or if the file cannot be read.
    """
    flat = flatten_dict(shapes)
    _check(flat, source)
    places = flatten_dict(shardings) if shardings is not None else dict.fromkeys(flat)
    return unflatten_dict(
        {path: _parameter(path, abstract, places[path], source) for path, abstract in flat.items()}
    )


def _check(flat: dict[tuple[str, ...], jax.ShapeDtypeStruct], source: Source) -> None:
    used = set()
    for path, abstract in flat.items():
        shape = abstract.shape[weight_names.is_stacked(path) :]
        wanted = weight_names.layout_of(path, len(shape)).stored_shape(shape)
        for name in weight_names.tensor_names(path, abstract.shape):
            if name not in source.shapes:
                raise InputError(f"{source.label}: the tensor {name} is missing")
            if source.shapes[name] != wanted:
                raise InputError(
                    f"{source.label}: the tensor {name} has shape {source.shapes[name]}, the config asks for {wanted}"
                )
            used.add(name)
    left = sorted(
        name for name in source.shapes.keys() - used if not weight_names.follows_from_the_rest(name)
    )
    if left:
        raise InputError(
            f"{source.label}: {len(left)} tensors have no place in this architecture, the first is {left[0]}"
        )


def _parameter(
    path: tuple[str, ...],
    abstract: jax.ShapeDtypeStruct,
    held: NamedSharding | None,
    source: Source,
) -> jax.Array:
    stacked = weight_names.is_stacked(path)
    shape = abstract.shape[stacked:]
    layout = weight_names.layout_of(path, len(shape))
    stored = _stored_sharding(layout, stacked, held)
    matrix, together = layout.stored_shape(shape), layout.rows_together(shape)
    rows, *columns = stored.shard_shape(matrix) if stored else matrix
    devices = len(stored.addressable_devices) if stored else 1
    step = max(PIECE_ENTRIES // (int(np.prod(columns)) * devices * together), 1) * together
    array = jnp.zeros(abstract.shape, abstract.dtype, device=held)
    for layer, name in enumerate(weight_names.tensor_names(path, abstract.shape)):
        for start in range(0, rows, step):
            piece = _piece(
                source, name, (start, min(start + step, rows)), matrix, stored, abstract.dtype
            )
            array = _write(
                array,
                piece,
                layer,
                start // together,
                target=_Target(layout, stacked, held, stored),
            )
            # Without the wait the host would read ahead of the devices, and hold all that it has
            # read.
            array.block_until_ready()
    return array


def _stored_sharding(
    layout: Layout, stacked: bool, held: NamedSharding | None
) -> NamedSharding | None:
    """How one layer of the file is split where the parameter is split like `held`."""
    if held is None:
        return None
    entries = tuple(held.spec)
    if stacked and entries and entries[0] is not None:
        raise ValueError(f"{held.spec} splits the layers, which every device must have all of")
    return NamedSharding(held.mesh, layout.stored_spec(PartitionSpec(*entries[stacked:])))


def _piece(
    source: Source,
    name: str,
    span: tuple[int, int],
    matrix: tuple[int, ...],
    stored: NamedSharding | None,
    dtype: Any,
) -> jax.Array:
    """The same span of rows of every device's part of a tensor [rows, columns], as one array split
    like the tensor.

    Rows are read once, whole, and columns cut from memory: a device's columns of a row lie within a
    page or two, so nothing would be saved on disk. The dtype changes here, on the host, where
    subnormal numbers survive it.
    """
    start, stop = span

    @functools.cache
    def read(first: int) -> np.ndarray:
        return source.rows(name, first + start, first + stop).astype(dtype, copy=False)

    if stored is None:
        return jnp.asarray(read(0))
    rows = stored.shard_shape(matrix)[0]
    size = stop - start

    def part(index: tuple[slice, ...]) -> np.ndarray:
        first = (index[0].start or 0) // size * rows
        return np.ascontiguousarray(read(first)[(slice(None), *index[1:])])

    return jax.make_array_from_callback((matrix[0] // rows * size, *matrix[1:]), stored, part)


@functools.partial(jax.jit, donate_argnums=0, static_argnames="target")
def _write(
    array: jax.Array, piece: jax.Array, layer: jax.Array, start: jax.Array, *, target: _Target
) -> jax.Array:
    """Writes a piece into its layer, from step `start` of the first row axis of every device's
    part."""

    def local(array, piece, layer, start):
        shape = array.shape[target.stacked :]
        ours = target.layout.to_ours(piece, shape)
        at = [0] * len(shape)
        at[target.layout.rows[0]] = start
        if target.stacked:
            ours, at = ours[None], [layer, *at]
        return jax.lax.dynamic_update_slice(array, ours, at)

    if target.held is not None:
        specs = (target.held.spec, target.stored.spec, PartitionSpec(), PartitionSpec())
        local = jax.shard_map(
            local, mesh=target.held.mesh, in_specs=specs, out_specs=target.held.spec
        )
    return local(array, piece, layer, start)
