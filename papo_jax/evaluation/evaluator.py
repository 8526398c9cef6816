"""The frozen panel: sampled under a key of its own, judged, and put on record.

Shapes: M problems, K samples each.
"""

import dataclasses
import itertools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from papo_jax import grading, parallel
from papo_jax.config.settings import Settings
from papo_jax.errors import InputError
from papo_jax.evaluation import estimators
from papo_jax.json_files import read_object
from papo_jax.learner.state import Stream, stream_key
from papo_jax.models import Params
from papo_jax.rollout import detokenize
from papo_jax.rollout import prompts as prompting
from papo_jax.tasks.problem import Problem
from papo_jax.telemetry import provenance, runfiles
from papo_jax.training.problems import judge

Rows = list[dict]


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Samples the panel and has it judged.

    Attributes:
      settings: of the run.
      problems: M.
      store: their prompts, in the same order.
      tokenizer: of the policy.
      stop_tokens: of the policy.
      program: (params, prompts, key) -> completions.
      pool: of grading processes.
      mesh: the device mesh.
    """

    settings: Settings
    problems: list[Problem]
    store: prompting.Store
    tokenizer: Any
    stop_tokens: tuple[int, ...]
    program: Callable
    pool: grading.Pool
    mesh: Mesh

    def __call__(self, params: Params) -> tuple[dict, Rows]:
        """Evaluates parameters.

        The keys are the same for every parameters and every step, so that differences are paired.

        Returns:
          (the figures of `evaluation.summarize` with the parameters' fingerprint, the share of
          truncated answers and the seconds, a row of raw verdicts and texts a problem).

        Raises:
          TrainingStopped: if no answer could be judged, which is no evaluation.
        """
        started = time.perf_counter()
        samples = self.settings.evaluation.samples
        texts, truncated = self._sample(params)
        flat = judge(self.pool, self.problems, texts, what="the panel's", batch_deadline=None)
        groups = [slice(n * samples, (n + 1) * samples) for n in range(len(self.problems))]
        judged = [flat[group] for group in groups]
        figures = estimators.summarize(judged, [problem.source for problem in self.problems])
        rows = [
            {
                "source": problem.source,
                "problem": problem.identifier,
                "prompt": problem.prompt,
                "answer": problem.answer,
                "grader": problem.grader,
                "verdicts": [judgment.verdict for judgment in mine],
                "reasons": [judgment.reason for judgment in mine],
                "answers": [judgment.answer for judgment in mine],
                "completions": texts[group],
            }
            for problem, mine, group in zip(self.problems, judged, groups, strict=True)
        ]
        seconds = time.perf_counter() - started
        return {
            "model": provenance.fingerprint(params),
            **figures,
            "truncated": truncated,
            "seconds": seconds,
        }, rows

    def _sample(self, params: Params) -> tuple[list[str], float]:
        """M K texts, sampled in chunks of about a rollout's rows, and the share that was
        truncated."""
        settings, texts, truncated = self.settings, [], 0
        samples = settings.evaluation.samples
        at_once = settings.sequences // settings.rollout_parts
        parts = parallel.batch_parts(self.mesh)
        chunk = -(-min(len(self.problems), max(1, at_once // samples)) // parts) * parts
        key = stream_key(jax.random.key_data(jax.random.key(settings.seed)), 0, Stream.EVALUATION)
        for start in range(0, len(self.problems), chunk):
            places = range(start, min(start + chunk, len(self.problems)))
            filled = list(
                itertools.islice(itertools.cycle(places), chunk)
            )  # one shape; the surplus is dropped
            # By the panel's own longest: shapes are the same whatever else is trained on.
            prompts = self.store.take(
                filled, multiple=settings.rollout.prompt_multiple, longest=self.store.longest
            )
            completions, own = self.program(params, prompts, key), len(places) * samples
            texts += detokenize.texts(self.tokenizer, self.stop_tokens, completions)[:own]
            truncated += int(np.asarray(completions.truncated)[:own].sum())
        return texts, truncated / len(texts)


def sentence(figures: dict, samples: int) -> str:
    """Says the first figure of an evaluation, and how many answers could not be judged if there are
    any."""
    figure, errors = figures["avg_at_k"], figures["errors"]
    unjudged = f", {errors} answers could not be judged" if errors else ""
    return (
        f"avg@{samples} {figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]{unjudged}"
    )


class Record:
    """`evaluation.json` and the raw verdicts beside it: one panel, one way of sampling, an entry a
    step."""

    def __init__(self, path: pathlib.Path, evaluator: Evaluator, task: str):
        """Reads what is on record already.

        Args:
          path: the document; raw verdicts go to NAME_samples.jsonl beside it.
          evaluator: whose panel and settings it holds.
          task: the name of the task that the panel is of.

        Raises:
          InputError: if it holds another panel, other sampling or other graders, or cannot be read.
        """
        self.path, self.samples_path = path, path.with_name(f"{path.stem}_samples.jsonl")
        self._head = _head(evaluator, task)
        self.entries: list[dict] = []
        try:
            runfiles.read_rows(self.samples_path)
        except ValueError as error:  # a line in the middle that is no row
            raise InputError(str(error)) from None
        if path.exists():
            before = read_object(path, missing="")
            for name, what in (
                ("panel", "another panel"),
                ("sampling", "other sampling settings"),
                ("graders", "other graders"),
            ):
                if before.get(name) != self._head[name]:
                    raise InputError(
                        f"{path} holds an evaluation of {what}; move it away, or give this one an --output of its own"
                    )
            self.entries = _entries(before, path)

    def has(self, step: int) -> bool:
        """Tells whether a step is on record."""
        return any(entry["step"] == step for entry in self.entries)

    def add(self, step: int, figures: dict, rows: Rows) -> None:
        """Puts a step on record, its raw verdicts first: what has an entry has those too."""
        runfiles.drop(self.samples_path, lambda row: row.get("step") == step)
        for row in rows:
            runfiles.append_row(self.samples_path, {"step": step, **row})
        self.entries = sorted(
            [*self.entries, {"step": step, **figures}], key=lambda entry: entry["step"]
        )
        self.write()

    def keep_until(self, step: int) -> None:
        """Forgets later steps, which will be taken again."""
        kept = [entry for entry in self.entries if entry["step"] <= step]
        if len(kept) < len(self.entries):
            self.entries = kept
            runfiles.keep_before(self.samples_path, step + 1)
            self.write()

    def write(self) -> None:
        """Writes the document whole."""
        ends = estimators.last_and_best(self.entries) if self.entries else {}
        document = {**self._head, "entries": self.entries, **ends}
        if len(self.entries) > 1 and self.entries[0]["step"] == 0:
            document["paired_difference"] = estimators.paired(
                self.entries[0], self.entries[-1], self._head["samples"]
            )
        runfiles.write_json(self.path, document)


def _entries(document: dict[str, Any], path: pathlib.Path) -> list[dict]:
    try:
        entries = document["entries"]
        whole = all(
            type(entry["step"]) is int and "value" in entry["avg_at_k"] and entry["right"]
            for entry in entries
        )
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(
            f"{path} has no list of entries with step, avg_at_k and right; move it away"
        )
    return entries


def _head(evaluator: Evaluator, task: str) -> dict[str, Any]:
    """What makes two evaluations comparable."""
    settings, problems = evaluator.settings, evaluator.problems
    samples, temperature = settings.evaluation.samples, settings.evaluation.temperature
    sources = [problem.source for problem in problems]
    return {
        "panel": {
            "task": task,
            "problems": len(problems),
            "fingerprint": estimators.panel_fingerprint(problems),
            "identifiers": [problem.identifier for problem in problems],
            "sources": {source: sources.count(source) for source in dict.fromkeys(sources)},
        },
        "sampling": {
            "samples": samples,
            "temperature": temperature,
            "max_new_tokens": settings.rollout.max_new_tokens,
            "seed": settings.seed,
        },
        "samples": samples,
        "temperature": temperature,
        "graders": {
            "names": sorted({problem.grader for problem in problems}),
            "versions": grading.versions(),
            "deadline": settings.grading.deadline,
            "memory": settings.grading.memory,
        },
    }
