"""Families of the extra package reasoning-gym (Stojanovski et al. 2025, arXiv 2505.24760; Apache
2.0).

It generates problems; it never scores an answer, for some of its scorers evaluate the policy's text
as code. Which of our graders judges a family says `gym_table`.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from papo_jax.errors import InputError
from papo_jax.grading.final_answer import TAIL_CHARACTERS
from papo_jax.grading.integer_grader import canonical_integer
from papo_jax.tasks import overlap, templates
from papo_jax.tasks.problem import Made, Problem
from papo_jax.tasks.sources import gym_table
from papo_jax.tasks.sources.arithmetic import split_of

PREFIX = "reasoning_gym/"
_DRAWS = 20  # draws for each problem asked for, before a family counts as too small
_TEMPLATES = {
    "exact": templates.TAGGED,
    "expression": templates.BOXED,
    "math": templates.BOXED,
    "approximate": templates.BOXED,
}


def version() -> str:
    """Returns the version of the extra package, which is not imported here.

    Raises:
      InputError: if it is not installed.
    """
    if importlib.util.find_spec("reasoning_gym") is None:
        raise InputError(
            f"tasks under {PREFIX} need an extra package: pip install -r requirements-tasks.txt"
        )
    return importlib.metadata.version("reasoning-gym")


def template_of(grader: str) -> str:
    """Returns the template for a grader: where it looks for the answer, the policy is told to put
    it.

    >>> template_of("integer")
    '{question}'
    """
    return _TEMPLATES.get(grader, templates.PLACE)


def make(
    name: str, *, seed: int, train_size: int, held_out_size: int, template: str, grader: str
) -> Made:
    """Draws both splits of a family; the text of a question decides its split.

    Args:
      name: "reasoning_gym/" and a data set's name in reasoning-gym, such as "gcd".
      seed: chooses the whole data set.
      train_size: how many problems to train on; they may repeat where the family is small.
      held_out_size: how many distinct problems to hold out.
      template: stands around every question.
      grader: of every problem.

    Returns:
      The problems, the same in every process.

    Raises:
      InputError: if the family is unknown, has golds that the grader cannot use, or is too small.
    """
    family = name.removeprefix(PREFIX)
    splits: dict[str, list[Problem]] = {"train": [], "held_out": []}
    wanted = {"train": train_size, "held_out": held_out_size}
    seen = set()
    with contextlib.closing(
        _entries(family, seed, _DRAWS * (train_size + held_out_size))
    ) as entries:
        for entry in entries:
            question = overlap.normal(entry["question"])
            split = split_of(question)
            gold = _gold(name, entry, grader)
            rows = splits[split]
            if gold and len(rows) < wanted[split] and question not in seen:
                rows.append(
                    Problem(
                        len(rows), templates.fill(template, entry["question"]), gold, grader, name
                    )
                )
                if split == "held_out":
                    seen.add(question)
            if all(len(splits[split]) == wanted[split] for split in splits):
                return Made(splits, gym_table.notes_of(family))
    raise InputError(
        f"{name} gave {len(splits['train'])} problems to train on and {len(splits['held_out'])} distinct "
        f"ones to hold out, not {train_size} and {held_out_size}; ask for fewer"
    )


def _gold(name: str, entry: dict, grader: str) -> str:
    """The gold for a grader; empty where the entry's is empty or too long, so that no grader could
    use it."""
    answer = entry["answer"]
    if not isinstance(answer, str):
        raise InputError(
            f"{name} has answers that are no text ({str(answer)[:40]!r}); choose another family"
        )
    if grader == "integer" and canonical_integer(answer) != answer:
        raise InputError(
            f"{name} has answers that are not integers ({answer[:40]!r}); choose another family or task.grader"
        )
    if grader == "expression" and entry["numbers"]:
        target = (
            24 if entry["target"] is None else entry["target"]
        )  # puzzle24 says its target by its name alone
        return f"{target} using {', '.join(map(str, entry['numbers']))}"
    return answer if answer.strip() and len(answer) <= TAIL_CHARACTERS else ""


def _entries(family: str, seed: int, count: int) -> Iterator[dict]:
    """Entries out of a process whose sets are ordered the same way each time (`gym_entries`)."""
    # reasoning-gym seeds entry i with seed + i, so neighboring seeds would share almost all of
    # their problems.
    mixed = int.from_bytes(hashlib.sha256(f"{family}/{seed}".encode()).digest()[:4])
    command = [
        sys.executable,
        "-m",
        "papo_jax.tasks.sources.gym_entries",
        family,
        str(mixed),
        str(count),
    ]
    path = os.pathsep.join(
        filter(None, (str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")))
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "utf-8",
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            for line in process.stdout:
                entry = json.loads(line)
                if "error" in entry:
                    raise InputError(f"{entry['error']}; choose another family")
                yield entry
            if process.wait():
                raise InputError(
                    f"reasoning-gym's process for {family} ended with code {process.returncode}; choose another family"
                )
        finally:
            process.kill()
