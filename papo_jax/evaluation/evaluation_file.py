"""`evaluation.json` as it grows: one evaluation set, one way of sampling, an entry a step."""

import dataclasses
import pathlib
from typing import Any

from papo_jax.errors import InputError
from papo_jax.evaluation.estimators import paired_difference
from papo_jax.evaluation.parsing import parse_evaluation
from papo_jax.evaluation.schema import Entry, Evaluation
from papo_jax.json_files import read_object
from papo_jax.telemetry import runfiles


class EvaluationFile:
    """The document of an evaluation and the raw verdicts beside it.

    Attributes:
      path: of the document; raw verdicts are in NAME_samples.jsonl beside it.
      entries: the evaluations that it holds, in the order of their steps.
    """

    def __init__(self, path: pathlib.Path, evaluation: Evaluation):
        """Reads the entries that are on file already.

        Args:
          path: of the document, which need not exist.
          evaluation: what the entries have in common; its own entries are ignored.

        Raises:
          InputError: if the file is of another evaluation set, other sampling or other graders, or
            cannot be read.
        """
        self.path, self.samples_path = path, path.with_name(f"{path.stem}_samples.jsonl")
        self._evaluation = dataclasses.replace(evaluation, entries=())
        self.entries: tuple[Entry, ...] = ()
        try:
            runfiles.read_rows(self.samples_path)
        except ValueError as error:  # a line in the middle that is no row
            raise InputError(str(error)) from None
        if path.exists():
            document = read_object(path, missing="")
            self._check_same_evaluation(document)
            self.entries = _parse_whole_entries(document, path)

    def has_step(self, step: int) -> bool:
        """Tells whether a step has an entry."""
        return any(entry.step == step for entry in self.entries)

    def add_entry(self, entry: Entry, rows: list[dict]) -> None:
        """Adds an entry, its raw verdicts first: a step with an entry has verdicts too."""
        runfiles.drop_rows(self.samples_path, lambda row: row.get("step") == entry.step)
        for row in rows:
            runfiles.append_row(self.samples_path, {"step": entry.step, **row})
        self.entries = tuple(sorted([*self.entries, entry], key=lambda entry: entry.step))
        self._write_document()

    def keep_until(self, step: int) -> None:
        """Drops the entries of later steps, which will be made again."""
        kept = tuple(entry for entry in self.entries if entry.step <= step)
        if len(kept) < len(self.entries):
            self.entries = kept
            runfiles.keep_rows_before(self.samples_path, step + 1)
            self._write_document()

    def _write_document(self) -> None:
        """Replaces the document, with the paired difference to the policy before training."""
        evaluation = dataclasses.replace(self._evaluation, entries=self.entries)
        if len(self.entries) > 1 and self.entries[0].step == 0:
            first, last = self.entries[0].scores, self.entries[-1].scores
            difference = paired_difference(first, last, evaluation.sampling.samples)
            evaluation = dataclasses.replace(evaluation, paired_difference=difference)
        runfiles.write_json(self.path, evaluation.to_json())

    def _check_same_evaluation(self, document: dict[str, Any]) -> None:
        own = self._evaluation.to_json()
        for key, difference in (
            ("panel", "another evaluation set"),
            ("sampling", "other sampling settings"),
            ("graders", "other graders"),
        ):
            if document.get(key) != own[key]:
                raise InputError(
                    f"{self.path} holds an evaluation of {difference}; move it away,"
                    " or give this one an --output of its own"
                )


def _parse_whole_entries(document: dict[str, Any], path: pathlib.Path) -> tuple[Entry, ...]:
    evaluation = parse_evaluation(document)
    average = f"avg@{evaluation.sampling.samples}"
    if evaluation.complaints or not all(
        None not in entry.scores.figures.get(average, [None]) for entry in evaluation.entries
    ):
        raise InputError(
            f"{path} has no list of entries with step, avg_at_k and right; move it away"
        )
    return evaluation.entries
