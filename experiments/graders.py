"""What the graders are worth, measured: golds, their neighbors, hostile answers, and speed.

    python -m experiments.graders --gsm8k=DIR --math_500=FILE

DIR holds GSM8K's test.jsonl, FILE is MATH-500 (docs/tasks.md says where they come from). Either may
be left out. Seconds are those of the wall clock.
"""

import argparse
import pathlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from experiments import hostile
from papo_jax import grading, tasks
from papo_jax.grading.math_answers import admission, canonical_latex, rationals, structure
from papo_jax.tasks.problem import Problem

SPEED = 4096  # answers of GSM8K
PAIRS = 3000  # of formulas
EXECUTED = pathlib.Path("/tmp/executed")  # what hostile answers would make if they were
Row = tuple[str, str]


def golds(problems: Sequence[Problem], pool: grading.Pool) -> Iterator[Row]:
    """Yields how golds fare as answers, to their own problem and to the one before."""
    if not problems:
        return
    answers = [written(problem) for problem in problems]
    own = pool.judge(
        [(p.grader, p.answer, answer) for p, answer in zip(problems, answers, strict=True)]
    )
    right = sum(judgment.verdict == "right" for judgment in own)
    yield "golds graded right", f"{right} of {len(problems)}, {right / len(problems):.2%}"
    for problem, judgment in zip(problems, own, strict=True):
        if judgment.verdict != "right":
            yield (
                "  not right",
                f"problem {problem.identifier}: {problem.answer!r}, {judgment.verdict} {judgment.reason}",
            )
    turned = [*answers[1:], answers[0]]
    other = pool.judge(
        [(p.grader, p.answer, answer) for p, answer in zip(problems, turned, strict=True)]
    )
    pairs = [
        (p.answer, answer)
        for p, answer, judgment in zip(problems, turned, other, strict=True)
        if judgment.verdict == "right"
    ]
    same = sum(
        written(Problem(0, "", gold, problems[0].grader)) == answer for gold, answer in pairs
    )
    yield (
        "golds of the next problem graded right",
        f"{len(pairs)}, of which {same} are the same text",
    )
    for gold, answer in pairs:
        if written(Problem(0, "", gold, problems[0].grader)) != answer:
            yield "  not the same text", f"{gold!r} and {answer!r}"
    yield (
        "verdicts of those",
        ", ".join(
            f"{n} {verdict}" for verdict, n in sorted(Counter(j.verdict for j in other).items())
        ),
    )


def written(problem: Problem) -> str:
    """The gold as a policy would write it."""
    return (
        f"#### {problem.answer}" if problem.grader == "integer" else rf"\boxed{{{problem.answer}}}"
    )


def speed(problems: Sequence[Problem], count: int, **options) -> Iterator[Row]:
    """Yields how long `count` answers take in a pool that has just been started."""
    asked = [problems[n % len(problems)] for n in range(count)]
    answers = [(p.grader, p.answer, f"{p.prompt}\nSo the answer is\n{written(p)}") for p in asked]
    started = time.perf_counter()
    with grading.Pool(**options) as pool:
        right = pool.grade(answers).count("right")
        first = time.perf_counter() - started
        pool.grade(answers)
        again = time.perf_counter() - started - first
    yield (
        f"{count} answers, {right} right",
        f"{first:.2f} s with the pool's start, {again:.2f} s without, {count / again:.0f} a second",
    )


def formula_speed(problems: Sequence[Problem], **options) -> Iterator[Row]:
    """Yields how long formulas take that are handed to math-verify: golds against others, and
    against themselves rewritten."""
    texts = list(
        dict.fromkeys(
            canonical_latex.canonical(problem.answer)
            for problem in problems
            if problem.grader == "math"
        )
    )
    formulas = [
        text
        for text in texts
        if admission.admits(text) and rationals.read(text) is None and not text.isalpha()
    ]
    formulas = [text for text in formulas if structure.read(text).kind == "value"]
    if not formulas:
        return
    others = [(gold, answer) for gold in formulas for answer in formulas if gold != answer][:PAIRS]
    rewritten = [
        (gold, rf"\frac{{{x} \cdot ({gold})}}{{{x}}}")
        for gold in formulas
        for x in "ghjquvw"
        if not {x, "_"} & set(gold)
    ]
    with grading.Pool(**options) as pool:
        pool.grade([("math", "2x", r"\boxed{x+x}")] * 8)
        for name, pairs in (
            ("golds that are formulas against others", others),
            ("against themselves, rewritten", rewritten),
        ):
            started = time.perf_counter()
            verdicts = Counter(
                pool.grade([("math", gold, rf"\boxed{{{answer}}}") for gold, answer in pairs])
            )
            seconds = time.perf_counter() - started
            yield (
                f"{len(pairs)} {name}",
                f"{seconds:.2f} s, {len(pairs) / seconds:.0f} a second, {dict(verdicts)}",
            )


def attacks(deadline: float) -> Iterator[Row]:
    """Yields what hostile answers do to every grader, one at a time: the longest wait, and who was
    paid."""
    found, waits = Counter(), {}
    EXECUTED.unlink(missing_ok=True)
    with grading.Pool(deadline=deadline) as pool:
        for grader in grading.GRADERS:
            pool.grade([(grader, hostile.GOLD, hostile.GOLD)])  # ready from here on
            for name, text in hostile.ANSWERS.items():
                started = time.perf_counter()
                judgment = pool.judge([(grader, hostile.GOLD, text)])[0]
                waits[grader, name] = time.perf_counter() - started
                found[judgment.verdict] += 1
                if judgment.verdict == "right":
                    yield "  graded right", f"{grader}: {name}"
                if judgment.verdict == "error":
                    yield "  error", f"{grader}: {name}: {judgment.reason}"
        alive = pool.grade(
            [(grader, hostile.GOLD, rf"\boxed{{{hostile.GOLD}}}") for grader in grading.GRADERS]
        )
    slowest = max(waits, key=waits.get)
    yield (
        f"{len(hostile.ANSWERS)} hostile answers x {len(grading.GRADERS)} graders",
        f"{dict(found)}",
    )
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
    asked = parser.parse_args()
    for name in ("gsm8k", "math_500"):
        if path := getattr(asked, name):
            problems = tasks.load(name, path=path).held_out
            count = SPEED if name == "gsm8k" else len(problems)
            with grading.Pool(workers=asked.workers, deadline=asked.deadline) as pool:
                show(name, golds(problems, pool))
            options = dict(workers=asked.workers, deadline=asked.deadline)
            show(
                f"{name}, {asked.workers} workers",
                [*speed(problems, count, **options), *formula_speed(problems, **options)],
            )
    show("hostile answers", attacks(asked.deadline))
    show("versions", grading.versions().items())


def show(title: str, rows) -> None:
    """Prints rows under a title as they come."""
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<44} {value}", flush=True)


if __name__ == "__main__":
    main()
