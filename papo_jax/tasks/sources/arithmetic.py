"""Arithmetic that we generate: sums, products and parentheses over small integers, at a chosen
difficulty.

A problem is a pure function of (seed, split, index), so nothing has to be shipped or fetched. The
two splits
cannot overlap: the text of a prompt decides its split.

>>> problem = generate(0, "train", 0, difficulty=2)
>>> problem == generate(0, "train", 0, difficulty=2)
True
>>> worked("(3+4)*12-5")
['7*12-5', '84-5', '79']
"""

import random
import re
import zlib

from papo_jax.errors import InputError
from papo_jax.tasks import templates
from papo_jax.tasks.problem import Made, Problem

NAME = "arithmetic"
SPLITS = ("train", "held_out")
MAX_DIFFICULTY = 8
_HELD_OUT_SHARE = 8  # one prompt text in eight is held out
_DISTINCT_DRAWS = 1000  # repeats in a row after which no new held-out prompt is expected
_PARENTHESES = re.compile(r"\((\d+)([-+*])(\d+)\)")
_PRODUCT = re.compile(r"(\d+)(\*)(\d+)")
_SUM = re.compile(r"^(\d+)([-+])(\d+)")


def generate(seed: int, split: str, index: int, *, difficulty: int) -> Problem:
    """Draws problem number `index` of a split.

    Args:
      seed: chooses the whole data set.
      split: "train" or "held_out".
      index: which problem; also its identifier.
      difficulty: the number of operations, 1 to 8; operands grow with it.

    Returns:
      A `Problem` whose prompt is an expression and "=", and whose answer is a non-negative integer.

    Raises:
      ValueError: if the split or the difficulty does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {SPLITS}")
    if not 1 <= difficulty <= MAX_DIFFICULTY:
        raise ValueError(f"difficulty {difficulty} is not in 1 to {MAX_DIFFICULTY}")
    # Seeding by text goes through SHA-512: the same problems on every machine and Python version.
    rng = random.Random(f"arithmetic/{seed}/{split}/{index}/{difficulty}")
    while True:
        expression = _expression(rng, difficulty)
        steps = worked(expression)
        if steps and split_of(f"{expression}=") == split:
            return Problem(index, f"{expression}=", steps[-1], source=NAME)


def make(
    *, seed: int, difficulty: int, train_size: int, held_out_size: int, template: str, grader: str
) -> Made:
    """Draws both splits.

    Args:
      seed: chooses the whole data set.
      difficulty: as in `generate`.
      train_size: how many problems to train on; prompts may repeat.
      held_out_size: how many problems to hold out, all with different prompts.
      template: stands around every expression.
      grader: of every problem.

    Raises:
      InputError: if the difficulty does not exist, or has too few problems to hold out.
    """
    if not 1 <= difficulty <= MAX_DIFFICULTY:
        raise InputError(f"task.difficulty is 1 to {MAX_DIFFICULTY}, not {difficulty}")
    train = [generate(seed, "train", i, difficulty=difficulty) for i in range(train_size)]
    splits = {"train": train, "held_out": _distinct(seed, difficulty, held_out_size)}
    return Made(
        {
            name: [_asked(problem, template, grader) for problem in rows]
            for name, rows in splits.items()
        }
    )


def _asked(problem: Problem, template: str, grader: str) -> Problem:
    return problem._replace(prompt=templates.fill(template, problem.prompt), grader=grader)


def _distinct(seed: int, difficulty: int, size: int) -> list[Problem]:
    """The first `size` held-out problems with distinct prompts, numbered from 0."""
    found, index, last = {}, 0, 0
    while len(found) < size:
        problem = generate(seed, "held_out", index, difficulty=difficulty)
        if problem.prompt not in found:
            found[problem.prompt] = problem._replace(identifier=len(found))
            last = index
        elif index - last > _DISTINCT_DRAWS:
            raise InputError(
                f"arithmetic at difficulty {difficulty} has about {len(found)} distinct held-out problems, "
                f"not {size}; hold out fewer or raise task.difficulty"
            )
        index += 1
    return list(found.values())


def split_of(prompt: str) -> str:
    """Returns the one split that may hold this prompt text, whatever the seed."""
    return "held_out" if zlib.crc32(prompt.encode()) % _HELD_OUT_SHARE == 0 else "train"


def worked(expression: str) -> list[str]:
    """Reduces an expression one operation at a time: parentheses, then products, then sums from the
    left.

    Returns:
      The expression after each operation, the value last; empty if some step would be negative.
    """
    steps = []
    while not expression.isdigit():
        for pattern in (_PARENTHESES, _PRODUCT, _SUM):
            match = pattern.search(expression)
            if match:
                break
        value = _apply(int(match[1]), match[2], int(match[3]))
        if value < 0:
            return []
        expression = expression[: match.start()] + str(value) + expression[match.end() :]
        steps.append(expression)
    return steps


def _apply(left: int, operator: str, right: int) -> int:
    if operator == "*":
        return left * right
    return left + right if operator == "+" else left - right


def _expression(rng: random.Random, difficulty: int) -> str:
    """A chain of `difficulty` operations; some neighbors become a product or a factor in
    parentheses."""
    largest = 10 + 10 * difficulty
    terms, operations = [str(rng.randint(1, largest))], 0
    while operations < difficulty:
        kind = rng.choice(("sum", "product", "parentheses"))
        if kind == "parentheses" and difficulty - operations >= 3:
            left, right, factor = rng.randint(1, largest), rng.randint(1, 9), rng.randint(2, 9)
            terms += [rng.choice("+-"), f"({left}{rng.choice('+-')}{right})*{factor}"]
            operations += 3
        elif kind == "product" and difficulty - operations >= 2:
            terms += [rng.choice("+-"), f"{rng.randint(2, 9)}*{rng.randint(2, 12)}"]
            operations += 2
        else:
            terms += [rng.choice("+-"), str(rng.randint(1, largest))]
            operations += 1
    if rng.random() < 0.5:  # let the compound term come first half of the time
        terms = terms[2:] + ["+", terms[0]] if len(terms) > 2 else terms
    return "".join(terms)
