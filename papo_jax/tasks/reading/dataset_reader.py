"""Reader of datasets: finds their files, parses the rows, and divides them into splits."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from papo_jax.errors import InputError
from papo_jax.tasks import overlap, templates
from papo_jax.tasks.dataset import Dataset, Example, SkippedRow
from papo_jax.tasks.problem import Problem, ProblemSplits
from papo_jax.tasks.reading import files
from papo_jax.tasks.splits import SPLITS, assign_split


def locate_files(dataset: Dataset, path: str | None) -> dict[str, list[Path]]:
    """Finds the files of a dataset.

    Args:
      dataset: whose files they are.
      path: a file, or a directory with the files of the splits: train.jsonl and test.jsonl, or
        parquet files such as data/train-00000-of-00001.parquet, or train/algebra/1.json and more.

    Returns:
      {"train": ..., "held_out": ...}, {"held_out": ...} of a dataset that is only evaluated on, or
      {"both": ...} where the same files have to serve for both splits.

    Raises:
      InputError: if there are no such files.
    """
    if not path:
        raise InputError(
            f"task {dataset.name!r} needs its files: set task.path to a file "
            f"({', '.join(files.SUFFIXES)}), or to a directory with train.jsonl and test.jsonl"
        )
    location = Path(os.path.expanduser(path))
    if location.is_file():
        return {"held_out" if dataset.evaluation_only else "both": [location]}
    if not location.is_dir():
        raise InputError(
            f"task.path {path} does not exist; it should be a file or a directory with train.jsonl"
        )
    test, train = (_find_split_files(location, split) for split in ("test", "train"))

    # For evaluation only: some are published as a split "train", others as files of any name.
    if dataset.evaluation_only:
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
    dataset: Dataset, located: dict[str, list[Path]], template: str, grader: str | None
) -> ProblemSplits:
    """Reads both splits, which never share a question.

    Where the same files serve for both, the text of a question decides its split, so that added or
    moved rows change no other's.

    Args:
      dataset: what the rows mean.
      located: the files, as `locate_files` returns them.
      template: the text around every question.
      grader: of every problem; None for the dataset's own.

    Returns:
      The problems, in the order of the files.

    Raises:
      InputError: if a file cannot be used, with the row that is to blame, if a split would be
        empty, or if both splits hold the same question.
    """
    notes: list[str] = []
    examples = {split: _read_examples(dataset, paths, notes) for split, paths in located.items()}

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
                f"task.path leaves no problem for the split {split!r} of {dataset.name}; give more "
                "problems, or a directory with train.jsonl and test.jsonl that do not overlap"
            )
    splits = {
        split: _number_problems(dataset.name, found, template, grader)
        for split, found in examples.items()
    }
    overlap.check_overlap(splits.get("train", ()), splits["held_out"], used=(template,))
    return ProblemSplits(splits, tuple(notes))


def _read_examples(dataset: Dataset, paths: Sequence[Path], notes: list[str]) -> list[Example]:
    """Reads the problems in some files, each question once; adds to the notes."""
    skipped: Counter[str] = Counter()

    def read_located_examples() -> Iterator[tuple[str, Example]]:
        for location, parsed in files.parse_rows(paths, dataset.parse_row):
            if isinstance(parsed, SkippedRow):
                skipped[parsed.reason] += 1
            else:
                yield location, parsed

    examples = _drop_repetitions(dataset, read_located_examples(), notes)
    notes.extend(
        f"{dataset.name}: rows left out because {reason}: {count}"
        for reason, count in skipped.items()
    )
    return dataset.postprocess(examples)


def _drop_repetitions(
    dataset: Dataset, located_examples: Iterable[tuple[str, Example]], notes: list[str]
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
        if not dataset.published:
            raise InputError(
                f"{location}: the question of {first_location} again, "
                f"with the answer {_shorten(example)} instead of {_shorten(known)}; "
                "keep one of the two"
            )
        contradictory.add(example.question)

    if repeated:
        notes.append(f"{dataset.name}: rows left out because they repeat a question: {repeated}")
    if contradictory:
        notes.append(
            f"{dataset.name}: questions left out because they have more than one answer: "
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


def _shorten(example: Example) -> str:
    """Returns an example's answer, or several, as a message shows them."""
    answers = [example.answer] if isinstance(example.answer, str) else example.answer
    return " or ".join(repr(answer[:40]) for answer in answers)
