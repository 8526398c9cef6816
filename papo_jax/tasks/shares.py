"""Apportionment: whole numbers in proportion to weights, by the largest remainder.

Source: Hamilton's method of apportionment; Balinski and Young 1982, Fair Representation.
"""

from collections.abc import Sequence
from fractions import Fraction

BLOCK = 1024  # draws within which a mixture's parts have exact quotas (`order.draw_identifiers`)


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Shares a number: the whole part of each exact share, and one more by largest remainder.

    Args:
      weights: positive; they need not sum to one. They count as exactly what the floats are.
      total: the number to share.

    Returns:
      As many integers, each within one of its exact share; they sum to `total`. Of equal remainders
      the earlier wins.

    >>> apportion([3, 1, 1], 7)  # exactly 4.2, 1.4 and 1.4
    [4, 2, 1]
    """
    fractions = [Fraction(weight) for weight in weights]
    whole = sum(fractions)
    exact_shares = [fraction * total / whole for fraction in fractions]
    counts = [int(share) for share in exact_shares]
    order = sorted(range(len(counts)), key=lambda n: (counts[n] - exact_shares[n], n))
    for n in order[: total - sum(counts)]:
        counts[n] += 1
    return counts


def find_too_small(weights: Sequence[float]) -> int | None:
    """Returns the index of a weight that is drawn less than once in a block; None without one.

    From block to block a rounded share may then not only grow.

    >>> find_too_small([2000, 1]), find_too_small([1000, 1])
    (1, None)
    """
    least = min(range(len(weights)), key=weights.__getitem__)
    return least if weights[least] * BLOCK < sum(weights) else None
