"""Generated arithmetic: sums, products and parentheses over small integers, at a chosen difficulty.

A problem is a pure function of (seed, split, index, difficulty), so nothing is shipped or
downloaded. The two splits cannot overlap: the text of a prompt decides its split.

>>> problem = generate_problem(0, "train", 0, difficulty=2)
>>> problem == generate_problem(0, "train", 0, difficulty=2)
True
>>> solution_steps("(3+4)*12-5")
['7*12-5', '84-5', '79']
"""

import random
import re

from papo_jax.errors import InputError
from papo_jax.tasks import templates
from papo_jax.tasks.problem import Problem, ProblemSplits
from papo_jax.tasks.splits import SPLITS, assign_split

NAME = "arithmetic"
MAX_DIFFICULTY = 8
_MOST_REPEATS = 1000  # in a row, after which no new held-out prompt is expected
_PARENTHESES = re.compile(r"\((\d+)([-+*])(\d+)\)")
_PRODUCT = re.compile(r"(\d+)(\*)(\d+)")
_SUM = re.compile(r"^(\d+)([-+])(\d+)")


def generate_problem(seed: int, split: str, index: int, *, difficulty: int) -> Problem:
    """Generates problem number `index` of a split.

    Args:
      seed: chooses the whole set of problems.
      split: "train" or "held_out".
      index: the problem's number and identifier.
      difficulty: the number of operations, 1 to 8; operands grow with it.

    Returns:
      A `Problem` whose prompt is an expression and "=", and whose reference answer is a
      non-negative integer.

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
        expression = _random_expression(rng, difficulty)
        steps = solution_steps(expression)
        if steps and assign_split(f"{expression}=") == split:
            return Problem(index, f"{expression}=", steps[-1], source=NAME)


def make_problems(
    *, seed: int, difficulty: int, train_size: int, held_out_size: int, template: str, grader: str
) -> ProblemSplits:
    """Generates both splits.

    Args:
      seed: chooses the whole set of problems.
      difficulty: as in `generate_problem`.
      train_size: the number of problems to train on; prompts may repeat.
      held_out_size: the number of problems to hold out, all with different prompts.
      template: the text around every expression.
      grader: of every problem.

    Raises:
      InputError: if the difficulty does not exist, or has too few problems to hold out.
    """
    if not 1 <= difficulty <= MAX_DIFFICULTY:
        raise InputError(f"task.difficulty is 1 to {MAX_DIFFICULTY}, not {difficulty}")
    splits = {
        "train": [
            generate_problem(seed, "train", index, difficulty=difficulty)
            for index in range(train_size)
        ],
        "held_out": _generate_distinct(seed, difficulty, held_out_size),
    }
    return ProblemSplits(
        {
            split: [_put_into_template(problem, template, grader) for problem in problems]
            for split, problems in splits.items()
        }
    )


def _put_into_template(problem: Problem, template: str, grader: str) -> Problem:
    return problem._replace(prompt=templates.fill_template(template, problem.prompt), grader=grader)


def _generate_distinct(seed: int, difficulty: int, size: int) -> list[Problem]:
    """Generates the first `size` held-out problems with distinct prompts, numbered from 0."""
    found: dict[str, Problem] = {}
    index, last_new = 0, 0
    while len(found) < size:
        problem = generate_problem(seed, "held_out", index, difficulty=difficulty)
        if problem.prompt not in found:
            found[problem.prompt] = problem._replace(identifier=len(found))
            last_new = index
        elif index - last_new > _MOST_REPEATS:
            raise InputError(
                f"arithmetic at difficulty {difficulty} has about {len(found)} distinct held-out "
                f"problems, not {size}; hold out fewer or raise task.difficulty"
            )
        index += 1
    return list(found.values())


def solution_steps(expression: str) -> list[str]:
    """Reduces an expression by one operation at a time.

    Parentheses go first, then products, then sums from the left.

    Returns:
      The expression after each operation, the value last; empty if some step would be negative.
    """
    steps = []
    while not expression.isdigit():
        searches = (pattern.search(expression) for pattern in (_PARENTHESES, _PRODUCT, _SUM))
        match = next(match for match in searches if match)
        value = _apply_operator(int(match[1]), match[2], int(match[3]))
        if value < 0:
            return []
        expression = expression[: match.start()] + str(value) + expression[match.end() :]
        steps.append(expression)
    return steps


def _apply_operator(left: int, operator: str, right: int) -> int:
    if operator == "*":
        return left * right
    return left + right if operator == "+" else left - right


def _random_expression(rng: random.Random, difficulty: int) -> str:
    """Draws a chain of `difficulty` operations, some within products or parentheses."""
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

    # Let the compound term come first half of the time.
    if rng.random() < 0.5 and len(terms) > 2:
        terms = [*terms[2:], "+", terms[0]]
    return "".join(terms)
