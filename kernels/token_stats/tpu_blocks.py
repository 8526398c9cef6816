"""How large the blocks of the TPU kernels are: a rule per generation of TPU.

A kernel streams blocks of the unembedding [columns, D] past a block of hidden states [rows, D]; the
logits of a pair of blocks live in VMEM only. The unembedding is read once a block of rows, so more
rows mean less traffic: the rule takes the largest blocks, rows first, whose buffers fit the VMEM
  that the generation allows a kernel.

| generation | VMEM asked for, MiB | why |
|---|---|---|
| v4 | 15 | what the compiler grants a kernel by default there; there is little more |
| v5e, v5p, v6e, TPU7x and later | 48 | less than half of the smallest among them, which leaves XLA the rest |

Compiled, never run: sizes are what the compiler accepts, not what was found fastest.
"""

from typing import NamedTuple

MIB = 2**20
VMEM = {"v4": 15 * MIB}
VMEM_OF_LATER = 48 * MIB

# Rows are multiples of 16, the sublanes of a bfloat16 tile; columns of 128, the lanes.
SIZES = (
    (1024, 1024),
    (512, 1024),
    (512, 512),
    (256, 512),
    (256, 256),
    (128, 256),
    (128, 128),
    (64, 128),
    (32, 128),
    (16, 128),
)
TEMPORARIES = (
    5  # float32 arrays [rows, columns] alive at once inside a kernel: logits, x, e^x and products
)


class Blocks(NamedTuple):
    """Sizes of a block, and the VMEM that the kernel may use, bytes."""

    rows: int
    columns: int
    vmem: int


def vmem_of(device_kind: str) -> int:
    """Returns the VMEM that a kernel may ask for on a device of this kind, bytes.

    >>> vmem_of("TPU v4") // MIB, vmem_of("TPU v5 lite") // MIB
    (15, 48)
    """
    return next((size for name, size in VMEM.items() if name in device_kind), VMEM_OF_LATER)


def linear(rows: int, vocabulary: int, width: int, itemsize: int, kind: str) -> Blocks:
    """Picks the blocks of the linear form.

    Args:
      rows: N.
      vocabulary: V, of this device.
      width: D.
      itemsize: of hidden states and unembedding, bytes.
      kind: of the device.

    Returns:
      `Blocks`.

    Raises:
      ValueError: if a row of D numbers is too long for the smallest blocks.

    >>> linear(4096, 151936, 2048, 2, "TPU v4")[:2]
    (256, 256)
    """

    def footprint(block_rows, columns):
        # Inputs and the output are held twice, while the next block comes and the last one goes.
        inputs = 2 * itemsize * width * (block_rows + columns)
        # A float32 product is made of products of bfloat16 parts of each factor, which need room as
        # well.
        inputs += 12 * width * (block_rows + columns) if itemsize == 4 else 0
        longest = max(block_rows, columns)  # of the two gradients: a float32 sum, and the output
        return (
            inputs + longest * width * (4 + 2 * itemsize) + TEMPORARIES * 4 * block_rows * columns
        )

    return _largest(footprint, rows, vocabulary, kind, f"hidden states of width {width}")


def logits(rows: int, vocabulary: int, itemsize: int, kind: str) -> Blocks:
    """Picks the blocks of the logits form; arguments as in `linear`."""

    def footprint(block_rows, columns):
        return (TEMPORARIES * 4 + 4 * itemsize) * block_rows * columns

    return _largest(footprint, rows, vocabulary, kind, "logits")


def _largest(footprint, rows: int, vocabulary: int, kind: str, what: str) -> Blocks:
    vmem = vmem_of(kind)
    for block_rows, columns in SIZES:
        block_rows, columns = (
            min(block_rows, -(-rows // 16) * 16),
            min(columns, -(-vocabulary // 128) * 128),
        )
        if footprint(block_rows, columns) <= 0.9 * vmem:  # the compiler has buffers of its own
            return Blocks(block_rows, columns, vmem)
    raise ValueError(
        f"no block of {what} fits the {vmem // MIB} MiB of VMEM of {kind}; use implementation='chunked'"
    )
