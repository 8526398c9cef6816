"""Evaluated runs, read strictly from their work directories: a comparison is no place to guess.

What counts are the counts a problem: figures and intervals are made from them again, on the same
resamples for all runs.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from papo_jax.errors import InputError
from papo_jax.evaluation.parsing import parse_evaluation
from papo_jax.evaluation.schema import Evaluation
from papo_jax.json_files import look_up, read_object, whole_number
from papo_jax.printable import printable_text

# pass@k is exact; a file that claims a billion samples would keep it busy for days.
MAX_SAMPLES = 4096


class EvaluatedRun(NamedTuple):
    """A run and its evaluation.

    Attributes:
      label: its name in what is printed.
      method: the name of its method, "-" where it is not known.
      seed: of training; None where there is no config.json.
      model: the path of its base policy, "-" where it is not known.
      config: what config.json holds; empty where there is none.
      evaluation: complete, its entries in the order of their steps.
    """

    label: str
    method: str
    seed: int | None
    model: str
    config: dict[str, Any]
    evaluation: Evaluation

    @property
    def problems(self) -> int:
        """The size of the evaluation set."""
        return self.evaluation.eval_set.problems

    @property
    def samples(self) -> int:
        """Samples of each problem."""
        return self.evaluation.sampling.samples


def read_run(workdir: pathlib.Path, label: str) -> EvaluatedRun:
    """Reads evaluation.json and, where there is one, config.json.

    Args:
      workdir: of the run.
      label: its name in what is printed.

    Returns:
      The run.

    Raises:
      InputError: if there is no evaluation, or if something that a comparison needs is missing or
        of the wrong form.
    """
    path, config_path = workdir / "evaluation.json", workdir / "config.json"
    document = read_object(
        path, missing=f"{workdir} has no evaluation.json; evaluate that run, or leave it out"
    )
    config = read_object(config_path, missing="") if os.path.lexists(config_path) else {}
    return EvaluatedRun(
        label=label,
        method=printable_text(look_up(config, "method", "name") or "-"),
        seed=whole_number(config.get("seed")),
        model=printable_text(look_up(config, "model", "path") or "-"),
        config=config,
        evaluation=_parse_strictly(document, path),
    )


def check_comparable(runs: Sequence[EvaluatedRun]) -> None:
    """Raises `InputError` unless all runs have one evaluation set and were sampled alike."""
    first = runs[0]
    for run in runs[1:]:
        one, other = first.evaluation, run.evaluation
        if (one.eval_set.fingerprint, one.eval_set.problems) != (
            other.eval_set.fingerprint,
            other.eval_set.problems,
        ):
            raise InputError(
                f"different evaluation sets: {_describe_eval_set(first)},"
                f" {_describe_eval_set(run)}; only runs on one evaluation set can be compared"
            )
        for what in ("samples", "temperature"):
            mine, theirs = getattr(one.sampling, what), getattr(other.sampling, what)
            if mine != theirs:
                raise InputError(
                    f"different {what}: {first.label} has {mine:g}, {run.label} has {theirs:g};"
                    " evaluate them alike"
                )


def _parse_strictly(document: dict[str, Any], path: pathlib.Path) -> Evaluation:
    evaluation = parse_evaluation(document)
    complaints = list(evaluation.complaints)
    if evaluation.sampling.samples > MAX_SAMPLES:
        samples = evaluation.sampling.samples
        complaints.append(f"samples is {samples}, not a whole number from 1 to {MAX_SAMPLES}")
    if not evaluation.entries:
        complaints.append("it holds no evaluation")
    if complaints:
        raise InputError(f"{path}: {complaints[0]}")
    entries = sorted(evaluation.entries, key=lambda entry: entry.step)
    return dataclasses.replace(evaluation, entries=tuple(entries))


def _describe_eval_set(run: EvaluatedRun) -> str:
    eval_set = run.evaluation.eval_set
    task, fingerprint = printable_text(eval_set.task), printable_text(eval_set.fingerprint[:12])
    return f"{run.label} on {eval_set.problems} problems of {task} ({fingerprint})"
