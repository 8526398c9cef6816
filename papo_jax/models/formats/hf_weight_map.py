"""Map from our parameters to the tensors of a Hugging Face checkpoint: names and axes.

Hugging Face stores a projection as a matrix [out, in] for each layer; ours are [in, ..., out, ...]
with the heads apart and the layers stacked on a leading axis [L, ...]. The names below are the
whole map. A parameter is named by its path in the nested dict, ("blocks", "mlp", "up").
"""

import math
from typing import NamedTuple

import jax
from jax.sharding import PartitionSpec

from papo_jax.models.policy import ParamPath

_BLOCK_NAMES = {
    ("attention_norm", "scale"): "input_layernorm.weight",
    ("attention", "query"): "self_attn.q_proj.weight",
    ("attention", "key"): "self_attn.k_proj.weight",
    ("attention", "value"): "self_attn.v_proj.weight",
    ("attention", "output"): "self_attn.o_proj.weight",
    ("attention", "query_bias"): "self_attn.q_proj.bias",
    ("attention", "key_bias"): "self_attn.k_proj.bias",
    ("attention", "value_bias"): "self_attn.v_proj.bias",
    ("attention", "output_bias"): "self_attn.o_proj.bias",
    ("attention", "query_norm", "scale"): "self_attn.q_norm.weight",
    ("attention", "key_norm", "scale"): "self_attn.k_norm.weight",
    ("mlp_norm", "scale"): "post_attention_layernorm.weight",
    ("mlp", "gate"): "mlp.gate_proj.weight",
    ("mlp", "up"): "mlp.up_proj.weight",
    ("mlp", "down"): "mlp.down_proj.weight",
    ("mlp", "gate_bias"): "mlp.gate_proj.bias",
    ("mlp", "up_bias"): "mlp.up_proj.bias",
    ("mlp", "down_bias"): "mlp.down_proj.bias",
}
_TOP_NAMES = {
    ("embedding",): "model.embed_tokens.weight",
    ("final_norm", "scale"): "model.norm.weight",
    ("unembedding",): "lm_head.weight",
}


class Layout(NamedTuple):
    """Axes of one layer of a parameter in Hugging Face's matrix [rows, columns].

    A step on the first row axis is a fixed number of rows, and the same holds for columns. So a
    slice of ours along either of these axes is one range of rows or columns in the file, and whole
    heads are never taken apart.

    Attributes:
      rows: the axes of ours that the rows run over, slowest first.
      columns: the same for the columns; () for a vector.

    >>> query = Layout(rows=(1, 2), columns=(0,))  # ours is [width, heads, head_dim]
    >>> query.stored_shape((8, 4, 6)), query.rows_per_head((8, 4, 6))
    ((24, 8), 6)
    >>> query.to_ours(np.arange(8).reshape(4, 2), (2, 2, 2)).tolist()
    [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape in the file of a parameter of the given shape, layers apart."""
        return tuple(
            math.prod(shape[axis] for axis in axes) for axes in (self.rows, self.columns) if axes
        )

    def rows_per_head(self, shape: tuple[int, ...]) -> int:
        """Returns how many rows of the file one step on the first row axis is."""
        return math.prod(shape[axis] for axis in self.rows[1:])

    def stored_spec(self, spec: PartitionSpec) -> PartitionSpec:
        """Returns the split of the matrix in the file that matches a split of ours.

        Args:
          spec: the split of ours, an entry for each axis, layers apart; missing ones are None.

        Returns:
          An entry for the rows and, unless it is a vector, one for the columns.

        Raises:
          ValueError: if `spec` splits inside a head.

        >>> tuple(
        ...     Layout(rows=(1, 2), columns=(0,)).stored_spec(PartitionSpec("fsdp", "tensor", None))
        ... )
        ('tensor', 'fsdp')
        """
        entries = (*spec, *(None,) * (len(self.rows + self.columns) - len(spec)))
        if any(entries[axis] for axis in self.rows[1:] + self.columns[1:]):
            raise ValueError(
                f"{spec} splits an axis that is no range of rows or columns in the file"
            )
        return PartitionSpec(*(entries[axes[0]] for axes in (self.rows, self.columns) if axes))

    def to_ours(self, stored: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Transposes [rows, columns] to our axes.

        Of `shape`, ours, the size of the first row axis does not matter: it may be a part.
        """
        order = self.rows + self.columns
        apart = stored.reshape(-1, *(shape[axis] for axis in order[1:]))
        return apart.transpose(sorted(range(len(order)), key=order.__getitem__))

    def to_stored(self, ours: jax.Array) -> jax.Array:
        """Transposes our axes to [rows, columns]."""
        return ours.transpose(self.rows + self.columns).reshape(self.stored_shape(ours.shape))


def find_layout(path: ParamPath, rank: int) -> Layout:
    """Returns the layout of a parameter that has `rank` axes, layers apart.

    >>> find_layout(("blocks", "attention", "output"), 3)  # [heads, head_dim, width]
    Layout(rows=(2,), columns=(0, 1))
    """
    if path[-1] in ("embedding", "unembedding"):
        return Layout((0,), (1,))
    if rank == 1 or path[-1].endswith("_bias"):
        return Layout(tuple(range(rank)), ())
    inputs = rank - 1 if path[-1] == "output" else 1
    return Layout(tuple(range(inputs, rank)), tuple(range(inputs)))


def is_stacked(path: ParamPath) -> bool:
    """Tests whether the first axis of a parameter is the layers."""
    return path[0] == "blocks"


def tensor_names(path: ParamPath, shape: tuple[int, ...]) -> list[str]:
    """Lists the tensors that make up a parameter: one for each layer, or the one.

    >>> tensor_names(("blocks", "mlp", "up"), (2, 8, 16))
    ['model.layers.0.mlp.up_proj.weight', 'model.layers.1.mlp.up_proj.weight']
    """
    if not is_stacked(path):
        return [_TOP_NAMES[path]]
    return [f"model.layers.{layer}.{_BLOCK_NAMES[path[1:]]}" for layer in range(shape[0])]


def is_derived(name: str) -> bool:
    """Tests whether a tensor follows from others: a tied head, or a table of rotary angles.

    Such a tensor may be in a file without a parameter of ours.
    """
    return name == "lm_head.weight" or "rotary_emb" in name
