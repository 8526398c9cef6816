"""Families of the extra package reasoning-gym, as tasks named reasoning_gym/FAMILY.

The package (Stojanovski et al. 2025, arXiv 2505.24760; Apache 2.0) generates problems; it never
scores an answer, since some of its scorers evaluate the policy's text as code. `gym_table` says
which of our graders judges a family.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from papo_jax.errors import InputError
from papo_jax.grading.final_answer import TAIL_CHARACTERS
from papo_jax.grading.wording.numerals import canonical_integer
from papo_jax.tasks import overlap, templates
from papo_jax.tasks.problem import Problem, ProblemSplits
from papo_jax.tasks.sources import gym_table
from papo_jax.tasks.splits import SPLITS, assign_split

PREFIX = "reasoning_gym/"
_DRAWS_PER_PROBLEM = 20  # after which a family counts as too small
_ENTRIES_SCRIPT = Path(__file__).with_name("gym_entries.py")
_TEMPLATES = {
    "exact": templates.TAGGED,
    "expression": templates.BOXED,
    "math": templates.BOXED,
    "approximate": templates.BOXED,
}


def installed_version() -> str:
    """Returns the version of the extra package, which is not imported here.

    Raises:
      InputError: if it is not installed.
    """
    if importlib.util.find_spec("reasoning_gym") is None:
        raise InputError(
            f"tasks under {PREFIX} need an extra package: pip install -r requirements-tasks.txt"
        )
    return importlib.metadata.version("reasoning-gym")


def choose_template(grader: str) -> str:
    """Chooses the template that tells the policy to put its answer where the grader looks for it.

    >>> choose_template("integer")
    '{question}'
    """
    return _TEMPLATES.get(grader, templates.PLACEHOLDER)


def make_problems(
    name: str, *, seed: int, train_size: int, held_out_size: int, template: str, grader: str
) -> ProblemSplits:
    """Draws both splits of a family; the text of a question decides its split.

    Args:
      name: "reasoning_gym/" and a dataset's name in reasoning-gym, such as "gcd".
      seed: chooses the whole set of problems.
      train_size: the number of problems to train on; they may repeat where the family is small.
      held_out_size: the number of distinct problems to hold out.
      template: the text around every question.
      grader: of every problem.

    Returns:
      The problems, the same in every process.

    Raises:
      InputError: if the family is unknown, has reference answers that the grader cannot use, or is
        too small.
    """
    family = name.removeprefix(PREFIX)
    splits: dict[str, list[Problem]] = {split: [] for split in SPLITS}
    sizes = {"train": train_size, "held_out": held_out_size}
    held_out_questions = set()
    entries = _generate_entries(family, seed, _DRAWS_PER_PROBLEM * (train_size + held_out_size))
    with contextlib.closing(entries):
        for entry in entries:
            # Keep an entry if its split has room for it and it repeats no held-out question.
            question = overlap.normalize_text(entry["question"])
            reference = _reference_answer(name, entry, grader)
            split = assign_split(question)
            problems = splits[split]
            has_room = len(problems) < sizes[split]
            if reference and has_room and question not in held_out_questions:
                prompt = templates.fill_template(template, entry["question"])
                problems.append(
                    Problem(
                        identifier=len(problems),
                        prompt=prompt,
                        answer=reference,
                        grader=grader,
                        source=name,
                    )
                )
                if split == "held_out":
                    held_out_questions.add(question)
            if all(len(splits[split]) == sizes[split] for split in SPLITS):
                return ProblemSplits(splits, gym_table.family_notes(family))
    raise InputError(
        f"{name} gave {len(splits['train'])} problems to train on and {len(splits['held_out'])} "
        f"distinct ones to hold out, not {train_size} and {held_out_size}; ask for fewer"
    )


def _reference_answer(name: str, entry: dict, grader: str) -> str:
    """Returns the reference answer in the grader's form.

    It is empty where the entry's is empty or too long, so that no grader could use it.
    """
    answer = entry["answer"]
    if not isinstance(answer, str):
        raise InputError(
            f"{name} has answers that are no text ({str(answer)[:40]!r}); choose another family"
        )
    if grader == "integer" and canonical_integer(answer) != answer:
        raise InputError(
            f"{name} has answers that are not integers ({answer[:40]!r}); "
            "choose another family or task.grader"
        )
    if grader == "expression" and entry["numbers"]:
        # Of puzzle24 the name alone says the target.
        target = 24 if entry["target"] is None else entry["target"]
        return f"{target} using {', '.join(map(str, entry['numbers']))}"
    return answer if answer.strip() and len(answer) <= TAIL_CHARACTERS else ""


def _generate_entries(family: str, seed: int, count: int) -> Generator[dict, None, None]:
    """Reads entries out of a process of their own, whose sets always have the same order."""
    # reasoning-gym seeds entry i with seed + i, so neighboring seeds would share almost all of
    # their problems.
    mixed_seed = int.from_bytes(hashlib.sha256(f"{family}/{seed}".encode()).digest()[:4])
    # The script imports nothing of this package, and with -P neither what lies beside it, so that
    # it runs alike from a checkout and from an installed package.
    arguments = (str(_ENTRIES_SCRIPT), family, str(mixed_seed), str(count))
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, "-P", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        try:
            for line in process.stdout or ():
                entry = json.loads(line)
                if "error" in entry:
                    raise InputError(f"{entry['error']}; choose another family")
                yield entry
            if process.wait():
                raise InputError(
                    f"reasoning-gym's process for {family} ended with code {process.returncode}; "
                    "choose another family"
                )
        finally:
            process.kill()
