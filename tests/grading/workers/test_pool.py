"""The pool: order, deadlines, deaths, and that no call costs another anything."""

import os
import signal
import time

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import Judgment, Pool
from tests.support.pools import MODULE, alive, reason


def test_verdicts_come_in_order():
    answers = [("integer", str(n), f"so {n + n % 3 // 2}") for n in range(1000)]
    answers += [
        ("exact", "a", "a"),
        ("expression", "24", "3*8"),
        ("exact", "\x00\ud800\u202e", "\x00\ud800\u202e"),
    ]
    with Pool() as pool:
        assert (
            pool.grade(answers)
            == ["wrong" if n % 3 == 2 else "right" for n in range(1000)] + ["right"] * 3
        )
        assert pool.grade([]) == [] and pool.judge([]) == []
        assert pool.judge([("integer", "7", "1 and then 7.")]) == [Judgment("right", "7")]


def test_an_unknown_grader_is_refused_before_anything_is_judged():
    with (
        Pool(workers=1) as pool,
        pytest.raises(InputError, match="'integr' is none of integer, exact, math"),
    ):
        pool.grade([("integer", "1", "1"), ("integr", "1", "1")])


@pytest.mark.parametrize("answer", [("same", "a", None), ("same", 1, "1"), ("same", "a"), "same"])
def test_an_answer_is_three_strings(pool, answer):
    with pytest.raises(InputError, match="three strings"):
        pool.judge([("same", "a", "a"), answer])


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"deadline": 0.0},
        {"deadline": float("inf")},
        {"batch_deadline": -1.0},
        {"memory": 0},
    ],
)
def test_numbers_that_cannot_be(wrong):
    with pytest.raises(InputError, match="a pool needs"):
        Pool(**wrong)


@pytest.mark.parametrize(
    "grader, text", [("sleep", "60"), ("spin", ""), ("tower", ""), ("deaf", "")]
)
def test_an_answer_that_hangs_is_an_error_in_time(pool, grader, text):
    assert alive(pool)
    started = time.monotonic()
    judgments = pool.judge([("same", "a", "a"), (grader, "a", text), ("same", "a", "a")])
    assert 1.0 <= time.monotonic() - started < 2.0
    assert [judgment.verdict for judgment in judgments] == ["right", "error", "right"]
    assert judgments[1] == Judgment("error", None, "timeout")
    assert alive(pool)


def test_a_spare_is_ready_when_a_process_is_killed(pool):
    pool.judge([("process", "a", "")] * 40)  # warms
    started = time.monotonic()
    pool.judge([("sleep", "a", "60")])
    assert pool.judge([("process", "a", "")])[0].verdict == "right"
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "grader, said",
    [
        ("abort", "crash (signal 6)"),
        ("leave", "crash (exit 3)"),
        ("exit", "crash (exit 4)"),
        ("eat", "out of memory"),
        ("recurse", "RecursionError: maximum recursion depth exceeded"),
        ("shapeless", "TypeError: "),
    ],
)
def test_a_death_is_an_error_with_its_cause(pool, grader, said):
    assert said in reason(pool, grader)


def test_what_a_grader_prints_and_reads_is_kept_apart(pool):
    assert pool.grade([("print", "a", "a"), ("print", "a", "b"), ("read", "a", "")]) == [
        "right",
        "wrong",
        "right",
    ]


def test_a_grader_that_cannot_be_made_ready_is_given_up(pool):
    judgments = pool.judge([("cold", "a", "a"), ("same", "a", "a"), ("cold", "a", "b")])
    assert judgments[1].verdict == "right"
    for judgment in (judgments[0], judgments[2]):
        assert judgment == Judgment(
            "error", None, "no process could be made ready for it: ImportError: no such package"
        )


def test_a_deadline_begins_when_the_process_is_ready():
    with Pool(workers=1, deadline=0.5, module=MODULE) as pool:  # making ready takes 1.5 s
        assert pool.grade([("slow_start", "a", "a")]) == ["right"]


def test_new_processes_become_ready_between_calls():
    with Pool(workers=1, spares=0, deadline=0.5, module=MODULE) as pool:
        assert pool.grade([("slow_start", "a", "a"), ("sleep", "a", "60")]) == ["right", "error"]
        time.sleep(2.0)
        started = time.monotonic()
        assert pool.grade([("slow_start", "a", "a")]) == ["right"]
        assert time.monotonic() - started < 0.5


def test_a_batch_has_a_deadline_of_its_own(pool):
    started = time.monotonic()
    answers = [("sleep", "0.4", "0.4")] * 2 + [("same", "a", "a")] + [("sleep", "0.9", "0.9")] * 20
    judgments = pool.judge(answers, batch_deadline=1.0)
    assert time.monotonic() - started < 2.0
    assert [judgment.verdict for judgment in judgments[:3]] == ["right"] * 3
    assert set(judgments[7:]) == {Judgment("error", None, "timeout")}
    assert alive(pool)


def test_a_process_that_died_between_calls_costs_no_verdict(pool):
    ids = {int(judgment.answer) for judgment in pool.judge([("process", "a", "")] * 40)}
    for number in ids:
        os.kill(number, signal.SIGKILL)
    time.sleep(0.1)
    assert alive(pool)


def test_processes_that_died_before_the_first_call_cost_no_verdict():
    with Pool(workers=3, module=MODULE) as pool:
        for process in pool._workers.processes:
            os.kill(process._popen.pid, signal.SIGKILL)
        time.sleep(0.1)
        assert alive(pool)


def test_an_interrupted_call_leaves_nothing_to_the_next(pool):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    assert alive(pool)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.judge([("sleep", "wrong", "0.3"), ("sleep", "wrong", "0.5")])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    # Had they gone on, "wrong" would come at 0.3 s and 0.5 s, in place of what these say.
    assert pool.grade([("same", "a", "a")] * 2 + [("sleep", "0.7", "0.7")]) == ["right"] * 3


def test_a_process_that_does_not_read_holds_up_nothing():
    text = "\U0001f600" * 10_000  # more than fits between two processes
    with Pool(workers=1, spares=0, deadline=0.5, module=MODULE) as pool:
        assert pool.grade([("same", text, text)] * 2) == ["right"] * 2
        os.kill(pool._workers.processes[0]._popen.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert pool.judge([("same", text * 9, text)]) == [Judgment("error", None, "timeout")]
        assert time.monotonic() - started < 1.5
        assert alive(pool)


def test_many_answers_are_quick():
    answers = [("integer", "12", "some words " * 100 + "3 * 4 = 12")] * 4096
    with Pool() as pool:
        started = time.monotonic()
        assert set(pool.grade(answers)) == {"right"}
        assert time.monotonic() - started < 20.0
