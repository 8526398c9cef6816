"""Whole numbers in proportion to weights, by the largest remainder.

Source: Hamilton's method of apportionment; Balinski and Young 1982, Fair Representation.
"""

from collections.abc import Sequence
from fractions import Fraction

BLOCK = 1024  # draws within which the parts of a mixture have exact quotas (`order.draw`)


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Shares a number among weights: everyone gets the whole part of the exact share, the largest
    remainders one more.

    Args:
      weights: positive; they need not sum to one. They count as exactly what the floats are.
      total: to be shared.

    Returns:
      As many integers, each within one of its exact share; they sum to `total`. Of equal remainders
      the earlier wins.

    >>> apportion([3, 1, 1], 7)  # exactly 4.2, 1.4 and 1.4
    [4, 2, 1]
    """
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    shares = [weight * total / whole for weight in exact]
    counts = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda n: (counts[n] - shares[n], n))
    for n in order[: total - sum(counts)]:
        counts[n] += 1
    return counts


def too_small(weights: Sequence[float]) -> int | None:
    """Returns the place of a weight that is drawn less than once in a block; None if there is none.

    From block to block a rounded share may then not only grow.

    >>> too_small([2000, 1]), too_small([1000, 1])
    (1, None)
    """
    least = min(range(len(weights)), key=weights.__getitem__)
    return least if weights[least] * BLOCK < sum(weights) else None
