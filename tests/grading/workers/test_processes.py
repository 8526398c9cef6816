"""Worker processes: they end with their pool, and work from wherever it is used."""

import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from papo_jax.grading import Pool
from papo_jax.grading.workers import process
from tests.support.pools import MODULE

ROOT = pathlib.Path(__file__).resolve().parents[3]


def have_all_ended(numbers, within: float) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not any(_is_running(number) for number in numbers):
            return True
        time.sleep(0.05)
    return False


def _is_running(number: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(
    not pathlib.Path("/proc").is_dir(), reason="looks processes up in /proc"
)


@needs_proc
def test_closing_leaves_no_process():
    pool = Pool(module=MODULE)
    numbers = [process._popen.pid for process in pool._workers.processes]
    assert len(numbers) == 3 and all(map(_is_running, numbers))
    pool.close()
    assert not any(map(_is_running, numbers))
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.grade([("same", "a", "a")])


@needs_proc
def test_a_forgotten_pool_leaves_no_process():
    pool = Pool(module=MODULE)
    numbers = [process._popen.pid for process in pool._workers.processes]
    del pool
    assert have_all_ended(numbers, within=2.0)


@needs_proc
def test_what_a_process_started_goes_with_it():
    with Pool(workers=1, spares=0, module=MODULE) as pool:
        children = [int(judgment.answer) for judgment in pool.judge([("parent", "a", "")])]
        assert all(map(_is_running, children))
        assert pool.judge([("parent", "a", "abort")])[0].reason == "crash (signal 6)"
        assert have_all_ended(children, within=1.0)


# Prints the numbers of its processes, one of which then computes for ever.
ORPHANS = f"""
from papo_jax.grading import Pool
pool = Pool(deadline=60.0, module={MODULE!r})
print(*[process._popen.pid for process in pool._workers.processes], flush=True)
pool.judge([("GRADER", "a", "")])
"""


@needs_proc
@pytest.mark.parametrize("grader", ["spin", "tower"])
def test_a_killed_run_leaves_no_process(grader):
    run = subprocess.Popen(
        [sys.executable, "-c", ORPHANS.replace("GRADER", grader)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    numbers = [int(number) for number in run.stdout.readline().split()]
    assert len(numbers) == 3
    time.sleep(0.7)
    run.kill()
    run.communicate()
    assert have_all_ended(numbers, within=1.0)


FORKED = """
import os, sys
from papo_jax.grading import Pool
pool = Pool()
if os.fork() == 0:
    sys.exit()  # runs what is to be run at exit
os.wait()
verdicts = pool.grade([("exact", "a", "a")])
running = [process for process in pool._workers.processes if not process.has_exited]
print(verdicts, len({process._popen.pid for process in running}))
"""


def test_a_child_that_forks_off_ends_no_process():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("['right'] 3\n", "")


PROGRAM = """
from papo_jax.grading import Pool
with Pool() as pool:
    print(pool.grade([("integer", "12", "12"), ("math", "1/2", "0.5")]))
"""


@pytest.mark.parametrize("how", ["-c", "stdin", "file"])
def test_it_works_from_any_program_anywhere(tmp_path, how):
    """Without a guard for __main__, and where the package is on the path alone."""
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = {"-c": ["-c", PROGRAM], "stdin": ["-"], "file": ["program.py"]}[how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        input=PROGRAM if how == "stdin" else None,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("['right', 'right']\n", "")


def test_a_thread_may_own_a_pool_and_leave_it():
    found = []

    def use_pool():
        found.append(Pool(workers=1, module=MODULE))
        found.append(found[0].grade([("same", "a", "a")]))

    thread = threading.Thread(target=use_pool)
    thread.start()
    thread.join(30)
    own, verdicts = found
    with own:
        numbers = {process._popen.pid for process in own._workers.processes}
        time.sleep(0.2)
        assert verdicts == own.grade([("same", "a", "a")]) == ["right"]
        assert numbers == {process._popen.pid for process in own._workers.processes}


def test_ctrl_c_is_for_the_run_alone(pool):
    number = int(pool.judge([("process", "a", "")])[0].answer)
    assert os.getpgid(number) == number != os.getpgid(0)


def test_processes_stay_light(pool):
    assert pool.judge([("modules", "a", "")])[0].answer == ""
    with Pool(workers=1, spares=0) as light:
        light.grade([("integer", "1", "1"), ("expression", "1", "1"), ("exact", "1", "1")])
        maps = pathlib.Path(f"/proc/{light._workers.processes[0]._popen.pid}/maps")
        if maps.exists():
            assert not any(name in maps.read_text() for name in ("jaxlib", "numpy", "sympy"))


def test_site_packages_is_not_put_before_the_standard_library(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert process.make_environment()["PYTHONPATH"] == f"{ROOT}{os.pathsep}elsewhere"
    monkeypatch.setattr(process.site, "getsitepackages", lambda: [str(ROOT)])  # as if installed
    assert process.make_environment()["PYTHONPATH"] == "elsewhere"
