"""Whole numbers in proportion to weights, by the largest remainder.

Source: Hamilton's method of apportionment; Balinski and Young 1982, Fair Representation.
"""

from collections.abc import Sequence
from fractions import Fraction


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Shares a number among weights: everyone gets the whole part of the exact share, the largest remainders one more.

    Args:
      weights: positive; they need not sum to one. They count as exactly what the floats are.
      total: to be shared.

    Returns:
      As many integers, each within one of its exact share; they sum to `total`. Of equal remainders the earlier wins.

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
