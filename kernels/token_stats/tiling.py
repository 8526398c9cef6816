"""How rows and vocabulary are cut into pieces of one static size, as loops need them.

Shapes: N rows, V vocabulary.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.token_stats.sums import Rows


class Tiles(NamedTuple):
    """A vocabulary cut into `count` tiles of one width; where it does not divide, the last overlaps
    the one before."""

    vocabulary: int
    width: int
    count: int

    def place(self, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns (first column, columns [1, width]); columns that an earlier tile has had are
        -1."""
        start = jnp.minimum(index * self.width, self.vocabulary - self.width)
        columns = start + jnp.arange(self.width, dtype=jnp.int32)
        return start, jnp.where(columns >= index * self.width, columns, -1)[None]


def cut(vocabulary: int, width: int) -> Tiles:
    """Cuts a vocabulary into tiles of at most `width` columns."""
    width = min(width, vocabulary)
    return Tiles(vocabulary, width, -(-vocabulary // width))


class RowBlocks(NamedTuple):
    """N rows cut into blocks of one size; the last is filled with rows that need no work."""

    rows: int
    size: int

    @classmethod
    def of(cls, rows: int, size: int) -> "RowBlocks":
        """Cuts `rows` into the fewest blocks of at most `size`, all of one size, and that of whole
        vectors."""
        each = -(-rows // max(1, -(-rows // size)))
        return cls(rows, max(1, min(size, -(-each // 16) * 16)))

    @property
    def padded(self) -> int:
        return -(-self.rows // self.size) * self.size

    def pad(self, array: jax.Array) -> jax.Array:
        """Fills [N, ...] with zeros up to whole blocks."""
        return jnp.pad(array, [(0, self.padded - self.rows)] + [(0, 0)] * (array.ndim - 1))

    def pad_rows(self, rows: Rows) -> Rows:
        return rows._replace(tokens=self.pad(rows.tokens), needed=self.pad(rows.needed))

    def take(self, array: jax.Array, index: jax.Array) -> jax.Array:
        return slice_rows(array, index * self.size, self.size)

    def take_rows(self, rows: Rows, index: jax.Array) -> Rows:
        return rows._replace(
            tokens=self.take(rows.tokens, index), needed=self.take(rows.needed, index)
        )

    def put(self, array: jax.Array, block: jax.Array, index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(array, block, index * self.size, axis=0)

    def with_work(self, rows: Rows) -> jax.Array:
        """Returns the number of blocks up to the last one with a row that is needed."""
        last = jnp.where(rows.needed, jnp.arange(1, self.padded + 1), 0).max(initial=0)
        return (last + self.size - 1) // self.size


def slice_rows(array: jax.Array, start: jax.Array, size: int) -> jax.Array:
    """Returns array[start : start + size] for a traced start."""
    return jax.lax.dynamic_slice_in_dim(array, start, size, axis=0)
