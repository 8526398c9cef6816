"""Evaluation inside a run: the frozen panel, before, after and now and then, under keys of its own."""

import itertools
import json
import time

import numpy as np

from papo_jax import evaluation, grading, parallel
from papo_jax.telemetry import progress, runfiles
from papo_jax.training.session import Session
from papo_jax.training.state import Stream, TrainState, stream_key


def evaluate_if_due(session: Session, state: TrainState, shown: progress.Progress) -> None:
    """Evaluates at step 0, every `evaluation.every` steps and at the end, unless that is on record already.

    Args:
      session: of the run.
      state: whose parameters are evaluated; nothing of it changes.
      shown: told what is awaited and what came out.
    """
    every, step = session.settings.evaluation.every, int(state.step)
    if not every or (step % every and step != session.settings.training.steps):
        return
    entries = [entry for entry in _recorded(session) if entry["step"] <= step]
    if not any(entry["step"] == step for entry in entries):
        shown.waiting_for("evaluating")
        started = time.perf_counter()
        entries.append({"step": step, **_evaluate(session, state), "seconds": time.perf_counter() - started})
        figure = entries[-1]["avg_at_k"]
        shown.say(
            f"panel after {step} steps: avg@{session.settings.evaluation.samples}"
            f" {figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
        )
    _record(session, entries)


def _evaluate(session: Session, state: TrainState) -> dict:
    """Samples the panel in chunks of about a rollout's rows and summarises the verdicts."""
    samples = session.settings.evaluation.samples
    at_once = session.settings.sequences // session.settings.rollout_parts
    parts = parallel.batch_parts(session.mesh)
    chunk = -(-min(len(session.panel), max(1, at_once // samples)) // parts) * parts
    key = stream_key(state.key, 0, Stream.EVALUATION)  # the same for every step, so that differences are paired
    right, answers = [], []
    for start in range(0, len(session.panel), chunk):
        problems = session.panel[start : start + chunk]
        filled = list(itertools.islice(itertools.cycle(problems), chunk))  # one shape; the surplus is dropped
        completions = session.programs.evaluate(state.params, session.prompts(session.panel_prompts, [problem.identifier for problem in filled]), key)
        texts = session.texts(completions)
        for n, problem in enumerate(problems):
            mine = texts[n * samples : (n + 1) * samples]
            right.append([grading.grade(session.task.grader, problem.answer, text) == "right" for text in mine])
            answers.append([grading.extract_integer(text) for text in mine])
    return evaluation.summarise(np.array(right), answers)


def _recorded(session: Session) -> list[dict]:
    path = session.workdir / "evaluation.json"
    if not path.exists():
        return []
    try:
        return json.loads(path.read_text())["entries"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return []  # written whole or not at all; whatever else stands there is evaluated again


def _record(session: Session, entries: list[dict]) -> None:
    settings = session.settings.evaluation
    document = {
        "panel": {
            "task": session.task.name, "problems": len(session.panel),
            "fingerprint": evaluation.panel_fingerprint(session.panel),
            "identifiers": [problem.identifier for problem in session.panel],
        },
        "samples": settings.samples, "temperature": settings.temperature, "grader": session.task.grader,
        "entries": entries,
    }  # fmt: skip
    if len(entries) > 1 and entries[0]["step"] == 0:
        document["paired_difference"] = evaluation.paired_difference(
            entries[0]["right"], entries[-1]["right"], settings.samples
        )
    runfiles.write_json(session.workdir / "evaluation.json", document)
