"""Datasets that are read from files: the meaning of their rows."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Example(NamedTuple):
    """The content of a row.

    Attributes:
      question: without instructions.
      answer: the reference answer, or several, of which any is right.
      grader: the name of the grader for that answer.
    """

    question: str
    answer: str | tuple[str, ...]
    grader: str


class SkippedRow(NamedTuple):
    """A row that cannot serve as a problem, and the reason, such as "they need their image"."""

    reason: str


def keep_examples(examples: list[Example]) -> list[Example]:
    """Returns the examples unchanged; the default of `Dataset.postprocess`."""
    return examples


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset that its authors publish as files.

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
