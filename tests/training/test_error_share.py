"""Watch over the share of answers that could not be judged."""

import pytest

from papo_jax.errors import TrainingStopped
from papo_jax.training.error_share import ErrorShareWatch

FAILURES = [{"reason": "timeout"}]


def test_a_warning_comes_long_before_the_stop_and_again_when_the_share_has_doubled():
    watch = ErrorShareWatch(0.5)
    shares = [0.0, 0.05, 0.06, 0.1, 0.12, 0.13, 0.25, 0.5, 0.3]
    warned = [watch.check_step(step, share, FAILURES) for step, share in enumerate(shares)]
    assert [line is not None for line in warned] == [
        *(False, False, True, False, False, True, False, True, False)
    ]
    assert warned[2].startswith("step 2: 6.0 % of the answers could not be judged (the first: ti")


def test_the_stop_is_above_the_bound_and_not_at_it():
    watch = ErrorShareWatch(0.5)
    assert "0.5" in watch.check_step(0, 0.5, FAILURES)
    with pytest.raises(
        TrainingStopped, match=r"step 7: 51.0 % .*more than grading.max_errors = 0.5"
    ):
        watch.check_step(7, 0.51, FAILURES)


def test_the_ends_of_the_range():
    assert ErrorShareWatch(0.0).check_step(0, 0.0, []) is None
    with pytest.raises(TrainingStopped):
        ErrorShareWatch(0.0).check_step(0, 0.01, FAILURES)
    assert ErrorShareWatch(1.0).check_step(0, 1.0, FAILURES) is not None
