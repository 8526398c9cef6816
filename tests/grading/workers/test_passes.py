"""Passes over a batch: what hangs is judged last, so that nothing innocent waits behind it."""

import contextlib
import signal
import time

import pytest

from papo_jax.grading import Judgment, Pool
from papo_jax.grading.workers.deadlines import Deadlines
from papo_jax.grading.workers.interruption import Interrupted, Interrupter
from tests.support.pools import MODULE, alive

TIMED_OUT = Judgment("error", None, "timeout")


def spread(innocent, hanging):
    """Spreads hanging requests evenly over innocent ones, and returns those of each kind."""
    every = len(innocent) // len(hanging)
    requests, rest = [], list(hanging)
    for number, request in enumerate(innocent):
        if number % every == 0 and rest:
            requests.append(rest.pop())
        requests.append(request)
    return requests


@pytest.mark.parametrize("hang", [("sleep", "a", "60"), ("spin", "a", "")])
def test_what_hangs_costs_no_innocent_answer_its_verdict(hang):
    innocent = [("sleep", "0", "0" if n % 2 == 0 else "0.0") for n in range(180)]
    requests = spread(innocent, [hang] * 20)  # 20 hangs of 2.5 s are 25 s of two processes
    with Pool(deadline=2.5, module=MODULE) as pool:
        assert alive(pool)
        started = time.monotonic()
        judgments = pool.judge(requests, batch_deadline=5.0)
        assert time.monotonic() - started < 8.0
        assert alive(pool)
    verdicts = [
        judgment.verdict
        for judgment, request in zip(judgments, requests, strict=True)
        if request != hang
    ]
    assert verdicts == ["right", "wrong"] * 90
    assert {
        judgment for judgment, request in zip(judgments, requests, strict=True) if request == hang
    } == {TIMED_OUT}


def test_what_no_exception_reaches_is_killed_early_while_others_wait():
    requests = spread([("stubborn", "0", "0")] * 20, [("stubborn", "a", "60")] * 2)
    with Pool(deadline=10.0, module=MODULE) as pool:
        assert alive(pool)
        judgments = pool.judge(requests, batch_deadline=4.0)
    verdicts = [judgment.verdict for judgment in judgments]
    assert (verdicts.count("right"), verdicts.count("error")) == (20, 2)


def test_slow_innocent_answers_get_their_turn_before_those_that_hang():
    slow = [("sleep", "0.15", "0.15")] * 4
    requests = [("sleep", "a", "60")] * 10 + slow + [("same", "a", "a")] * 10
    with Pool(deadline=1.5, module=MODULE) as pool:
        assert alive(pool)
        judgments = pool.judge(requests, batch_deadline=4.5)  # all ten would take 7.5 s
    assert judgments[:10] == [TIMED_OUT] * 10
    assert [judgment.verdict for judgment in judgments[10:]] == ["right"] * 14


def test_without_a_bound_on_the_batch_every_answer_gets_all_of_its_time():
    requests = [("sleep", "0.5", "0.5"), ("sleep", "a", "60"), ("sleep", "0.6", "0.6")]
    with Pool(deadline=0.9, module=MODULE) as pool:
        judgments = pool.judge(requests)
    assert [judgment.verdict for judgment in judgments] == ["right", "error", "right"]


def test_passes_by_hand():
    deadlines = Deadlines(answer_seconds=5.0, batch_seconds=60.0)
    assert deadlines.pass_seconds == 0.1 and not deadlines.is_last_pass
    deadlines.start_batch()
    deadlines.begin_next_pass(40, 2)  # 60 * 2 / 40 / 2
    assert 1.4 < deadlines.pass_seconds <= 1.5 and not deadlines.is_last_pass
    deadlines.begin_next_pass(40, 2)  # no more than before: the first get all
    assert deadlines.pass_seconds == 5.0 and deadlines.is_last_pass

    crowded = Deadlines(answer_seconds=5.0, batch_seconds=60.0)
    crowded.start_batch()
    crowded.begin_next_pass(410, 2)
    assert crowded.is_last_pass
    unbounded = Deadlines(answer_seconds=5.0, batch_seconds=None)
    unbounded.begin_next_pass(3, 2)
    assert unbounded.is_last_pass


@pytest.fixture
def interrupter():
    before = signal.getsignal(signal.SIGALRM)
    yield Interrupter()
    signal.signal(signal.SIGALRM, before)


def test_an_interrupter_returns_raises_and_rests(interrupter):
    assert interrupter.call(max, 1, 2, seconds=5.0) == 2
    started = time.monotonic()
    with pytest.raises(Interrupted):
        interrupter.call(time.sleep, 5.0, seconds=0.05)
    assert time.monotonic() - started < 2.0
    with pytest.raises(ZeroDivisionError):
        interrupter.call(lambda: 1 / 0, seconds=0.05)
    time.sleep(0.12)  # nothing is raised here


def test_an_interruption_that_is_swallowed_is_followed_by_another(interrupter):
    def swallow_once():
        with contextlib.suppress(BaseException):
            time.sleep(5.0)
        time.sleep(5.0)

    started = time.monotonic()
    with pytest.raises(Interrupted):
        interrupter.call(swallow_once, seconds=0.05)
    assert time.monotonic() - started < 2.0


def test_caches_are_cleared_after_an_interruption_alone():
    requests = [("sleep", "a", text) for text in ("0", "0.3", "0")]
    with Pool(workers=1, spares=0, deadline=1.0, module="tests.support.interruptible") as pool:
        assert [judgment.answer for judgment in pool.judge(requests)] == ["0", "1", "1"]
        assert pool.judge(requests[:1])[0].answer == "1"
