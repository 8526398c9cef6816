"""A task by name: the problems to train on, the problems held out, and the grader for both."""

import difflib
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from papo_jax.cache import cache_directory
from papo_jax.errors import InputError
from papo_jax.grading import graders
from papo_jax.tasks import arithmetic, gsm8k, gym
from papo_jax.tasks.problem import Problem

NAMES = ("arithmetic", "gsm8k", f"{gym.PREFIX}<family>")
_DISTINCT_DRAWS = 1000  # repeats in a row after which no new held-out prompt is expected

Maker = Callable[[], Mapping[str, Sequence[Problem]]]


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
      name: what it was loaded by.
      train: the problems to train on; `train[i].identifier == i`.
      held_out: problems that share no prompt with `train` or with each other; `held_out[i].identifier == i`.
      grader: the name of the grader that compares an answer with `Problem.answer`.
      fingerprint: SHA-256 over every problem of both splits.
    """

    name: str
    train: Sequence[Problem]
    held_out: Sequence[Problem]
    grader: str
    fingerprint: str


def load(
    name: str,
    *,
    path: str | None = None,
    seed: int = 0,
    difficulty: int = 3,
    train_size: int = 20000,
    held_out_size: int = 1024,
    cache: str | Path | None = None,
) -> Task:
    """Loads a task, preparing its problems on the first use.

    Args:
      name: "arithmetic", "gsm8k" or "reasoning_gym/<family>".
      path: for gsm8k, a JSONL file or a directory with train.jsonl and test.jsonl, which are used whole.
      seed: chooses the problems of a generated task.
      difficulty: of arithmetic, the number of operations, 1 to 8.
      train_size: how many problems a generated task trains on.
      held_out_size: how many problems a generated task holds out.
      cache: where prepared problems are kept; None for the user's cache directory.

    Returns:
      The `Task`.

    Raises:
      InputError: if the name, the path, a number or a file is wrong.
    """
    if train_size < 1 or held_out_size < 1:
        raise InputError(f"task sizes are at least 1, not {train_size} to train on and {held_out_size} held out")
    sizes = {"train_size": train_size, "held_out_size": held_out_size}
    if name == "gsm8k":
        key, make = _gsm8k(path)
    elif path:
        raise InputError(f"task {name!r} reads no file; leave task.path empty, or set task.name=gsm8k")
    elif name == "arithmetic":
        key, make = _arithmetic(seed=seed, difficulty=difficulty, **sizes)
    elif name.startswith(gym.PREFIX):
        key, make = _gym(name, seed=seed, **sizes)
    else:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0)[0]
        raise InputError(f"task {name!r} is none of {', '.join(NAMES)}; the nearest is {near!r}")
    from papo_jax.tasks import builder  # here, for tensorflow_datasets takes half a second to import

    served = builder.serve({"task": name, **key}, make, Path(cache or cache_directory() / "tasks"))
    return Task(name, served.splits["train"], served.splits["held_out"], "integer", served.fingerprint)


def _arithmetic(*, seed: int, difficulty: int, train_size: int, held_out_size: int) -> tuple[dict, Maker]:
    if not 1 <= difficulty <= arithmetic.MAX_DIFFICULTY:
        raise InputError(f"task.difficulty is 1 to {arithmetic.MAX_DIFFICULTY}, not {difficulty}")

    def make():
        train = [arithmetic.generate(seed, "train", i, difficulty=difficulty) for i in range(train_size)]
        return {"train": train, "held_out": _distinct(seed, difficulty, held_out_size)}

    key = {"seed": seed, "difficulty": difficulty, "train_size": train_size, "held_out_size": held_out_size}
    return {**key, "source": _source(arithmetic)}, make


def _distinct(seed: int, difficulty: int, size: int) -> list[Problem]:
    """The first `size` held-out arithmetic problems with distinct prompts, numbered from 0."""
    found, index, last = {}, 0, 0
    while len(found) < size:
        problem = arithmetic.generate(seed, "held_out", index, difficulty=difficulty)
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


def _gsm8k(path: str | None) -> tuple[dict, Maker]:
    files = gsm8k.source_files(path)
    try:
        digests = {split: hashlib.sha256(file.read_bytes()).hexdigest() for split, file in files.items()}
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}); check task.path") from error
    return {"files": digests, "source": _source(gsm8k, arithmetic, graders)}, lambda: gsm8k.problems(files)


def _gym(name: str, *, seed: int, train_size: int, held_out_size: int) -> tuple[dict, Maker]:
    _, version = gym.package()
    sizes = {"train_size": train_size, "held_out_size": held_out_size}
    family = name.removeprefix(gym.PREFIX)
    key = {"seed": seed, **sizes, "reasoning_gym": version, "source": _source(gym, arithmetic, graders)}
    return key, lambda: gym.problems(family, seed=seed, **sizes)


def _source(*modules: ModuleType) -> str:
    """The digest of the code that makes the problems: other code must not be served rows that it did not make."""
    return hashlib.sha256("".join(map(inspect.getsource, modules)).encode()).hexdigest()
