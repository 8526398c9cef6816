"""A passed check of graders is not made again, unless problems or graders have changed."""

import pytest

from papo_jax import grading, tasks
from papo_jax.errors import InputError
from papo_jax.tasks.problem import Problem
from papo_jax.tasks.task import Part, Task
from papo_jax.training.problems.run_problems import PROBES, RunProblems, check_graders


class CountingPool:
    """A pool in this process that counts what it judged."""

    def __init__(self):
        self.judged = 0

    def judge(self, answers, **_):
        self.judged += len(answers)
        return [grading.judge(*answer) for answer in answers]


def make_problems(fingerprint: str) -> RunProblems:
    problems = [Problem(n, f"{n}+0=", str(n), "math") for n in range(1, 30)]
    held_out = problems[:10]
    task = Task("own", problems, held_out, (Part("own", 1.0, 29, 10),), fingerprint)
    return RunProblems(task, task, tasks.choose_eval_set(task, 10))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def check(problems, pool) -> tuple[str, ...]:
    return check_graders(problems, pool).checked


def test_the_same_problems_are_asked_once(cache):
    first, again, other = CountingPool(), CountingPool(), CountingPool()
    lines = check(make_problems("a"), first)
    assert lines == ("39 reference answers pass the self-test of grader math",)
    assert check(make_problems("a"), again) == lines
    assert first.judged == 78 and again.judged == 2 * PROBES  # a right and a wrong one of each
    assert check(make_problems("b"), other) == lines and other.judged == 78


def test_other_graders_ask_again(monkeypatch):
    check(make_problems("a"), CountingPool())
    monkeypatch.setattr(grading, "versions", lambda: {"papo_jax.grading": "new"})
    pool = CountingPool()
    check(make_problems("a"), pool)
    assert pool.judged == 78


def test_a_check_that_failed_is_not_kept(monkeypatch):
    def judge_wrong(self, answers, **_):
        return [grading.Judgment("wrong", None) for _ in answers]

    monkeypatch.setattr(CountingPool, "judge", judge_wrong)
    for _ in range(2):
        with pytest.raises(InputError):
            check(make_problems("a"), CountingPool())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "x", "lines": []}'])
def test_a_damaged_record_is_none(cache, content):
    check(make_problems("a"), CountingPool())
    (path,) = (cache / "papo_jax/checked").iterdir()
    path.write_bytes(content)
    pool = CountingPool()
    assert check(make_problems("a"), pool) and pool.judged == 78


def test_without_a_place_to_write_the_check_is_made_again(cache, monkeypatch):
    (cache / "papo_jax").write_text("a file where the directory belongs")
    for _ in range(2):
        pool = CountingPool()
        check(make_problems("a"), pool)
        assert pool.judged == 78
