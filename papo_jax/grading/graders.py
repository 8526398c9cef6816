r"""Every grader by name: pure functions of a gold answer and of a text, which is never executed.

>>> grade("integer", "12", r"first \boxed{7}, no: \boxed{12}")
'right'
>>> judge("math", r"\frac{1}{2}", r"so \boxed{\dfrac12}")
Judgment(verdict='right', answer='1/2', reason='')
>>> judge("integer", "twelve", "12").reason
"the gold answer 'twelve' is no integer"
"""

import difflib
import importlib
import importlib.metadata
from collections.abc import Callable

from papo_jax.errors import InputError
from papo_jax.grading.final_answer import cut, spoken
from papo_jax.grading.judgment import ERROR, Judgment

VERSION = 2  # raised when any verdict may change
GRADERS = ("integer", "exact", "math", "expression", "approximate")
_SAMPLES = {  # answers that make a grader import all that it may need
    "math": (
        ("1+2i", r"\boxed{2i+1}"),
        (r"\sqrt{8}", r"\boxed{2\sqrt{2}}"),
        ("x+y=1", r"\boxed{2x+2y=2}"),
        (r"\pi", r"\boxed{3.14159}"),
        ("6r^2-4r", r"\boxed{2r(3r-2)}"),
    )
}


def judge(grader: str, gold: str, text: str) -> Judgment:
    """Compares the final answer of a text with the gold answer.

    Args:
      grader: "integer" (`integers`), "exact" (`exact`), "math" (`mathematics`), "expression"
        (`expressions`) or "approximate" (`approximate`).
      gold: the right answer.
      text: what the policy wrote; only its last 10,000 characters count, and of those what follows
        a closing `</think>`.

    Returns:
      A `Judgment`; "error" where the gold is unusable or the grader failed.

    Raises:
      InputError: if there is no such grader.
      MemoryError: if memory ran out, after which the process is better replaced.
    """
    compare = _compare(grader)
    try:
        return compare(gold, spoken(cut(text)))
    except MemoryError:
        raise
    except Exception as error:  # a text must never end a run: whatever a grader did not foresee is shown as its error
        return Judgment(ERROR, None, f"{type(error).__name__}: {error}".splitlines()[0][:200])


def grade(grader: str, gold: str, text: str) -> str:
    """The verdict alone: "right", "wrong" or "error"; the arguments are those of `judge`."""
    return judge(grader, gold, text).verdict


def warm(grader: str) -> None:
    """Makes a grader import what it needs, so that no deadline of an answer has to cover that.

    Args:
      grader: as in `judge`.

    Raises:
      InputError: if there is no such grader.
    """
    for gold, text in _SAMPLES.get(grader, (("1", "1"),)):
        judge(grader, gold, text)


def versions() -> dict[str, str]:
    """What a verdict depends on: {"papo_jax.grading": "2", "math-verify": "0.9.0", ...}; "absent"
    if not installed."""
    found = {"papo_jax.grading": str(VERSION)}
    for name in ("math-verify", "latex2sympy2_extended", "sympy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _compare(grader: str) -> Callable[[str, str], Judgment]:
    if grader not in GRADERS:
        near = difflib.get_close_matches(str(grader), GRADERS, n=1, cutoff=0)[0]
        raise InputError(
            f"grader {grader!r} is none of {', '.join(GRADERS)}; the nearest is {near!r}"
        )
    module = {
        "integer": "integers",
        "math": "math_answers.mathematics",
        "expression": "expressions",
    }.get(grader, grader)
    return importlib.import_module(f"papo_jax.grading.{module}").judge
