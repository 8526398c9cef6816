r"""Whether graders can tell gold answers from wrong ones, asked before a run.

>>> from papo_jax.tasks.problem import Problem
>>> self_test(
...     [
...         Problem(0, "1+1=", "2"),
...         Problem(1, "Half?", r"\frac{1}{2}", "math", "halves"),
...     ]
... ).lines()
[]
>>> (
...     neighbor("1,080"),
...     neighbor(r"15\mbox{ cm}^2"),
...     neighbor(r"\text{(C)}"),
...     neighbor("[]"),
... )
('1,180', '25\\mbox{ cm}^2', '\\text{(D)}', '[]1')
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.grading import graders
from papo_jax.grading.judgment import RIGHT, TIMEOUT, WRONG, Judgment
from papo_jax.tasks.problem import Problem

LIMIT = 512  # golds of one source that the grader "math" is tried on
_TOLERATED = (
    0.02  # of these, the share that it need not be able to judge: formulas beyond its parser
)
_SHOWN = 3
_NUMBER = re.compile(r"(?<![0-9.])(?<![\^_])(?<![\^_]\{)[0-9]+(?:\.[0-9]+)?")
_ANY_NUMBER = re.compile(r"(?<![0-9.])[0-9]+(?:\.[0-9]+)?")
_UNIT = re.compile(r"(?<=.)\\(?:text|mbox|mathrm)\{[^{}]*\}(?:\^\{?[0-9]\}?)?$")
_LETTER = re.compile("[A-Za-z]")

JudgeAll = Callable[[list[tuple[str, str, str]]], list[Judgment]]


class SelfTest(NamedTuple):
    """What was found.

    Attributes:
      golds: how many gold answers each grader was tried on, by its name.
      failures: a line for every gold that could not be judged, where that is tolerated.
    """

    golds: dict[str, int]
    failures: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What a reader of the run's figures should know; empty if every gold tried could be
        judged."""
        more = len(self.failures) - _SHOWN
        return [*self.failures[:_SHOWN], *([f"and {more} more like these"] if more > 0 else [])]


class _Trial(NamedTuple):
    problem: Problem
    text: str
    expected: str


def self_test(
    problems: Sequence[Problem], judge_all: JudgeAll | None = None, *, limit: int | None = LIMIT
) -> SelfTest:
    """Has graders judge every gold answer, which should be right, and a neighbor of it, which
    should be wrong.

    Args:
      problems: all that the run may draw.
      judge_all: judges (grader, gold, text) triples, such as `Pool.judge`; by default in this
        process.
      limit: of a source, how many golds the slow grader "math" is tried on, evenly spaced; None for
        all.

    Returns:
      What was found.

    Raises:
      InputError: names the first problem whose gold is not right or whose neighbor is not wrong.
        Of the golds of a source that "math" is tried on, 2 % may be beyond it; no neighbor may be
        right.
    """
    chosen = _chosen(problems, limit)
    trials = [trial for problem in chosen for trial in _trials(problem)]
    asked = [(trial.problem.grader, trial.problem.answer, trial.text) for trial in trials]
    found = judge_all(asked) if judge_all else [graders.judge(*question) for question in asked]
    failures = dict(_failures(zip(trials, found, strict=True)))
    _tolerate(failures, Counter(problem.source for problem in chosen if problem.grader == "math"))
    golds = Counter(problem.grader for problem in chosen)
    return SelfTest(dict(sorted(golds.items())), tuple(failures.values()))


def neighbor(gold: str) -> str:
    """Makes another answer out of a gold: the first digit of its last number that is no exponent
    becomes the next digit.

    In a gold without numbers the last letter that is not a unit's becomes the next; one without
    letters gets a 1.
    """
    found = list(_NUMBER.finditer(gold)) or list(_ANY_NUMBER.finditer(gold))
    if found:
        digit = int(found[-1][0][0])
        return gold[: found[-1].start()] + str(digit % 9 + 1) + gold[found[-1].start() + 1 :]
    letters = list(_LETTER.finditer(_UNIT.sub("", gold)))
    if not letters:
        return gold + "1"
    letter = letters[-1][0]
    following = {"z": "a", "Z": "A"}.get(letter) or chr(ord(letter) + 1)
    return gold[: letters[-1].start()] + following + gold[letters[-1].end() :]


def _chosen(problems: Sequence[Problem], limit: int | None) -> list[Problem]:
    """The problems that are tried: of each source's for the grader "math" an even sample, of the
    others all."""
    slow: dict[str, list[Problem]] = {}
    chosen = []
    for problem in problems:
        (slow.setdefault(problem.source, []) if problem.grader == "math" else chosen).append(
            problem
        )
    for found in slow.values():
        count = len(found) if limit is None else min(limit, len(found))
        chosen += [found[number * len(found) // count] for number in range(count)]
    return chosen


def _trials(problem: Problem) -> Iterator[_Trial]:
    gold = problem.answer
    if problem.grader == "math":
        yield _Trial(problem, rf"\boxed{{{gold}}}", RIGHT)
        yield _Trial(problem, rf"\boxed{{{neighbor(gold)}}}", WRONG)
        return
    target, _, using = (
        gold.partition(" using ") if problem.grader == "expression" else (gold, "", "")
    )
    if not using:  # with given numbers the target alone is no answer, and nobody knows one
        yield _Trial(problem, gold, RIGHT)
    yield _Trial(problem, neighbor(target), WRONG)


def _failures(judged: Iterable[tuple[_Trial, Judgment]]) -> Iterator[tuple[Problem, str]]:
    """A line for every gold that "math" cannot judge; anything else that is not as expected is
    raised."""
    for (problem, text, expected), judgment in judged:
        if judgment.verdict == expected:
            continue
        line = (
            f"grader {problem.grader!r} says {judgment.verdict!r} to {text[:40]!r} on problem {problem.identifier} "
            f"({problem.prompt[:60]!r}, gold {problem.answer[:40]!r}); it should say {expected!r}"
        )
        line += f" ({judgment.reason})" if judgment.reason else ""
        if problem.grader != "math" or judgment.verdict == RIGHT:
            slow = ", or give it more time" if judgment.reason == TIMEOUT else ""
            raise InputError(f"{line}: mend that gold answer or choose another grader{slow}")
        yield problem, line


def _tolerate(failures: dict[Problem, str], tried: Counter) -> None:
    for source, count in tried.items():
        lines = [line for problem, line in failures.items() if problem.source == source]
        if len(lines) > _TOLERATED * count:
            raise InputError(
                f"{len(lines)} of the {count} gold answers of {source or 'the task'} that grader 'math' was tried on, "
                f"more than {_TOLERATED:.0%}, are beyond it: {lines[0]}"
            )
