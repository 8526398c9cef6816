"""Families of problems that are read from files: their files, rows and splits."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from papo_jax.errors import InputError
from papo_jax.tasks import files, overlap, templates
from papo_jax.tasks.problem import Problem, ProblemSplits
from papo_jax.tasks.splits import SPLITS, assign_split


class Example(NamedTuple):
    """The content of a row.

    Attributes:
      question: without instructions.
      answer: the reference answer.
      grader: the name of the grader for that answer.
    """

    question: str
    answer: str
    grader: str


class SkippedRow(NamedTuple):
    """A row that cannot serve as a problem, and the reason, such as "they need their image"."""

    reason: str


def keep_examples(examples: list[Example]) -> list[Example]:
    """Returns the examples unchanged; the default of `Family.postprocess`."""
    return examples


@dataclasses.dataclass(frozen=True)
class Family:
    """A data set that its authors publish as files.

    Attributes:
      name: of the task.
      template: the text around a question, with "{question}" in its place.
      parse_row: parses one row's fields; its ValueError says what is wrong with them.
      evaluation_only: every row is held out.
      published: a question with two answers is left out, with a note, since nobody is to edit a
        published file; in a file of the user's own it is an error.
      postprocess: changes all examples of a split together.
    """

    name: str
    template: str
    parse_row: Callable[[Mapping], Example | SkippedRow]
    evaluation_only: bool = False
    published: bool = True
    postprocess: Callable[[list[Example]], list[Example]] = keep_examples


def locate_files(family: Family, path: str | None) -> dict[str, list[Path]]:
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
            f"task {family.name!r} needs its files: set task.path to a file "
            f"({', '.join(files.SUFFIXES)}), or to a directory with train.jsonl and test.jsonl"
        )
    location = Path(path)
    if location.is_file():
        return {"held_out" if family.evaluation_only else "both": [location]}
    if not location.is_dir():
        raise InputError(
            f"task.path {path} does not exist; it should be a file or a directory with train.jsonl"
        )
    test, train = (_find_split_files(location, split) for split in ("test", "train"))

    # Families for evaluation: some are published as a split "train", others as files of any name.
    if family.evaluation_only:
        found = test or train or _select_readable(location.iterdir())
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


def _find_split_files(directory: Path, split: str) -> list[Path]:
    """Finds the files of one split.

    They are SPLIT.jsonl or SPLIT-00000-of-00001.parquet, in the directory or one folder down, or
    else all files in SPLIT/ at any depth.
    """
    for folder in ("", "*/"):
        patterns = [
            folder + name + suffix for suffix in files.SUFFIXES for name in (split, f"{split}-*")
        ]
        if found := sorted(file for pattern in patterns for file in directory.glob(pattern)):
            return found
    return _select_readable((directory / split).rglob("[!.]*"))


def _select_readable(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix in files.SUFFIXES)


def read_problems(
    family: Family, located: dict[str, list[Path]], template: str, grader: str | None
) -> ProblemSplits:
    """Reads both splits, which never share a question.

    Where the same files serve for both, the text of a question decides its split, so that added or
    moved rows change no other's.

    Args:
      family: what the rows mean.
      located: the files, as `locate_files` returns them.
      template: the text around every question.
      grader: of every problem; None for the family's own.

    Returns:
      The problems, in the order of the files.

    Raises:
      InputError: if a file cannot be used, with the row that is to blame, if a split would be
        empty, or if both splits hold the same question.
    """
    notes: list[str] = []
    examples = {split: _read_examples(family, paths, notes) for split, paths in located.items()}

    # Divide rows that serve for both splits.
    if "both" in examples:
        normalize_question = overlap.make_question_normalizer()
        divided: dict[str, list[Example]] = {split: [] for split in SPLITS}
        for example in examples["both"]:
            divided[assign_split(normalize_question(example.question))].append(example)
        examples = divided

    for split, found in examples.items():
        if not found:
            raise InputError(
                f"task.path leaves no problem for the split {split!r} of {family.name}; give more "
                "problems, or a directory with train.jsonl and test.jsonl that do not overlap"
            )
    splits = {
        split: _number_problems(family.name, found, template, grader)
        for split, found in examples.items()
    }
    overlap.check_overlap(splits.get("train", ()), splits["held_out"], used=(template,))
    return ProblemSplits(splits, tuple(notes))


def _read_examples(family: Family, paths: Sequence[Path], notes: list[str]) -> list[Example]:
    """Reads the problems in some files, each question once; adds to the notes."""
    skipped: Counter[str] = Counter()

    def read_located_examples() -> Iterator[tuple[str, Example]]:
        for location, parsed in files.parse_rows(paths, family.parse_row):
            if isinstance(parsed, SkippedRow):
                skipped[parsed.reason] += 1
            else:
                yield location, parsed

    examples = _drop_repetitions(family, read_located_examples(), notes)
    notes.extend(
        f"{family.name}: rows left out because {reason}: {count}"
        for reason, count in skipped.items()
    )
    return family.postprocess(examples)


def _drop_repetitions(
    family: Family, located_examples: Iterable[tuple[str, Example]], notes: list[str]
) -> list[Example]:
    """Drops repeated questions, and all questions that have two answers; adds to the notes."""
    first: dict[str, tuple[str, Example]] = {}
    repeated, contradictory = 0, set()
    for location, example in located_examples:
        first_location, known = first.setdefault(example.question, (location, example))
        if first_location == location:
            continue
        repeated += 1
        if known.answer == example.answer:
            continue
        if not family.published:
            raise InputError(
                f"{location}: the question of {first_location} again, "
                f"with the answer {example.answer[:40]!r} instead of {known.answer[:40]!r}; "
                "keep one of the two"
            )
        contradictory.add(example.question)

    if repeated:
        notes.append(f"{family.name}: rows left out because they repeat a question: {repeated}")
    if contradictory:
        notes.append(
            f"{family.name}: questions left out because they have more than one answer: "
            f"{len(contradictory)}"
        )
    return [example for question, (_, example) in first.items() if question not in contradictory]


def _number_problems(
    source: str, examples: list[Example], template: str, grader: str | None
) -> list[Problem]:
    return [
        Problem(
            identifier=identifier,
            prompt=templates.fill_template(template, example.question),
            answer=example.answer,
            grader=grader or example.grader,
            source=source,
        )
        for identifier, example in enumerate(examples)
    ]
