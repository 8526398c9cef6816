"""Evaluator: samples the evaluation set under a key of its own, and has the completions judged.

Shapes: M problems, K samples each.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from papo_jax import grading, mesh_rules
from papo_jax.config.default_settings import Settings
from papo_jax.evaluation.estimators import score_judgments
from papo_jax.evaluation.eval_set import describe_eval_set
from papo_jax.evaluation.judging import judge_completions
from papo_jax.evaluation.schema import Entry, Evaluation, Graders, Sampling
from papo_jax.learner.state import Stream, stream_key
from papo_jax.models import Params
from papo_jax.rollout.detokenize import detokenize_completions
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.problem import Problem
from papo_jax.telemetry import provenance


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Samples the evaluation set and has the completions judged.

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
    store: PromptStore
    tokenizer: Any
    stop_tokens: tuple[int, ...]
    program: Callable
    pool: grading.Pool
    mesh: Mesh

    def __call__(self, params: Params, *, step: int) -> tuple[Entry, list[dict]]:
        """Evaluates parameters.

        The keys are the same for all parameters and steps, so that differences are paired.

        Args:
          params: of the policy.
          step: finished training steps; it names the entry and changes nothing else.

        Returns:
          (an entry of `evaluation.json`, a row of raw verdicts and completions a problem).

        Raises:
          TrainingStopped: if no completion could be judged, which is no evaluation.
        """
        started = time.perf_counter()
        texts, truncated = self._sample_completions(params)
        judgments = judge_completions(
            self.pool, self.problems, texts, owner="the evaluation set", batch_deadline=None
        )

        # The completions of a problem lie side by side.
        samples = self.settings.evaluation.samples
        groups = [slice(n * samples, (n + 1) * samples) for n in range(len(self.problems))]
        judged = [judgments[group] for group in groups]
        rows = [
            {
                "source": problem.source,
                "problem": problem.identifier,
                "prompt": problem.prompt,
                "answer": problem.answer_text,
                "grader": problem.grader,
                "verdicts": [judgment.verdict for judgment in own],
                "reasons": [judgment.reason for judgment in own],
                "answers": [judgment.answer for judgment in own],
                "completions": texts[group],
            }
            for problem, own, group in zip(self.problems, judged, groups, strict=True)
        ]

        scores = score_judgments(judged, [problem.source for problem in self.problems])
        seconds = time.perf_counter() - started
        entry = Entry(
            step=step,
            model=provenance.fingerprint_params(params),
            scores=scores,
            truncated=truncated,
            seconds=seconds,
        )
        return entry, rows

    def describe_evaluation(self, task: str) -> Evaluation:
        """Returns an `Evaluation` without entries: what makes two evaluations comparable.

        Args:
          task: the name of the task that the problems are of.
        """
        settings = self.settings
        return Evaluation(
            eval_set=describe_eval_set(task, self.problems),
            sampling=Sampling(
                samples=settings.evaluation.samples,
                temperature=settings.evaluation.temperature,
                max_new_tokens=settings.rollout.max_new_tokens,
                seed=settings.seed,
            ),
            graders=Graders(
                names=tuple(sorted({problem.grader for problem in self.problems})),
                versions=grading.versions(),
                deadline=settings.grading.deadline,
                memory=settings.grading.memory,
            ),
        )

    def _sample_completions(self, params: Params) -> tuple[list[str], float]:
        """Returns M K texts, sampled in chunks of a rollout's rows, and the truncated share."""
        settings, texts, truncated = self.settings, [], 0
        samples = settings.evaluation.samples
        at_once = settings.sequences // settings.rollout_parts
        parts = mesh_rules.batch_parts(self.mesh)
        chunk = -(-min(len(self.problems), max(1, at_once // samples)) // parts) * parts
        key = stream_key(jax.random.key_data(jax.random.key(settings.seed)), 0, Stream.EVALUATION)

        for start in range(0, len(self.problems), chunk):
            # All chunks have one shape; the last is filled up, and the surplus dropped.
            indices = range(start, min(start + chunk, len(self.problems)))
            filled = list(itertools.islice(itertools.cycle(indices), chunk))
            # Padded to this set's own longest, so that shapes do not depend on the training task.
            padded = self.store.make_batch(
                filled, multiple=settings.rollout.prompt_multiple, max_slots=self.store.max_length
            )
            completions, own = self.program(params, padded, key), len(indices) * samples
            texts += detokenize_completions(self.tokenizer, self.stop_tokens, completions)[:own]
            truncated += int(np.asarray(completions.truncated)[:own].sum())
        return texts, truncated / len(texts)
