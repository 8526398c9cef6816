"""One training step on the host, top to bottom: sample, grade, weigh, update, and what is logged of it."""

import pathlib
import time
from collections import Counter
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from papo_jax import grading
from papo_jax.rollout.generate import Completions
from papo_jax.tasks import order
from papo_jax.training.session import Session
from papo_jax.training.state import Stream, TrainState, stream_key
from papo_jax.training.trajectories import Batch

Row = dict[str, float]


def train_step(session: Session, state: TrainState, step: int) -> tuple[TrainState, Row, list[dict]]:
    """Samples, grades, weighs and updates once.

    Args:
      session: of the run.
      state: before the step; donated.
      step: its number, the same as in `state`, from 0.

    Returns:
      (state after the step, its row of metrics, some of its samples).
    """
    settings, programs = session.settings, session.programs
    clock = Clock()
    chosen = order.identifiers(settings.seed, int(state.cursor), settings.rollout.prompts, len(session.task.train))
    problems = [session.task.train[int(i)] for i in chosen]
    key = stream_key(state.key, step, Stream.ROLLOUT)
    completions, trajectories = programs.rollout(state.params, session.prompts(session.train_prompts, chosen), key)
    texts = session.texts(completions)
    clock.lap("rollout")

    golds = [problem.answer for problem in problems for _ in range(settings.rollout.samples)]
    verdicts = [grading.grade(session.task.grader, gold, text) for gold, text in zip(golds, texts, strict=True)]
    rewards = np.array([verdict == "right" for verdict in verdicts], np.float32).reshape(len(problems), -1)
    clock.lap("grade")

    stats = programs.assess(state.params, trajectories)
    weights_key = stream_key(state.key, step, Stream.WEIGHTS)
    weighed, metrics = programs.weigh(stats, rewards, trajectories.mask, state.phase, weights_key)
    reference = programs.assess(session.reference, trajectories).logprob if session.reference else stats.logprob
    batch = Batch(trajectories, stats.logprob, reference, weighed.weights * weighed.advantages)
    diagnosed = settings.diagnostics.every and step % settings.diagnostics.every == 0
    before = jax.tree.map(jnp.copy, state.params) if diagnosed else None
    state = state._replace(phase=weighed.phase, cursor=state.cursor + len(problems))
    state, updates = run_updates(session, state, batch, step)
    state = state._replace(step=state.step + 1)
    clock.lap("update")

    tokens = int(trajectories.mask.sum())
    updates["entropy_change/polarity"] = updates.pop("entropy_change/sum") / max(1, tokens)
    row = _rollout_metrics(rewards, verdicts, completions, stats.logprob) | metrics | updates
    if diagnosed:
        change = programs.entropy_change(before, state.params, trajectories)
        # A minibatch's count is its share of the rollout's, so every update pulls that much harder.
        updates_made = settings.training.minibatches * settings.training.epochs
        predicted = updates_made * weighed.pressure * weighed.polarity
        row |= programs.summarise(change, predicted, weighed.polarity, weighed.advantages, trajectories.mask)
    row = {"step": step, **{name: np.asarray(value).item() for name, value in row.items()}}
    clock.lap("diagnostics")
    return state, row | clock.metrics(tokens=tokens), _samples(session, step, problems, texts, rewards, weighed, completions)


def run_updates(session: Session, state: TrainState, batch: Batch, step: int) -> tuple[TrainState, Row]:
    """Makes every update of a rollout: epochs x minibatches, each epoch in an order of its own.

    Returns:
      (state, metrics): skips and `entropy_change/sum` summed over the updates, everything else averaged.
    """
    training, found = session.settings.training, []
    for number, rows in enumerate(_minibatches(session, state, step)):
        minibatch = session.programs.take(batch, rows)
        state, metrics = session.programs.update(state, minibatch)
        metrics = {name: np.asarray(value).item() for name, value in metrics.items()}
        found.append(metrics)
        if metrics["update/skipped"]:
            _save_skipped(session.workdir, minibatch, step, number)
        if int(state.skipped) >= training.max_skipped:
            break  # the loop writes this step's row and stops
    kept = [metrics for metrics in found if not metrics["update/skipped"]] or found
    averages = {name: float(np.mean([metrics[name] for metrics in kept])) for name in found[0]}
    averages["entropy_change/sum"] = sum(metrics["entropy_change/sum"] for metrics in kept)
    averages["update/skipped"] = sum(metrics["update/skipped"] for metrics in found)
    return state, averages


def _minibatches(session: Session, state: TrainState, step: int) -> Iterator[np.ndarray]:
    key = stream_key(state.key, step, Stream.MINIBATCHES)
    for epoch in range(session.settings.training.epochs):
        shuffled = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), session.settings.sequences))
        yield from shuffled.reshape(session.settings.training.minibatches, -1)


def _save_skipped(workdir: pathlib.Path, minibatch: Batch, step: int, number: int) -> None:
    """Keeps a batch whose update was not finite, for whoever looks for the cause."""
    (workdir / "skipped").mkdir(exist_ok=True)
    arrays = {**minibatch.trajectories._asdict(), **minibatch._asdict()}
    arrays.pop("trajectories")
    np.savez(workdir / "skipped" / f"step_{step}_update_{number}.npz", **{k: np.asarray(v) for k, v in arrays.items()})


def _rollout_metrics(rewards: np.ndarray, verdicts: list[str], completions: Completions, logprob: jax.Array) -> Row:
    # In NumPy: these few sums are not worth a compilation.
    mask = np.asarray(completions.mask)
    gap = np.asarray(logprob)[mask] - np.asarray(completions.logprob)[mask]
    return {
        "reward/mean": rewards.mean(),
        "reward/all_right": (rewards == 1).all(axis=1).mean(),
        "reward/all_wrong": (rewards == 0).all(axis=1).mean(),
        "length/mean": mask.sum(axis=1).mean(),
        "length/truncated": np.asarray(completions.truncated).mean(),
        "grader/error": Counter(verdicts)["error"] / len(verdicts),
        "grader/timeout": 0.0,  # the integer grader runs in linear time on a capped text, in this process
        "kl/sampler_trainer": (np.expm1(gap) - gap).mean(),  # k3, as in methods.objectives
        "logprob_gap/max": np.abs(gap).max(),
    }


def _samples(session: Session, step: int, problems, texts, rewards, weighed, completions) -> list[dict]:
    """The first sample of the first few prompts, as they go to samples.jsonl."""
    group = session.settings.rollout.samples
    advantages = np.asarray(weighed.advantages)[:, 0].reshape(rewards.shape)
    truncated = np.asarray(completions.truncated).reshape(rewards.shape)
    return [
        {
            "step": step, "problem": problem.identifier, "prompt": problem.prompt, "completion": texts[n * group],
            "answer": problem.answer, "reward": float(rewards[n, 0]), "advantage": float(advantages[n, 0]),
            "truncated": bool(truncated[n, 0]),
        }
        for n, problem in enumerate(problems[: session.settings.telemetry.samples])
    ]  # fmt: skip


class Clock:
    """Seconds of each part of a step."""

    def __init__(self):
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Ends a part."""
        now = time.perf_counter()
        self._laps[f"time/{name}"], self._last = now - self._last, now

    def metrics(self, *, tokens: int) -> Row:
        """Returns the parts, and generated tokens a second over the whole step."""
        return {**self._laps, "tokens_per_second": tokens / (time.perf_counter() - self._start)}
