"""Block sizes, numbers of programs and product precisions of the GPU kernels.

Products accumulate in float32. Those of float32 operands are true float32 in cuBLAS
(Precision.HIGHEST; the default may be TF32, 10 bits of mantissa) and three TF32 products of the
operands' halves in Triton, which keep 22 bits of the 24 and err no more than float32 sums do over a
width of 2,048: on an H200 a seventh of the time of float32 arithmetic.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

EXACT = jax.lax.Precision.HIGHEST
THREE_PRODUCTS = jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3

# Four times what an H100's 132 multiprocessors hold at a time, by their registers: unequal programs
# even out.
NUM_PROGRAMS = 4 * 132
NUM_LOGITS_PROGRAMS = 4 * 4 * 132

# The tile of logits whose gradient dz is in memory at a time, 67 MB in float32. 8,192 columns took
# an eighth less time on an H200, and a third more memory.
GRADIENT_ROWS = 4096
GRADIENT_COLUMNS = 4096


class BlockConfig(NamedTuple):
    """One program's tile of rows x columns logits, computed from chunks of `depth` of the width."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    precision: jax.lax.Precision | jax.lax.DotAlgorithmPreset = EXACT


# 32 logits a thread; no product.
LOGITS_BLOCK = BlockConfig(rows=1, columns=4096, depth=0, warps=4, stages=1)


def choose_linear_block(dtype: jnp.dtype, width: int) -> BlockConfig:
    """Chooses the linear form's block: the fastest of thirteen tried on an H200, in either dtype.

    A chunk is 128 bytes of a row, or less if the width is, and a stage of the pipeline holds rows +
    columns of them: three stages take 96 KB, of the 227 KB that a program may have on Hopper and
    within the 99 KB of smaller devices.

    >>> choose_linear_block(jnp.bfloat16, 2048)[:5]
    (128, 128, 64, 4, 3)
    """
    itemsize = jnp.dtype(dtype).itemsize
    # Triton's products contract at least 16.
    depth = min(128 // itemsize, max(16, pl.next_power_of_2(width)))
    block = BlockConfig(rows=128, columns=128, depth=depth, warps=4, stages=3)
    return block if itemsize == 2 else block._replace(warps=8, precision=THREE_PRODUCTS)
