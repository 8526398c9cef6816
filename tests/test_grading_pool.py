"""The pool: order, deadlines, deaths, limits, and that it leaves nothing behind, from wherever it is used."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from papo_jax.errors import InputError
from papo_jax.grading import Judgement, Pool
from papo_jax.grading.sandbox import _is_refused

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODULE = "tests.misbehaving"


@pytest.fixture(scope="module")
def pool():
    """Two processes and a spare for graders that misbehave, a second an answer."""
    with Pool(deadline=1.0, memory=512, module=MODULE) as made:
        yield made


def alive(pool) -> bool:
    return pool.grade([("same", "a", "a"), ("same", "a", "b")] * 3) == ["right", "wrong"] * 3


def reason(pool, grader, text="") -> str:
    """What is said of one answer that cannot be judged; the pool has to be whole after it."""
    judgement = pool.judge([(grader, "a", text)])[0]
    assert judgement.verdict == "error" and judgement.answer is None
    assert alive(pool)
    return judgement.reason


def test_verdicts_come_in_order():
    answers = [("integer", str(n), f"so {n + n % 3 // 2}") for n in range(1000)]
    answers += [("exact", "a", "a"), ("expression", "24", "3*8"), ("exact", "\x00\ud800\u202e", "\x00\ud800\u202e")]
    with Pool() as pool:
        assert pool.grade(answers) == ["wrong" if n % 3 == 2 else "right" for n in range(1000)] + ["right"] * 3
        assert pool.grade([]) == [] and pool.judge([]) == []
        assert pool.judge([("integer", "7", "1 and then 7.")]) == [Judgement("right", "7")]


def test_an_unknown_grader_is_refused_before_anything_is_judged():
    with Pool(workers=1) as pool, pytest.raises(InputError, match="'integr' is none of integer, exact, math"):
        pool.grade([("integer", "1", "1"), ("integr", "1", "1")])


@pytest.mark.parametrize("answer", [("same", "a", None), ("same", 1, "1"), ("same", "a"), "same"])
def test_an_answer_is_three_strings(pool, answer):
    with pytest.raises(InputError, match="three strings"):
        pool.judge([("same", "a", "a"), answer])


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"deadline": 0.0}, {"deadline": float("inf")}, {"batch_deadline": -1.0}, {"memory": 0}]
)
def test_numbers_that_cannot_be(wrong):
    with pytest.raises(InputError, match="a pool needs"):
        Pool(**wrong)


@pytest.mark.parametrize("grader, text", [("sleep", "60"), ("spin", ""), ("tower", ""), ("deaf", "")])
def test_an_answer_that_hangs_is_an_error_in_time(pool, grader, text):
    assert alive(pool)
    started = time.monotonic()
    judgements = pool.judge([("same", "a", "a"), (grader, "a", text), ("same", "a", "a")])
    assert 1.0 <= time.monotonic() - started < 2.0
    assert [judgement.verdict for judgement in judgements] == ["right", "error", "right"]
    assert judgements[1] == Judgement("error", None, "timeout")
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
        ("abort", "crash (signal 6)"), ("leave", "crash (exit 3)"), ("exit", "crash (exit 4)"), ("eat", "out of memory"),
        ("recurse", "RecursionError: maximum recursion depth exceeded"), ("shapeless", "TypeError: "),
    ],
)  # fmt: skip
def test_a_death_is_an_error_with_its_cause(pool, grader, said):
    assert said in reason(pool, grader)


def test_what_a_grader_prints_and_reads_is_kept_apart(pool):
    assert pool.grade([("print", "a", "a"), ("print", "a", "b"), ("read", "a", "")]) == ["right", "wrong", "right"]


@pytest.mark.parametrize("grader, event", [
    ("write", "open"), ("write_low", "open"), ("system", "os.system"), ("spawn", "subprocess.Popen"), ("fork", "os.fork"),
    ("connect", "socket."), ("load", "ctypes.dlopen"), ("raise_limits", "resource.setrlimit"),
])  # fmt: skip
def test_a_grader_cannot_reach_out(pool, tmp_path, grader, event):
    target = tmp_path / "touched"
    text = f"touch {target}" if grader == "system" else str(target)
    assert f"refused {event}" in reason(pool, grader, text)
    assert not target.exists()


@pytest.mark.parametrize("grader", ["execute", "evaluate", "swallow"])
def test_text_is_never_executed(pool, tmp_path, grader):
    assert reason(pool, grader, f"__import__('pathlib').Path('{tmp_path}/made').touch()") == "refused exec"
    assert not any(tmp_path.iterdir())


def test_what_graders_need_is_not_refused(pool):
    assert pool.judge([("parse", "a", "6*7"), ("import", "a", "")]) == [Judgement("right", "BinOp"), Judgement("right", "colorsys")]


def test_the_hook_by_hand():
    refused = lambda event, *arguments: _is_refused(event, arguments, __file__)  # noqa: E731
    assert refused("exec", compile("1", "<string>", "eval"))
    assert not refused("exec", compile("1", "/lib/module.py", "exec"))
    assert refused("open", "f", "w", 0) and refused("open", "f", None, os.O_RDWR)
    assert not refused("open", "f", "rb", os.O_RDONLY)
    assert not refused("compile", b"1", "<unknown>") and not refused("import", "sympy")


def test_formulas_of_many_symbols_are_judged_without_a_refusal():
    """sympy's parser of numbers ends in eval, and its polynomials write themselves code; neither may cost a verdict."""
    golds = [r"2\sqrt{18}", "p - q", "x^2-1", "a+b+c+d+x+y", r"\frac{x+1}{y-2}"]
    written = [r"\frac{q \cdot (%s)}{q}", r"(%s)+w-w", r"(%s)\cdot\frac{a+b+c}{c+b+a}", r"(%s)+1.5"]
    with Pool() as pool:
        found = pool.judge([("math", gold, r"\boxed{%s}" % (form % gold)) for gold in golds for form in written])
    assert [judgement.reason for judgement in found] == [""] * 20
    assert [judgement.verdict for judgement in found] == (["right"] * 3 + ["wrong"]) * 5


def test_a_grader_that_cannot_be_made_ready_is_given_up(pool):
    judgements = pool.judge([("cold", "a", "a"), ("same", "a", "a"), ("cold", "a", "b")])
    assert judgements[1].verdict == "right"
    for judgement in (judgements[0], judgements[2]):
        assert judgement == Judgement("error", None, "no process could be made ready for it: ImportError: no such package")


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
    judgements = pool.judge(answers, batch_deadline=1.0)
    assert time.monotonic() - started < 2.0
    assert [judgement.verdict for judgement in judgements[:3]] == ["right"] * 3
    assert set(judgements[7:]) == {Judgement("error", None, "timeout")}
    assert alive(pool)


def test_a_process_that_died_between_calls_costs_no_verdict(pool):
    ids = {int(judgement.answer) for judgement in pool.judge([("process", "a", "")] * 40)}
    for number in ids:
        os.kill(number, signal.SIGKILL)
    time.sleep(0.1)
    assert alive(pool)


def test_processes_that_died_before_the_first_call_cost_no_verdict():
    with Pool(workers=3, module=MODULE) as pool:
        for process in pool._crew.processes:
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
        os.kill(pool._crew.processes[0]._popen.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert pool.judge([("same", text * 9, text)]) == [Judgement("error", None, "timeout")]
        assert time.monotonic() - started < 1.5
        assert alive(pool)


def test_many_answers_are_quick():
    answers = [("integer", "12", "some words " * 100 + "3 * 4 = 12")] * 4096
    with Pool() as pool:
        started = time.monotonic()
        assert set(pool.grade(answers)) == {"right"}
        assert time.monotonic() - started < 20.0


def gone(numbers, within: float) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not any(_exists(number) for number in numbers):
            return True
        time.sleep(0.05)
    return False


def _exists(number: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="looks processes up in /proc")


@needs_proc
def test_closing_leaves_no_process():
    pool = Pool(module=MODULE)
    numbers = [process._popen.pid for process in pool._crew.processes]
    assert len(numbers) == 3 and all(map(_exists, numbers))
    pool.close()
    assert not any(map(_exists, numbers))
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.grade([("same", "a", "a")])


@needs_proc
def test_a_forgotten_pool_leaves_no_process():
    pool = Pool(module=MODULE)
    numbers = [process._popen.pid for process in pool._crew.processes]
    del pool
    assert gone(numbers, within=2.0)


@needs_proc
def test_what_a_process_started_goes_with_it():
    with Pool(workers=1, spares=0, module=MODULE) as pool:
        children = [int(judgement.answer) for judgement in pool.judge([("parent", "a", "")])]
        assert all(map(_exists, children))
        assert pool.judge([("parent", "a", "abort")])[0].reason == "crash (signal 6)"
        assert gone(children, within=1.0)


# Prints the numbers of its processes, one of which then computes for ever.
ORPHANS = f"""
from papo_jax.grading import Pool
pool = Pool(deadline=60.0, module={MODULE!r})
print(*[process._popen.pid for process in pool._crew.processes], flush=True)
pool.judge([("GRADER", "a", "")])
"""


@needs_proc
@pytest.mark.parametrize("grader", ["spin", "tower"])
def test_a_killed_run_leaves_no_process(grader):
    run = subprocess.Popen([sys.executable, "-c", ORPHANS.replace("GRADER", grader)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    numbers = [int(number) for number in run.stdout.readline().split()]
    assert len(numbers) == 3
    time.sleep(0.7)
    run.kill()
    run.communicate()
    assert gone(numbers, within=1.0)


FORKED = """
import os, sys
from papo_jax.grading import Pool
pool = Pool()
if os.fork() == 0:
    sys.exit()  # runs what is to be run at exit
os.wait()
print(pool.grade([("exact", "a", "a")]), len({process._popen.pid for process in pool._crew.processes if not process.ended}))
"""


def test_a_child_that_forks_off_ends_no_process():
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("['right'] 3\n", "")


PROGRAM = 'from papo_jax.grading import Pool\nwith Pool() as pool:\n    print(pool.grade([("integer", "12", "12"), ("math", "1/2", "0.5")]))\n'


@pytest.mark.parametrize("how", ["-c", "stdin", "file"])
def test_it_works_from_any_program_anywhere(tmp_path, how):
    """Without a guard for __main__, and where the package is on the path alone."""
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = {"-c": ["-c", PROGRAM], "stdin": ["-"], "file": ["program.py"]}[how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, input=PROGRAM if how == "stdin" else None,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("['right', 'right']\n", "")


def test_a_thread_may_own_a_pool_and_leave_it():
    found = []

    def use():
        found.append(Pool(workers=1, module=MODULE))
        found.append(found[0].grade([("same", "a", "a")]))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(30)
    own, verdicts = found
    with own:
        numbers = {process._popen.pid for process in own._crew.processes}
        time.sleep(0.2)
        assert verdicts == own.grade([("same", "a", "a")]) == ["right"]
        assert numbers == {process._popen.pid for process in own._crew.processes}


def test_ctrl_c_is_for_the_run_alone(pool):
    number = int(pool.judge([("process", "a", "")])[0].answer)
    assert os.getpgid(number) == number != os.getpgid(0)


def test_processes_stay_light(pool):
    assert pool.judge([("modules", "a", "")])[0].answer == ""
    with Pool(workers=1, spares=0) as light:
        light.grade([("integer", "1", "1"), ("expression", "1", "1"), ("exact", "1", "1")])
        maps = pathlib.Path(f"/proc/{light._crew.processes[0]._popen.pid}/maps")
        if maps.exists():
            assert not any(name in maps.read_text() for name in ("jaxlib", "numpy", "sympy"))
