"""Sizes of the tiles and chunks of the plain XLA implementations, by platform."""

from typing import NamedTuple

from kernels.token_stats.platform import get_target_device


class TileSizes(NamedTuple):
    """Sizes of a tile of logits (`chunked.py`) and of a chunk of tokens (`token_loss.py`).

    Attributes:
      rows: tokens of a tile.
      columns: entries of the vocabulary in a tile.
      chunk_rows: tokens of a chunk, whose logits over all columns are kept.
      chunk_entries: logits of a chunk; fewer rows where the vocabulary is larger.
    """

    rows: int
    columns: int
    chunk_rows: int
    chunk_entries: int


# Of the sizes tried on two CPU cores (256 to 2,048 rows, 256 to 2,048 columns) no other was faster
# beyond the noise. 2^27 logits are 512 MB in float32.
DEFAULT_SIZES = TileSizes(rows=2048, columns=512, chunk_rows=512, chunk_entries=2**27)
# On an H200 `linear_token_loss` took 100 ms with DEFAULT_SIZES and 24 ms with these (4,096 tokens,
# vocabulary 151,936, width 2,048, bfloat16); 20 ms with chunks of 4,096 rows, at 1.6 GB more.
GPU_SIZES = TileSizes(rows=4096, columns=4096, chunk_rows=2048, chunk_entries=2**29)


def choose_sizes() -> TileSizes:
    """Chooses the sizes for the device that a program is compiled for.

    >>> device = jax.sharding.AbstractDevice(
    ...     device_kind="NVIDIA H200", num_cores=132, platform="gpu"
    ... )
    >>> with jax.sharding.use_abstract_mesh(
    ...     jax.sharding.AbstractMesh((), (), abstract_device=device)
    ... ):
    ...     choose_sizes().columns
    4096
    """
    return GPU_SIZES if get_target_device().platform == "gpu" else DEFAULT_SIZES
