"""The training order: pure, whole epochs, exact shares, and the same on every machine."""

import numpy as np
import pytest

from papo_jax.tasks import Part
from papo_jax.tasks.order import draw_epoch_identifiers, draw_identifiers
from papo_jax.tasks.shares import BLOCK, apportion


def make_part(weight, train_size):
    return Part("part", weight, train_size, held_out_size=0)


MIXED = (make_part(0.5, 30), make_part(0.3, 7), make_part(0.15, 500), make_part(0.05, 1))


def test_every_epoch_draws_each_problem_once():
    drawn = draw_epoch_identifiers(3, 0, 4 * 17, 17).reshape(4, 17)
    assert drawn.dtype == np.int64
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(17), (4, 1)))
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 4


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_draws_compose(size):
    whole = draw_epoch_identifiers(5, 0, 50, size)
    parts, cursor = [], 0
    for count in (3, 0, 11, 1, 35):
        parts.append(draw_epoch_identifiers(5, cursor, count, size))
        assert len(parts[-1]) == count
        cursor += count
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_seed_and_the_epoch_choose_the_order():
    orders = [
        draw_epoch_identifiers(seed, epoch * 50, 50, 50).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_golden_order():
    # Written down once: a change of this order would break the resumption of every run under way.
    assert draw_epoch_identifiers(0, 0, 12, 6).tolist() == [0, 3, 5, 1, 2, 4, 3, 4, 2, 1, 5, 0]


def test_a_far_cursor_costs_no_more():
    assert sorted(draw_epoch_identifiers(0, 10**15, 10, 10).tolist()) == list(range(10))
    assert len(draw_identifiers(0, 10**15, 10, MIXED)) == 10


@pytest.mark.parametrize("arguments", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, -1, 1), (0, 0, 1, 0)])
def test_impossible_draws_are_refused(arguments):
    with pytest.raises(ValueError, match="cannot draw"):
        draw_epoch_identifiers(*arguments)


def test_one_part_is_drawn_as_without_a_mixture():
    for parts, offset in (
        ([make_part(0.2, 9)], 0),
        ([make_part(0.5, 0), make_part(0.2, 9), make_part(0.3, 0)], 0),
    ):
        np.testing.assert_array_equal(
            draw_identifiers(4, 5, 40, parts), draw_epoch_identifiers(4, 5, 40, 9) + offset
        )


def test_a_mixture_goes_on_anywhere():
    whole = draw_identifiers(5, 0, 3000, MIXED)
    assert whole.dtype == np.int64
    for cut in (0, 1, 1023, 1024, 1025, 2048, 2999, 3000):
        before = draw_identifiers(5, 0, cut, MIXED)
        after = draw_identifiers(5, cut, 3000 - cut, MIXED)
        np.testing.assert_array_equal(np.concatenate([before, after]), whole)


def source_index(drawn, parts):
    return np.searchsorted(np.cumsum([one.train_size for one in parts]), drawn, side="right")


def test_blocks_hold_their_quotas_and_shares_never_drift():
    blocks = 41
    drawn = draw_identifiers(1, 0, blocks * BLOCK, MIXED)
    sources = source_index(drawn, MIXED).reshape(blocks, BLOCK)
    counts = np.stack([(sources == n).sum(axis=1) for n in range(4)], axis=1)
    exact = np.array([one.weight for one in MIXED]) * BLOCK
    assert (abs(counts - exact) < 2).all()
    # The largest remainder is within one of the exact share, after 41 blocks as after one.
    assert (abs(counts.cumsum(axis=0) - exact * np.arange(1, blocks + 1)[:, None]) < 1).all()


def test_each_part_runs_through_its_own_epochs():
    drawn = draw_identifiers(2, 0, 4 * BLOCK, MIXED)
    sources, start = source_index(drawn, MIXED), 0
    for n, one in enumerate(MIXED):
        own = drawn[sources == n] - start
        own = own[: len(own) // one.train_size * one.train_size].reshape(-1, one.train_size)
        np.testing.assert_array_equal(
            np.sort(own, axis=1), np.tile(np.arange(one.train_size), (len(own), 1))
        )
        start += one.train_size


def test_parts_are_shuffled_and_differ():
    parts = [make_part(1, 50), make_part(1, 50)]
    drawn = draw_identifiers(0, 0, BLOCK, parts)
    halves = drawn[drawn < 50], drawn[drawn >= 50] - 50
    assert halves[0][:50].tolist() != halves[1][:50].tolist()
    assert 400 < (np.diff(drawn < 50)).sum() < 620  # about every other draw changes the part
    assert draw_identifiers(1, 0, BLOCK, parts).tolist() != drawn.tolist()


def test_golden_mixture():
    # Written down once, like `test_golden_order`.
    drawn = draw_identifiers(0, 0, 12, [make_part(2, 3), make_part(1, 2)])
    assert drawn.tolist() == [2, 1, 0, 3, 4, 1, 3, 2, 0, 2, 4, 0]


def test_impossible_mixtures_are_refused():
    for arguments in (
        (-1, 0, 1, MIXED),
        (0, -1, 1, MIXED),
        (0, 0, -1, MIXED),
        (0, 0, 1, [make_part(1, 0)]),
    ):
        with pytest.raises(ValueError, match="cannot draw"):
            draw_identifiers(*arguments)
    with pytest.raises(ValueError, match="less than one draw in 1,024"):
        draw_identifiers(0, 0, 1, [make_part(1, 5), make_part(2000, 5)])


def test_apportion_by_hand():
    assert apportion([1, 1, 1], 10) == [4, 3, 3]  # 3.33 each: the earlier of equal remainders
    assert apportion([0.6, 0.4], 1) == [1, 0]
    assert apportion([5], 0) == [0]
    assert apportion([1e-300, 1.0], 7) == [0, 7]
