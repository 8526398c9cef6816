"""Tiles of the vocabulary and blocks of rows, of one static size as loops need them.

Shapes: N rows, V vocabulary.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats.token_rows import TokenRows


class Tiles(NamedTuple):
    """A vocabulary in `count` tiles of one width; a last tile that would be short overlaps."""

    vocabulary: int
    width: int
    count: int

    def tile_columns(self, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns (first column, columns [1, width]); columns of an earlier tile are -1."""
        start = jnp.minimum(index * self.width, self.vocabulary - self.width)
        columns = start + jnp.arange(self.width, dtype=jnp.int32)
        return start, jnp.where(columns >= index * self.width, columns, -1)[None]


def make_tiles(vocabulary: int, width: int) -> Tiles:
    """Divides a vocabulary into tiles of at most `width` columns."""
    width = min(width, vocabulary)
    return Tiles(vocabulary=vocabulary, width=width, count=-(-vocabulary // width))


class RowBlocks(NamedTuple):
    """`num_rows` rows in blocks of one size; the last block is padded with inactive rows."""

    num_rows: int
    block_size: int

    @property
    def padded_rows(self) -> int:
        return -(-self.num_rows // self.block_size) * self.block_size

    def pad_array(self, array: jax.Array) -> jax.Array:
        """Pads [N, ...] with zeros up to whole blocks."""
        return jnp.pad(array, [(0, self.padded_rows - self.num_rows)] + [(0, 0)] * (array.ndim - 1))

    def pad_token_rows(self, rows: TokenRows) -> TokenRows:
        """Pads the arrays [N] of `rows` with inactive rows."""
        return rows._replace(tokens=self.pad_array(rows.tokens), active=self.pad_array(rows.active))

    def take_block(self, array: jax.Array, index: jax.Array) -> jax.Array:
        """Returns the block of a padded array at `index`."""
        return slice_rows(array, index * self.block_size, self.block_size)

    def take_token_rows(self, rows: TokenRows, index: jax.Array) -> TokenRows:
        """Returns the block of padded `rows` at `index`."""
        return rows._replace(
            tokens=self.take_block(rows.tokens, index), active=self.take_block(rows.active, index)
        )

    def put_block(self, array: jax.Array, block: jax.Array, index: jax.Array) -> jax.Array:
        """Returns a padded array with its block at `index` replaced."""
        return jax.lax.dynamic_update_slice_in_dim(array, block, index * self.block_size, axis=0)

    def count_active_blocks(self, rows: TokenRows) -> jax.Array:
        """Returns the number of blocks up to the last one with an active row."""
        last = jnp.where(rows.active, jnp.arange(1, self.padded_rows + 1), 0).max(initial=0)
        return (last + self.block_size - 1) // self.block_size


def make_row_blocks(num_rows: int, max_size: int) -> RowBlocks:
    """Divides rows into the fewest blocks of at most `max_size`, a multiple of 16 if it fits."""
    rows_per_block = -(-num_rows // max(1, -(-num_rows // max_size)))
    whole_vectors = -(-rows_per_block // 16) * 16
    return RowBlocks(num_rows=num_rows, block_size=max(1, min(max_size, whole_vectors)))


def slice_rows(array: jax.Array, start: jax.Array, size: int) -> jax.Array:
    """Returns array[start : start + size] for a traced start."""
    return jax.lax.dynamic_slice_in_dim(array, start, size, axis=0)


def add_column_axis(tree: Any) -> Any:
    """Reshapes the leaves of a pytree from [N] to [N, 1]."""
    return jax.tree.map(lambda leaf: leaf[:, None], tree)


def drop_column_axis(tree: Any) -> Any:
    """Reshapes the leaves of a pytree from [N, 1] to [N]."""
    return jax.tree.map(lambda leaf: leaf[:, 0], tree)
