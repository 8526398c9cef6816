"""Families that are read from files: where the files are, what a row means, and which rows become
which split."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.tasks import files, overlap, templates
from papo_jax.tasks.problem import Made, Problem
from papo_jax.tasks.sources.arithmetic import split_of


class Example(NamedTuple):
    """What a row says: a question without instructions, its gold answer, and the grader for that
    answer."""

    question: str
    answer: str
    grader: str


class LeftOut(NamedTuple):
    """A row that is no problem for us, and why, as in "rows left out, for they need their image:
    3"."""

    reason: str


def as_read(examples: list[Example]) -> list[Example]:
    """Leaves examples as they were read."""
    return examples


@dataclasses.dataclass(frozen=True)
class Family:
    """A data set that its authors publish as files.

    Attributes:
      name: of the task.
      template: what stands around a question, with "{question}" in its place.
      parse: reads one row's fields; its ValueError says what is wrong with them.
      evaluation_only: every row is held out.
      published: a question that has two answers is left out, with a note, for nobody is to edit a
        published file; in a file of the user's own it is an error.
      settle: looks at all examples of a split together.
    """

    name: str
    template: str
    parse: Callable[[Mapping], Example | LeftOut]
    evaluation_only: bool = False
    published: bool = True
    settle: Callable[[list[Example]], list[Example]] = as_read


def locate(family: Family, path: str | None) -> dict[str, list[Path]]:
    """Finds the files of a family.

    Args:
      family: whose files they are.
      path: a file, or a directory with the files of the splits: train.jsonl and test.jsonl, or
        parquet files such as data/train-00000-of-00001.parquet, or train/algebra/1.json and more.

    Returns:
      {"train": ..., "held_out": ...}, {"held_out": ...} of a family that is only evaluated on, or
      {"both": ...} where the same files have to serve for both splits.

    Raises:
      InputError: if there are no such files.
    """
    if not path:
        raise InputError(
            f"task {family.name!r} needs its files: set task.path to a file ({', '.join(files.SUFFIXES)}), "
            "or to a directory with train.jsonl and test.jsonl"
        )
    place = Path(path)
    alone = "held_out" if family.evaluation_only else "both"
    if place.is_file():
        return {alone: [place]}
    if not place.is_dir():
        raise InputError(
            f"task.path {path} does not exist; it should be a file or a directory with train.jsonl"
        )
    test, train = _of_split(place, "test"), _of_split(place, "train")
    if family.evaluation_only:  # some are published as a split "train", others as files of any name
        found = (
            test
            or train
            or sorted(file for file in place.iterdir() if file.suffix in files.SUFFIXES)
        )
        if not found:
            raise InputError(
                f"task.path {path} is a directory without test.jsonl; put it there or name a file"
            )
        return {"held_out": found}
    if not train:
        raise InputError(
            f"task.path {path} is a directory without train.jsonl; put it there or name a file"
        )
    return {"train": train, "held_out": test} if test else {"both": train}


def _of_split(place: Path, split: str) -> list[Path]:
    """A split's files: SPLIT.jsonl or SPLIT-00000-of-00001.parquet, here or a folder down, or
    whatever SPLIT/ holds."""
    for folder in ("", "*/"):
        names = [
            folder + name + suffix for suffix in files.SUFFIXES for name in (split, f"{split}-*")
        ]
        if found := sorted(file for name in names for file in place.glob(name)):
            return found
    return sorted(file for file in (place / split).rglob("[!.]*") if file.suffix in files.SUFFIXES)


def make(family: Family, found: dict[str, list[Path]], template: str, grader: str | None) -> Made:
    """Reads both splits, which never share a question.

    Where the same files serve for both, the text of a question decides its split, so that added or
    moved rows change no other's.

    Args:
      family: what the rows mean.
      found: what `locate` found.
      template: stands around every question.
      grader: of every problem; None for the family's own.

    Returns:
      The problems, in the order of the files.

    Raises:
      InputError: if a file cannot be used, with the row that is to blame, if a split would be
        empty, or if both splits hold the same question.
    """
    notes: list[str] = []
    splits = {name: _examples(family, paths, notes) for name, paths in found.items()}
    if "both" in splits:
        question_of = overlap.comparer()
        sides = {name: [] for name in ("train", "held_out")}
        for example in splits["both"]:
            sides[split_of(question_of(example.question))].append(example)
        splits = sides
    for name, examples in splits.items():
        if not examples:
            raise InputError(
                f"task.path leaves no problem for the split {name!r} of {family.name}; "
                "give more problems, or a directory with train.jsonl and test.jsonl that do not overlap"
            )
    made = {
        name: _numbered(family.name, examples, template, grader)
        for name, examples in splits.items()
    }
    overlap.check(made.get("train", ()), made["held_out"], used=(template,))
    return Made(made, tuple(notes))


def _examples(family: Family, paths: Sequence[Path], notes: list[str]) -> list[Example]:
    """The problems in some files, each question once."""
    left_out: Counter[str] = Counter()

    def kept() -> Iterable[tuple[str, Example]]:
        for place, found in files.read(paths, family.parse):
            if isinstance(found, LeftOut):
                left_out[found.reason] += 1
            else:
                yield place, found

    examples = _once(family, kept(), notes)
    notes.extend(
        f"{family.name}: rows left out, for {reason}: {count}" for reason, count in left_out.items()
    )
    return family.settle(examples)


def _once(family: Family, placed: Iterable[tuple[str, Example]], notes: list[str]) -> list[Example]:
    """Drops repetitions, so that no panel counts a problem twice, and questions with two
    answers."""
    first: dict[str, tuple[str, Example]] = {}
    repeated, contradictory = 0, set()
    for place, example in placed:
        before, known = first.setdefault(example.question, (place, example))
        if before == place:
            continue
        repeated += 1
        if known.answer == example.answer:
            continue
        if not family.published:
            raise InputError(
                f"{place}: the question of {before} again, with the answer {example.answer[:40]!r} "
                f"instead of {known.answer[:40]!r}; keep one of the two"
            )
        contradictory.add(example.question)
    if repeated:
        notes.append(f"{family.name}: rows left out, for they repeat a question: {repeated}")
    if contradictory:
        notes.append(
            f"{family.name}: questions left out, for they have more than one answer: {len(contradictory)}"
        )
    return [example for question, (_, example) in first.items() if question not in contradictory]


def _numbered(
    name: str, examples: list[Example], template: str, grader: str | None
) -> list[Problem]:
    return [
        Problem(i, templates.fill(template, question), answer, grader or own, name)
        for i, (question, answer, own) in enumerate(examples)
    ]
