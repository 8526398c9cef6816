"""Block sizes of the TPU kernels, by generation of TPU.

A kernel streams blocks of the unembedding [columns, D] past a block of hidden states [rows, D]; the
logits of a pair of blocks live in VMEM only. The unembedding is read once per block of rows, so
more rows mean less traffic: the rule takes the largest blocks, rows first, whose buffers fit the
VMEM that the generation allows a kernel.

| generation | VMEM requested, MiB | why |
|---|---|---|
| v4 | 15 | what the compiler grants a kernel by default there; there is little more |
| v5e, v5p, v6e, TPU7x and later | 48 | less than half of the smallest of them; XLA has the rest |

Compiled, never run: sizes are what the compiler accepts, not what was found fastest.
"""

from collections.abc import Callable
from typing import NamedTuple

MIB = 2**20
VMEM_BY_GENERATION = {"v4": 15 * MIB}  # bytes
DEFAULT_VMEM = 48 * MIB

# (rows, columns); rows are multiples of 16, the sublanes of a bfloat16 tile; columns of 128, the
# lanes.
CANDIDATE_SIZES = (
    *((1024, 1024), (512, 1024), (512, 512), (256, 512), (256, 256)),
    *((128, 256), (128, 128), (64, 128), (32, 128), (16, 128)),
)
# Float32 arrays [rows, columns] that are alive at once in a kernel: logits, x, e^x and products.
NUM_TEMPORARIES = 5


class BlockSizes(NamedTuple):
    """Rows and columns of a block, and the VMEM that the kernel may use, bytes."""

    rows: int
    columns: int
    vmem: int


def get_vmem_limit(device_kind: str) -> int:
    """Returns the VMEM that a kernel may request on a device of this kind, bytes.

    >>> get_vmem_limit("TPU v4") // MIB, get_vmem_limit("TPU v5 lite") // MIB
    (15, 48)
    """
    sizes = (size for name, size in VMEM_BY_GENERATION.items() if name in device_kind)
    return next(sizes, DEFAULT_VMEM)


def choose_linear_blocks(
    rows: int, vocabulary: int, *, width: int, itemsize: int, device_kind: str
) -> BlockSizes:
    """Chooses the blocks of the linear form.

    Args:
      rows: N.
      vocabulary: V, of this device.
      width: D.
      itemsize: of hidden states and unembedding, bytes.
      device_kind: name of the kind of device.

    Returns:
      `BlockSizes`.

    Raises:
      ValueError: if a row of D numbers is too long for the smallest blocks.

    >>> choose_linear_blocks(4096, 151936, width=2048, itemsize=2, device_kind="TPU v4")[:2]
    (256, 256)
    """

    def count_bytes(block_rows, columns):
        # Inputs and the output are double-buffered: the next block arrives while the last leaves.
        inputs = 2 * itemsize * width * (block_rows + columns)
        # A float32 product is made of products of bfloat16 parts of each factor, which need room.
        if itemsize == 4:
            inputs += 12 * width * (block_rows + columns)
        # The larger of the two gradients: a float32 sum, and the output.
        gradient = max(block_rows, columns) * width * (4 + 2 * itemsize)
        return inputs + gradient + NUM_TEMPORARIES * 4 * block_rows * columns

    return _choose_largest(
        count_bytes, rows, vocabulary, device_kind, f"hidden states of width {width}"
    )


def choose_logits_blocks(
    rows: int, vocabulary: int, *, itemsize: int, device_kind: str
) -> BlockSizes:
    """Chooses the blocks of the logits form; arguments as in `choose_linear_blocks`."""

    def count_bytes(block_rows, columns):
        return (NUM_TEMPORARIES * 4 + 4 * itemsize) * block_rows * columns

    return _choose_largest(count_bytes, rows, vocabulary, device_kind, "logits")


def _choose_largest(
    count_bytes: Callable[[int, int], int],
    rows: int,
    vocabulary: int,
    device_kind: str,
    contents: str,
) -> BlockSizes:
    """Chooses the first of `CANDIDATE_SIZES` whose `count_bytes` fits the VMEM."""
    vmem = get_vmem_limit(device_kind)
    for block_rows, columns in CANDIDATE_SIZES:
        # No block is larger than the arrays, rounded up to whole tiles of the hardware.
        block_rows = min(block_rows, -(-rows // 16) * 16)
        columns = min(columns, -(-vocabulary // 128) * 128)
        if count_bytes(block_rows, columns) <= 0.9 * vmem:  # the compiler has buffers of its own
            return BlockSizes(rows=block_rows, columns=columns, vmem=vmem)
    raise ValueError(
        f"no block of {contents} fits the {vmem // MIB} MiB of VMEM of {device_kind};"
        " use implementation='chunked'"
    )
