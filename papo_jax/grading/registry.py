r"""Registry of graders: each compares a completion with a reference answer, and executes neither.

>>> grade("integer", "12", r"first \boxed{7}, no: \boxed{12}")
'right'
>>> judge("math", r"\frac{1}{2}", r"so \boxed{\dfrac12}")
Judgment(verdict='right', answer='1/2', reason='')
>>> judge("integer", "twelve", "12").reason
"the reference answer 'twelve' is no integer"
>>> grade("integer", ("-2", "2"), "x = 2")
'right'
"""

import difflib
import importlib.metadata
import sys
from collections.abc import Sequence

from papo_jax.errors import InputError
from papo_jax.grading.approximate_grader import judge_approximate
from papo_jax.grading.exact_grader import judge_exact
from papo_jax.grading.expression_grader import judge_expression
from papo_jax.grading.final_answer import strip_thinking, truncate_to_tail
from papo_jax.grading.integer_grader import judge_integer
from papo_jax.grading.judgment import ERROR, Judgment
from papo_jax.grading.math_answers.math_grader import judge_math

Reference = str | Sequence[str]
VERSION = 3  # raised when any verdict may change
_GRADERS = {
    "integer": judge_integer,
    "exact": judge_exact,
    "math": judge_math,
    "expression": judge_expression,
    "approximate": judge_approximate,
}
GRADERS = tuple(_GRADERS)
_WARMUP_ANSWERS = {  # (reference, completion) pairs that make a grader import all that it may need
    "math": (
        ("1+2i", r"\boxed{2i+1}"),
        (r"\sqrt{8}", r"\boxed{2\sqrt{2}}"),
        ("x+y=1", r"\boxed{2x+2y=2}"),
        (r"\pi", r"\boxed{3.14159}"),
        ("6r^2-4r", r"\boxed{2r(3r-2)}"),
    )
}


def judge(grader: str, reference: Reference, completion: str) -> Judgment:
    """Compares the final answer of a completion with the reference answer.

    Args:
      grader: one of `GRADERS`.
      reference: the right answer, or several of which any is right.
      completion: text that the policy generated; only its last 10,000 characters count, and of
        those what follows a closing `</think>`.

    Returns:
      A `Judgment`; "error" where the reference is unusable or the grader failed. Of several
      references one that is met is enough; else one that is unusable makes an error.

    Raises:
      InputError: if there is no such grader.
      MemoryError: if memory ran out, after which the process is better replaced.
    """
    if grader not in GRADERS:
        nearest = difflib.get_close_matches(str(grader), GRADERS, n=1, cutoff=0)[0]
        raise InputError(
            f"grader {grader!r} is none of {', '.join(GRADERS)}; the nearest is {nearest!r}"
        )
    references = (reference,) if isinstance(reference, str) else tuple(reference)
    text, judgments = strip_thinking(truncate_to_tail(completion)), []
    for one in references:
        judgment = _judge_by_one(grader, one, text)
        if judgment.is_right:
            return judgment
        judgments.append(judgment)
    unusable = [judgment for judgment in judgments if judgment.verdict == ERROR]
    return next(iter([*unusable, *judgments]), Judgment(ERROR, None, "no reference answer"))


def _judge_by_one(grader: str, reference: str, text: str) -> Judgment:
    try:
        return _GRADERS[grader](reference, text)
    except MemoryError:
        raise
    except Exception as error:  # no completion may end a run: a failure of a grader is its verdict
        return Judgment(ERROR, None, f"{type(error).__name__}: {error}".splitlines()[0][:200])


def grade(grader: str, reference: Reference, completion: str) -> str:
    """Returns the verdict alone: "right", "wrong" or "error"; the arguments are `judge`'s."""
    return judge(grader, reference, completion).verdict


def warm_up(grader: str) -> None:
    """Makes a grader import what it needs, so that no answer's deadline has to cover that.

    Args:
      grader: one of `GRADERS`.

    Raises:
      InputError: if there is no such grader.
    """
    for reference, completion in _WARMUP_ANSWERS.get(grader, (("1", "1"),)):
        judge(grader, reference, completion)


def clear_caches() -> None:
    """Makes sympy forget results, some of which an interrupted computation may have left half."""
    if "sympy" in sys.modules:
        importlib.import_module("sympy.core.cache").clear_cache()


def versions() -> dict[str, str]:
    """Returns the versions that a verdict depends on; "absent" for what is not installed.

    For example {"papo_jax.grading": "3", "math-verify": "0.9.0", ...}.
    """
    found = {"papo_jax.grading": str(VERSION)}
    for name in ("math-verify", "latex2sympy2_extended", "sympy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
