"""How much the plain XLA implementations hold at a time, by platform."""

from typing import NamedTuple

from kernels.token_stats import platform


class Sizes(NamedTuple):
    """Rows and columns of a tile of logits (`chunked.py`), and what `loss.py` keeps: chunks of
    tokens by all columns."""

    rows: int
    columns: int
    chunk_rows: int
    chunk_entries: int  # logits: rows are fewer where the vocabulary is larger


# Of those tried on two CPU cores (256 to 2,048 rows, 256 to 2,048 columns) no other was faster
# beyond the noise. # 2^27 logits are 512 MB in float32.
ELSEWHERE = Sizes(rows=2048, columns=512, chunk_rows=512, chunk_entries=2**27)
# On an H200 `linear_token_loss` took 100 ms with ELSEWHERE's and 24 ms with these (4,096 tokens,
# vocabulary 151,936, width # 2,048, bfloat16); 20 ms with chunks of 4,096 rows, at 1.6 GB more.
GPU = Sizes(rows=4096, columns=4096, chunk_rows=2048, chunk_entries=2**29)


def current() -> Sizes:
    """Returns the sizes for what is compiled for where this is called.

    >>> device = jax.sharding.AbstractDevice(
    ...     device_kind="NVIDIA H200", num_cores=132, platform="gpu"
    ... )
    >>> with jax.sharding.use_abstract_mesh(
    ...     jax.sharding.AbstractMesh((), (), abstract_device=device)
    ... ):
    ...     current().columns
    4096
    """
    return GPU if platform.current().platform == "gpu" else ELSEWHERE
