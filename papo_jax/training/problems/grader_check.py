r"""Check before a run: graders tell reference answers from wrong ones.

>>> from papo_jax.tasks.problem import Problem
>>> half = Problem(1, "Half?", r"\frac{1}{2}", "math", "halves")
>>> check_reference_answers([Problem(0, "1+1=", "2"), half]).summary_lines()
[]
>>> perturb_answer("1,080"), perturb_answer(r"15\mbox{ cm}^2")
('1,180', '25\\mbox{ cm}^2')
>>> perturb_answer(r"\text{(C)}"), perturb_answer("[]")
('\\text{(D)}', '[]1')
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.grading import Judgment, judge
from papo_jax.grading.judgment import RIGHT, TIMEOUT, WRONG
from papo_jax.tasks.problem import Problem

MATH_SAMPLE = 512  # references of one source that the grader "math" is tried on
_TOLERATED_SHARE = 0.02  # of these, that it may be unable to judge: formulas beyond its parser
_MAX_SUMMARY_LINES = 3
_NUMBER = re.compile(r"(?<![0-9.])(?<![\^_])(?<![\^_]\{)[0-9]+(?:\.[0-9]+)?")
_ANY_NUMBER = re.compile(r"(?<![0-9.])[0-9]+(?:\.[0-9]+)?")
_UNIT = re.compile(r"(?<=.)\\(?:text|mbox|mathrm)\{[^{}]*\}(?:\^\{?[0-9]\}?)?$")
_LETTER = re.compile("[A-Za-z]")

JudgeAll = Callable[[list[tuple[str, str, str]]], list[Judgment]]


class GraderCheck(NamedTuple):
    """Outcome of a check that was passed.

    Attributes:
      reference_counts: of the reference answers that each grader was tried on, by its name.
      failures: a line for every reference that could not be judged, where that is tolerated.
    """

    reference_counts: dict[str, int]
    failures: tuple[str, ...] = ()

    def summary_lines(self) -> list[str]:
        """Returns what a reader of the run's figures should know.

        Empty if every reference tried could be judged.
        """
        more = len(self.failures) - _MAX_SUMMARY_LINES
        shown = list(self.failures[:_MAX_SUMMARY_LINES])
        return [*shown, f"and {more} more like these"] if more > 0 else shown


class _Trial(NamedTuple):
    problem: Problem
    reference: str  # of the problem, one of perhaps several
    completion: str
    expected: str


def check_reference_answers(
    problems: Sequence[Problem],
    judge_all: JudgeAll | None = None,
    *,
    math_sample: int | None = MATH_SAMPLE,
) -> GraderCheck:
    """Checks that every reference answer is graded right, and a perturbed one wrong.

    Args:
      problems: all that the run may draw.
      judge_all: judges (grader, reference, completion) triples, such as `Pool.judge`; by default in
        this process.
      math_sample: of a source, how many references the slow grader "math" is tried on, evenly
        spaced; None for all.

    Returns:
      A `GraderCheck`.

    Raises:
      InputError: names the first problem whose reference is not right or whose perturbed one is not
        wrong. Of the references of a source that "math" is tried on, 2 % may be beyond it; no
        perturbed one may be right.
    """
    tried = _select_problems(problems, math_sample)
    trials = [
        trial
        for problem in tried
        for reference in problem.references
        for trial in _make_trials(problem, reference)
    ]
    requests = [(trial.problem.grader, trial.reference, trial.completion) for trial in trials]
    judgments = judge_all(requests) if judge_all else [judge(*request) for request in requests]

    failures = dict(_find_failures(zip(trials, judgments, strict=True)))
    math_counts = Counter(problem.source for problem in tried if problem.grader == "math")
    _check_failure_share(failures, math_counts)
    counts = Counter(problem.grader for problem in tried)
    return GraderCheck(dict(sorted(counts.items())), tuple(failures.values()))


def perturb_answer(reference: str) -> str:
    """Makes a wrong answer out of a reference answer.

    The first digit of its last number that is no exponent becomes the next digit. Without numbers,
    the last letter that is not a unit's becomes the next; without letters, a 1 is added.
    """
    numbers = list(_NUMBER.finditer(reference)) or list(_ANY_NUMBER.finditer(reference))
    if numbers:
        start = numbers[-1].start()
        following = str(int(reference[start]) % 9 + 1)
        return reference[:start] + following + reference[start + 1 :]

    letters = list(_LETTER.finditer(_UNIT.sub("", reference)))
    if not letters:
        return reference + "1"
    start = letters[-1].start()
    letter = reference[start]
    following = {"z": "a", "Z": "A"}.get(letter) or chr(ord(letter) + 1)
    return reference[:start] + following + reference[start + 1 :]


def _select_problems(problems: Sequence[Problem], math_sample: int | None) -> list[Problem]:
    """Selects an even sample of each source's problems for the grader "math", and all others."""
    math_problems: dict[str, list[Problem]] = {}
    selected = []
    for problem in problems:
        if problem.grader == "math":
            math_problems.setdefault(problem.source, []).append(problem)
        else:
            selected.append(problem)
    for found in math_problems.values():
        count = len(found) if math_sample is None else min(math_sample, len(found))
        selected += [found[number * len(found) // count] for number in range(count)]
    return selected


def _make_trials(problem: Problem, reference: str) -> Iterator[_Trial]:
    """Yields a reference answer and a perturbed one, each tried against that reference alone."""
    if problem.grader == "math":
        yield _Trial(problem, reference, rf"\boxed{{{reference}}}", RIGHT)
        yield _Trial(problem, reference, rf"\boxed{{{perturb_answer(reference)}}}", WRONG)
        return

    target, using = reference, ""
    if problem.grader == "expression":
        target, _, using = reference.partition(" using ")
    if not using:  # with given numbers the target alone is no answer, and nobody knows one
        yield _Trial(problem, reference, reference, RIGHT)
    yield _Trial(problem, reference, perturb_answer(target), WRONG)


def _find_failures(judged: Iterable[tuple[_Trial, Judgment]]) -> Iterator[tuple[Problem, str]]:
    """Yields a line for every reference that "math" cannot judge.

    Raises:
      InputError: for anything else that is not as expected.
    """
    for (problem, reference, completion, expected), judgment in judged:
        if judgment.verdict == expected:
            continue
        line = (
            f"grader {problem.grader!r} says {judgment.verdict!r} to {completion[:40]!r}"
            f" on problem {problem.identifier} ({problem.prompt[:60]!r},"
            f" reference {reference[:40]!r}); it should say {expected!r}"
        )
        line += f" ({judgment.reason})" if judgment.reason else ""
        if problem.grader != "math" or judgment.is_right:
            more_time = ", or give it more time" if judgment.reason == TIMEOUT else ""
            advice = f"mend that reference answer or choose another grader{more_time}"
            raise InputError(f"{line}: {advice}")
        yield problem, line


def _check_failure_share(failures: dict[Problem, str], math_counts: Counter[str]) -> None:
    """Raises an InputError if too many of a source's references are beyond the grader "math"."""
    for source, count in math_counts.items():
        lines = [line for problem, line in failures.items() if problem.source == source]
        if len(lines) > _TOLERATED_SHARE * count:
            raise InputError(
                f"{len(lines)} of the {count} reference answers of {source or 'the task'} that"
                f" grader 'math' was tried on, more than {_TOLERATED_SHARE:.0%}, are beyond it:"
                f" {lines[0]}"
            )
