"""Weights from a file onto the devices, a piece at a time, each device's part straight into place.

A stacked parameter is allocated empty on its devices and then written, layer by layer, into the
same memory. No layer is ever gathered, and the host holds no more than a piece besides, whatever
the size of the model.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax.sharding import NamedSharding, PartitionSpec

from papo_jax.errors import InputError
from papo_jax.models.formats import hf_weight_map
from papo_jax.models.formats.hf_weight_map import Layout
from papo_jax.models.policy import ParamPath, flatten_params

# Entries on the way at once, over all devices of this process: 32 MiB of float32, four times while
# it is being copied.
PIECE_ENTRIES = 2**23


class TensorSource(NamedTuple):
    """Tensors under Hugging Face's names, read by rows.

    Attributes:
      label: the file or directory, for messages.
      shapes: name -> shape, [out, in] or [out].
      read_rows: (name, start, stop) -> those rows, in whatever float type they are stored; of a
        projection that has heads, only whole heads are asked for.
    """

    label: str
    shapes: dict[str, tuple[int, ...]]
    read_rows: Callable[[str, int, int], np.ndarray]

    def __repr__(self) -> str:
        return f"TensorSource({self.label}, {len(self.shapes)} tensors)"


class _Target(NamedTuple):
    """The destination of a piece; static, so that alike parameters share a compiled program.

    Attributes:
      layout: of one layer.
      stacked: whether the first axis is the layers.
      sharding: of the parameter, or None for the default device.
      stored_sharding: the same of one layer as the file has it.
    """

    layout: Layout
    stacked: bool
    sharding: NamedSharding | None
    stored_sharding: NamedSharding | None


def load_params(
    shapes: dict[str, Any], source: TensorSource, shardings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Makes parameters on their devices out of the tensors of a file.

    Args:
      shapes: nested dict of `jax.ShapeDtypeStruct`; the dtype is that of the parameter.
      source: of the tensors.
      shardings: the same nested dict of `NamedSharding`, or None for the default device.

    Returns:
      The same nested dict of arrays.

    Raises:
      InputError: if a tensor is missing, left over or of another shape, found before anything is
        read; or if the file cannot be read.
    """
    flat = flatten_params(shapes)
    _check_tensors(flat, source)
    flat_shardings = flatten_params(shardings) if shardings is not None else dict.fromkeys(flat)
    return unflatten_dict(
        {
            path: _load_param(path, abstract, flat_shardings[path], source)
            for path, abstract in flat.items()
        }
    )


def _check_tensors(flat: dict[ParamPath, jax.ShapeDtypeStruct], source: TensorSource) -> None:
    """Raises unless the source has every tensor, in its shape, and no other."""
    used = set()
    for path, abstract in flat.items():
        shape = abstract.shape[hf_weight_map.is_stacked(path) :]
        expected = hf_weight_map.find_layout(path, len(shape)).stored_shape(shape)
        for name in hf_weight_map.tensor_names(path, abstract.shape):
            if name not in source.shapes:
                raise InputError(f"{source.label}: the tensor {name} is missing")
            if source.shapes[name] != expected:
                raise InputError(
                    f"{source.label}: the tensor {name} has shape {source.shapes[name]},"
                    f" the config asks for {expected}"
                )
            used.add(name)

    unused = source.shapes.keys() - used
    unknown = sorted(name for name in unused if not hf_weight_map.is_derived(name))
    if unknown:
        raise InputError(
            f"{source.label}: {len(unknown)} tensors have no place in this architecture,"
            f" the first is {unknown[0]}"
        )


def _load_param(
    path: ParamPath,
    abstract: jax.ShapeDtypeStruct,
    sharding: NamedSharding | None,
    source: TensorSource,
) -> jax.Array:
    stacked = hf_weight_map.is_stacked(path)
    shape = abstract.shape[stacked:]
    layout = hf_weight_map.find_layout(path, len(shape))
    stored_sharding = _stored_sharding(layout, stacked, sharding)
    target = _Target(layout, stacked, sharding, stored_sharding)

    # As many rows as fit a piece, but whole heads of them: `step` rows of every device's part.
    stored_shape, rows_per_head = layout.stored_shape(shape), layout.rows_per_head(shape)
    rows, *columns = stored_sharding.shard_shape(stored_shape) if stored_sharding else stored_shape
    devices = len(stored_sharding.addressable_devices) if stored_sharding else 1
    entries_per_head = int(np.prod(columns)) * devices * rows_per_head
    step = max(PIECE_ENTRIES // entries_per_head, 1) * rows_per_head

    array = jnp.zeros(abstract.shape, abstract.dtype, device=sharding)
    for layer, name in enumerate(hf_weight_map.tensor_names(path, abstract.shape)):
        for start in range(0, rows, step):
            span = (start, min(start + step, rows))
            piece = _read_piece(
                source, name, span=span, sharding=stored_sharding, dtype=abstract.dtype
            )
            array = _write_piece(array, piece, layer, start // rows_per_head, target=target)
            # Without the wait the host would read ahead of the devices, and hold all that it has
            # read.
            array.block_until_ready()
    return array


def _stored_sharding(
    layout: Layout, stacked: bool, sharding: NamedSharding | None
) -> NamedSharding | None:
    """Returns the sharding of one layer in the file that matches the parameter's sharding."""
    if sharding is None:
        return None
    entries = tuple(sharding.spec)
    if stacked and entries and entries[0] is not None:
        raise ValueError(f"{sharding.spec} splits the layers, which every device must have all of")
    return NamedSharding(sharding.mesh, layout.stored_spec(PartitionSpec(*entries[stacked:])))


def _read_piece(
    source: TensorSource,
    name: str,
    *,
    span: tuple[int, int],
    sharding: NamedSharding | None,
    dtype: Any,
) -> jax.Array:
    """Reads the same span of rows of every device's part of a tensor [rows, columns].

    Rows are read once, whole, and columns cut from memory: a device's columns of a row lie within a
    page or two, so nothing would be saved on disk. The dtype changes here, on the host, where
    subnormal numbers survive it.

    Args:
      source: of the tensor.
      name: of the tensor.
      span: first and last row, within a device's part.
      sharding: of the tensor, or None for the default device.
      dtype: of the result.

    Returns:
      One array, split like the tensor.
    """
    start, stop = span

    @functools.cache
    def read_from(first: int) -> np.ndarray:
        return source.read_rows(name, first + start, first + stop).astype(dtype, copy=False)

    if sharding is None:
        return jnp.asarray(read_from(0))

    num_rows, *columns = source.shapes[name]
    rows_per_device = sharding.shard_shape((num_rows, *columns))[0]
    size = stop - start

    def read_part(index) -> np.ndarray:
        first = (index[0].start or 0) // size * rows_per_device
        return np.ascontiguousarray(read_from(first)[(slice(None), *index[1:])])

    piece_shape = (num_rows // rows_per_device * size, *columns)
    return jax.make_array_from_callback(piece_shape, sharding, read_part)


@functools.partial(jax.jit, donate_argnums=0, static_argnames="target")
def _write_piece(
    array: jax.Array, piece: jax.Array, layer: jax.Array, start: jax.Array, *, target: _Target
) -> jax.Array:
    """Writes a piece into its layer.

    `start` is its first index on the first row axis of every device's part.
    """

    def write_local(array, piece, layer, start):
        shape = array.shape[target.stacked :]
        ours = target.layout.to_ours(piece, shape)
        offsets = [0] * len(shape)
        offsets[target.layout.rows[0]] = start
        if target.stacked:
            ours, offsets = ours[None], [layer, *offsets]
        return jax.lax.dynamic_update_slice(array, ours, offsets)

    if target.sharding is None or target.stored_sharding is None:
        return write_local(array, piece, layer, start)
    spec = target.sharding.spec
    specs = (spec, target.stored_sharding.spec, PartitionSpec(), PartitionSpec())
    return jax.shard_map(write_local, mesh=target.sharding.mesh, in_specs=specs, out_specs=spec)(
        array, piece, layer, start
    )
