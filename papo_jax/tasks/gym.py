"""Families of the extra package reasoning-gym whose answers are integers.

Its scorers are never called: some of them evaluate the policy's text as code. Our own grader compares integers.
"""

import difflib
import hashlib
import importlib
import importlib.metadata
import types
from collections.abc import Iterator, Sequence

from papo_jax.errors import InputError
from papo_jax.grading.graders import canonical_integer
from papo_jax.tasks.arithmetic import split_of
from papo_jax.tasks.problem import Problem

PREFIX = "reasoning_gym/"
_DRAWS = 20  # draws for each problem asked for, before a family counts as too small


def package() -> tuple[types.ModuleType, str]:
    """Imports the extra package.

    Returns:
      The module and its version.

    Raises:
      InputError: if it is not installed.
    """
    try:
        return importlib.import_module("reasoning_gym"), importlib.metadata.version("reasoning-gym")
    except ImportError as error:
        raise InputError(
            f"tasks under {PREFIX} need an extra package ({error}): pip install -r requirements-tasks.txt"
        ) from error


def problems(family: str, *, seed: int, train_size: int, held_out_size: int) -> dict[str, Sequence[Problem]]:
    """Draws both splits of a family; the text of a prompt decides its split.

    Args:
      family: a data set's name in reasoning-gym, such as "gcd".
      seed: chooses the whole data set.
      train_size: how many problems to train on; they may repeat where the family is small.
      held_out_size: how many distinct problems to hold out.

    Returns:
      {"train": problems, "held_out": problems}, identifiers from 0.

    Raises:
      InputError: if the family is unknown, has answers that are not integers, or is too small.
    """
    splits = {"train": [], "held_out": []}
    wanted = {"train": train_size, "held_out": held_out_size}
    seen = set()
    for prompt, answer in _entries(family, seed, _DRAWS * (train_size + held_out_size)):
        name = split_of(prompt)
        rows = splits[name]
        if len(rows) < wanted[name] and prompt not in seen:
            rows.append(Problem(len(rows), prompt, answer))
            if name == "held_out":
                seen.add(prompt)
        if all(len(splits[name]) == wanted[name] for name in splits):
            return splits
    raise InputError(
        f"{PREFIX}{family} gave {len(splits['train'])} problems to train on and {len(splits['held_out'])} distinct "
        f"ones to hold out, not {train_size} and {held_out_size}; ask for fewer"
    )


def _entries(family: str, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """(prompt, gold) pairs; refuses the family at the first gold that is no integer."""
    gym, _ = package()
    known = sorted(importlib.import_module("reasoning_gym.factory").DATASETS)
    if family not in known:
        near = difflib.get_close_matches(family, known, n=3, cutoff=0)
        raise InputError(f"reasoning-gym has no family {family!r}; the nearest are {', '.join(near)}")
    # reasoning-gym seeds entry i with seed + i, so neighbouring seeds would share almost all of their problems.
    mixed = int.from_bytes(hashlib.sha256(f"{family}/{seed}".encode()).digest()[:4])
    try:
        source = gym.create_dataset(family, seed=mixed, size=count)
    except Exception as error:  # whatever a family's own checks raise
        raise InputError(f"{PREFIX}{family} cannot be made ({error}); choose a family without settings") from error
    for index in range(count):
        entry = source[index]
        answer = entry["answer"]
        if not isinstance(answer, str) or canonical_integer(answer) != answer:
            raise InputError(
                f"{PREFIX}{family} has answers that are not integers ({str(answer)[:40]!r}); "
                "choose a family such as gcd, lcm, chain_sum or leg_counting"
            )
        yield entry["question"], answer
