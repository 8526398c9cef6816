"""Benchmark of the graders: reference answers, their neighbors, hostile answers, and speed.

    python -m experiments.grader_benchmark --gsm8k=DIR --math_500=FILE

DIR holds GSM8K's test.jsonl, FILE is MATH-500 (docs/tasks.md says where they come from). Either may
be left out. Seconds are those of the wall clock.
"""

import argparse
import pathlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments import hostile_answers
from papo_jax import grading, tasks
from papo_jax.grading.math_answers.answer_parser import parse_answer
from papo_jax.grading.math_answers.latex.canonical_latex import canonicalize_latex
from papo_jax.grading.math_answers.rationals import parse_rational
from papo_jax.grading.math_answers.sympy_safety import is_safe_to_parse
from papo_jax.tasks.problem import Problem

GSM8K_ANSWERS = 4096  # whose speed is measured
FORMULA_PAIRS = 3000
EXECUTED = pathlib.Path("/tmp/executed")  # what hostile answers would make if they were
Row = tuple[str, str]


def check_references(problems: Sequence[Problem], pool: grading.Pool) -> Iterator[Row]:
    """Yields verdicts on reference answers, given to their own problem and to the one before."""
    if not problems:
        return
    completions = [format_answer(problem.grader, problem.references[0]) for problem in problems]

    # Each to its own problem: all should be right.
    own = judge_all(pool, problems, completions)
    right = sum(judgment.is_right for judgment in own)
    yield "references graded right", f"{right} of {len(problems)}, {right / len(problems):.2%}"
    for problem, judgment in zip(problems, own, strict=True):
        if not judgment.is_right:
            verdict = f"{judgment.verdict} {judgment.reason}"
            yield "  not right", f"problem {problem.identifier}: {problem.answer!r}, {verdict}"

    # Each to the problem before: right only where the two are equal.
    shifted = [*completions[1:], completions[0]]
    other = judge_all(pool, problems, shifted)
    accepted = [
        (problem, completion)
        for problem, completion, judgment in zip(problems, shifted, other, strict=True)
        if judgment.is_right
    ]
    unequal = [
        (problem, completion)
        for problem, completion in accepted
        if format_answer(problem.grader, problem.references[0]) != completion
    ]
    equal = len(accepted) - len(unequal)
    yield (
        "references of the next problem graded right",
        f"{len(accepted)}, of which {equal} are the same text",
    )
    for problem, completion in unequal:
        yield "  not the same text", f"{problem.answer!r} and {completion!r}"
    verdicts = sorted(Counter(judgment.verdict for judgment in other).items())
    yield "verdicts of those", ", ".join(f"{count} {verdict}" for verdict, count in verdicts)


def judge_all(
    pool: grading.Pool, problems: Sequence[Problem], completions: Sequence[str]
) -> list[grading.Judgment]:
    """Judges a completion of each problem."""
    pairs = zip(problems, completions, strict=True)
    return pool.judge([(problem.grader, problem.answer, text) for problem, text in pairs])


def format_answer(grader: str, answer: str) -> str:
    """Writes an answer as a policy would."""
    return f"#### {answer}" if grader == "integer" else rf"\boxed{{{answer}}}"


def measure_speed(problems: Sequence[Problem], count: int, **options: Any) -> Iterator[Row]:
    """Yields the seconds that `count` answers take in a pool that has just been started."""
    requests = []
    for index in range(count):
        problem = problems[index % len(problems)]
        answer = format_answer(problem.grader, problem.references[0])
        completion = f"{problem.prompt}\nSo the answer is\n{answer}"
        requests.append((problem.grader, problem.answer, completion))

    started = time.perf_counter()
    with grading.Pool(**options) as pool:
        right = pool.grade(requests).count("right")
        first = time.perf_counter() - started
        pool.grade(requests)
        again = time.perf_counter() - started - first
    seconds = f"{first:.2f} s with the pool's start, {again:.2f} s without"
    yield f"{count} answers, {right} right", f"{seconds}, {count / again:.0f} a second"


def measure_formula_speed(problems: Sequence[Problem], **options: Any) -> Iterator[Row]:
    """Yields the seconds that formulas take which are handed to math-verify.

    They are reference answers against others, and against themselves rewritten.
    """
    formulas = list_formulas(problems)
    if not formulas:
        return

    # Pairs of a reference and an answer.
    others = [(one, other) for one in formulas for other in formulas if one != other]
    rewritten = [
        (formula, rf"\frac{{{letter} \cdot ({formula})}}{{{letter}}}")
        for formula in formulas
        for letter in "ghjquvw"
        if not {letter, "_"} & set(formula)
    ]

    with grading.Pool(**options) as pool:
        pool.grade([("math", "2x", r"\boxed{x+x}")] * 8)  # ready from here on
        for name, pairs in (
            ("references that are formulas against others", others[:FORMULA_PAIRS]),
            ("against themselves, rewritten", rewritten),
        ):
            requests = [("math", reference, rf"\boxed{{{answer}}}") for reference, answer in pairs]
            started = time.perf_counter()
            verdicts = Counter(pool.grade(requests))
            seconds = time.perf_counter() - started
            speed = f"{seconds:.2f} s, {len(pairs) / seconds:.0f} a second"
            yield f"{len(pairs)} {name}", f"{speed}, {dict(verdicts)}"


def list_formulas(problems: Sequence[Problem]) -> list[str]:
    """Returns the reference answers that are single formulas in symbols, canonical, each once."""
    texts = dict.fromkeys(
        canonicalize_latex(problem.references[0])
        for problem in problems
        if problem.grader == "math"
    )
    return [
        text
        for text in texts
        if is_safe_to_parse(text)
        and parse_rational(text) is None
        and not text.isalpha()
        and parse_answer(text).kind == "value"
    ]


def attack_graders(deadline: float) -> Iterator[Row]:
    """Yields what hostile answers do to every grader, one at a time.

    Rows are the answers that were graded right or could not be judged, and the longest wait.
    """
    reference, answers = hostile_answers.REFERENCE, hostile_answers.ANSWERS
    verdicts, waits = Counter(), {}
    EXECUTED.unlink(missing_ok=True)
    with grading.Pool(deadline=deadline) as pool:
        for grader in grading.GRADERS:
            pool.grade([(grader, reference, reference)])  # ready from here on
            for name, completion in answers.items():
                started = time.perf_counter()
                judgment = pool.judge([(grader, reference, completion)])[0]
                waits[grader, name] = time.perf_counter() - started
                verdicts[judgment.verdict] += 1
                if judgment.verdict == "right":
                    yield "  graded right", f"{grader}: {name}"
                if judgment.verdict == "error":
                    yield "  error", f"{grader}: {name}: {judgment.reason}"
        alive = pool.grade(
            [(grader, reference, rf"\boxed{{{reference}}}") for grader in grading.GRADERS]
        )

    slowest = max(waits, key=lambda attack: waits[attack])
    yield f"{len(answers)} hostile answers x {len(grading.GRADERS)} graders", f"{dict(verdicts)}"
    yield f"longest wait, deadline {deadline} s", f"{waits[slowest]:.2f} s ({', '.join(slowest)})"
    yield "something was executed", str(EXECUTED.exists())
    yield "the pool afterwards", str(alive)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gsm8k", help="a directory with GSM8K's test.jsonl, or a JSONL file")
    parser.add_argument("--math_500", help="MATH-500's JSONL file")
    parser.add_argument("--deadline", type=float, default=5.0, help="seconds an answer")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()

    options = {"workers": arguments.workers, "deadline": arguments.deadline}
    for name in ("gsm8k", "math_500"):
        path = getattr(arguments, name)
        if not path:
            continue
        problems = tasks.load(name, path=path).held_out
        with grading.Pool(**options) as pool:
            print_rows(name, check_references(problems, pool))
        count = GSM8K_ANSWERS if name == "gsm8k" else len(problems)
        speeds = [
            *measure_speed(problems, count, **options),
            *measure_formula_speed(problems, **options),
        ]
        print_rows(f"{name}, {arguments.workers} workers", speeds)
    print_rows("hostile answers", attack_graders(arguments.deadline))
    print_rows("versions", grading.versions().items())


def print_rows(title: str, rows: Iterable[Row]) -> None:
    """Prints rows under a title as they come."""
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<44} {value}", flush=True)


if __name__ == "__main__":
    main()
