"""The training order: pure, whole epochs, and the same on every machine."""

import numpy as np
import pytest

from papo_jax.tasks.order import identifiers


def test_every_epoch_draws_each_problem_once():
    drawn = identifiers(3, 0, 4 * 17, 17).reshape(4, 17)
    assert drawn.dtype == np.int64
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(17), (4, 1)))
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 4


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_draws_compose(size):
    whole = identifiers(5, 0, 50, size)
    parts, cursor = [], 0
    for count in (3, 0, 11, 1, 35):
        parts.append(identifiers(5, cursor, count, size))
        assert len(parts[-1]) == count
        cursor += count
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_seed_and_the_epoch_choose_the_order():
    orders = [identifiers(seed, epoch * 50, 50, 50).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_golden_order():
    # Written down once: a change of this order would break the resumption of every run under way.
    assert identifiers(0, 0, 12, 6).tolist() == [0, 3, 5, 1, 2, 4, 3, 4, 2, 1, 5, 0]


def test_a_far_cursor_costs_no_more():
    assert sorted(identifiers(0, 10**15, 10, 10).tolist()) == list(range(10))


@pytest.mark.parametrize("arguments", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, -1, 1), (0, 0, 1, 0)])
def test_impossible_draws_are_refused(arguments):
    with pytest.raises(ValueError, match="cannot draw"):
        identifiers(*arguments)
