"""The sandbox of a worker process: events that it refuses, and events that graders need."""

import os

import pytest

from papo_jax.grading import Judgment, Pool
from papo_jax.grading.workers.sandbox import _is_refused
from tests.support.pools import reason


@pytest.mark.parametrize(
    "grader, event",
    [
        ("write", "open"),
        ("write_low", "open"),
        ("system", "os.system"),
        ("spawn", "subprocess.Popen"),
        ("fork", "os.fork"),
        ("connect", "socket."),
        ("load", "ctypes.dlopen"),
        ("raise_limits", "resource.setrlimit"),
    ],
)
def test_a_grader_cannot_reach_out(pool, tmp_path, grader, event):
    target = tmp_path / "touched"
    text = f"touch {target}" if grader == "system" else str(target)
    assert f"refused {event}" in reason(pool, grader, text)
    assert not target.exists()


@pytest.mark.parametrize("grader", ["execute", "evaluate", "swallow"])
def test_text_is_never_executed(pool, tmp_path, grader):
    assert (
        reason(pool, grader, f"__import__('pathlib').Path('{tmp_path}/made').touch()")
        == "refused exec"
    )
    assert not any(tmp_path.iterdir())


def test_what_graders_need_is_not_refused(pool):
    assert pool.judge([("parse", "a", "6*7"), ("import", "a", "")]) == [
        Judgment("right", "BinOp"),
        Judgment("right", "colorsys"),
    ]


def test_the_hook_by_hand():
    def is_refused(event, *arguments):
        return _is_refused(event, arguments, __file__)

    assert is_refused("exec", compile("1", "<string>", "eval"))
    assert not is_refused("exec", compile("1", "/lib/module.py", "exec"))
    assert is_refused("open", "f", "w", 0) and is_refused("open", "f", None, os.O_RDWR)
    assert not is_refused("open", "f", "rb", os.O_RDONLY)
    assert not is_refused("compile", b"1", "<unknown>") and not is_refused("import", "sympy")


def test_formulas_of_many_symbols_are_judged_without_a_refusal():
    """Sympy's eval of numbers, and the code of its polynomials, must not cost a verdict."""
    references = [r"2\sqrt{18}", "p - q", "x^2-1", "a+b+c+d+x+y", r"\frac{x+1}{y-2}"]
    written = [r"\frac{q \cdot (%s)}{q}", r"(%s)+w-w", r"(%s)\cdot\frac{a+b+c}{c+b+a}", r"(%s)+1.5"]
    with Pool() as pool:
        found = pool.judge(
            [
                ("math", reference, r"\boxed{%s}" % (form % reference))
                for reference in references
                for form in written
            ]
        )
    assert [judgment.reason for judgment in found] == [""] * 20
    assert [judgment.verdict for judgment in found] == (["right"] * 3 + ["wrong"]) * 5
