"""One training step on the host, top to bottom: sample, grade, weigh, update, and what is logged of
it."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from papo_jax.learner.state import Stream, TrainState, stream_key
from papo_jax.learner.trajectories import Batch
from papo_jax.training.rollouts import gather
from papo_jax.training.session import Session
from papo_jax.training.step_clock import Clock
from papo_jax.training.step_metrics import failures, rollout_metrics, samples

Row = dict[str, float]


class Record(NamedTuple):
    """What a step leaves for the files: its row of metrics, some of its samples, answers that could
    not be judged."""

    row: Row
    samples: list[dict]
    failures: list[dict]


def train_step(session: Session, state: TrainState, step: int) -> tuple[TrainState, Record]:
    """Samples, grades, weighs and updates once.

    Args:
      session: of the run.
      state: before the step; donated.
      step: its number, the same as in `state`, from 0.

    Returns:
      (state after the step, its `Record`).

    Raises:
      TrainingStopped: if no answer could be judged.
    """
    settings, programs = session.settings, session.programs
    clock = Clock()
    gathered = gather(session, state, step, clock)
    drawn, chosen = gathered.all, gathered.chosen
    trajectories, stats = chosen.trajectories, chosen.stats

    entropy = np.float32(drawn.entropy[0] / max(1.0, drawn.entropy[1]))
    weights_key = stream_key(state.key, step, Stream.WEIGHTS)
    sequences = np.arange(settings.sequences, dtype=np.int32)
    steering = programs.steering and programs.steering(state.params, state.opt_state, trajectories)
    weighed, metrics = programs.weigh(
        stats,
        chosen.rewards,
        trajectories.mask,
        gathered.kept,
        sequences,
        entropy,
        state.phase,
        weights_key,
        steering,
    )
    reference = (
        programs.assess(session.reference, trajectories).logprob
        if session.reference
        else stats.logprob
    )
    weighted = weighed.weights * weighed.advantages
    accuracy = np.repeat(chosen.rewards.mean(axis=1), settings.rollout.samples)
    batch = Batch(
        trajectories,
        stats.logprob,
        reference,
        weighted,
        weighed.loss_mask,
        weighed.polarity,
        sequences,
        accuracy,
    )
    diagnosed = settings.diagnostics.every and step % settings.diagnostics.every == 0
    before = jax.tree.map(jnp.copy, state.params) if diagnosed else None
    cursor = state.cursor + gathered.draws * settings.rollout.prompts
    state, updates = run_updates(
        session, state._replace(phase=weighed.phase, cursor=cursor), batch, step
    )
    state = state._replace(step=state.step + 1)
    clock.lap("update")

    updates["entropy_change/polarity"] = updates.pop("entropy_change/sum") / max(
        1, int(trajectories.mask.sum())
    )
    row = rollout_metrics(gathered, weighed) | metrics | updates
    if diagnosed:
        change = programs.entropy_change(before, state.params, trajectories)
        # A minibatch's count is its share of the rollout's, so every update that is made pulls that
        # much harder.
        predicted = updates["update/made"] * weighed.pressure * weighed.polarity
        row |= programs.summarize(
            change, predicted, weighed.polarity, weighed.advantages, trajectories.mask
        )
    row = {"step": step, **{name: np.asarray(value).item() for name, value in row.items()}}
    clock.lap("diagnostics")
    row |= clock.metrics(tokens=int(drawn.entropy[1]))
    return state, Record(row, samples(session, step, chosen, weighed), failures(step, drawn))


def run_updates(
    session: Session, state: TrainState, batch: Batch, step: int
) -> tuple[TrainState, Row]:
    """Makes every update of a rollout: epochs x minibatches, each epoch in an order of its own.

    Returns:
      (state, metrics): skips, updates made and `entropy_change/sum` summed, everything else
      averaged over the updates that were made (over all, where none was).
    """
    training, found = session.settings.training, []
    kept = np.asarray(batch.loss_mask).any(axis=1)
    for number, (epoch, rows) in enumerate(_minibatches(session, state, step, kept)):
        minibatch = session.programs.take(batch, rows)
        key = jax.random.fold_in(stream_key(state.key, step, Stream.SELECTION), epoch)
        state, metrics = session.programs.update(state, minibatch, key)
        metrics = {name: np.asarray(value).item() for name, value in metrics.items()}
        found.append(metrics)
        if metrics["update/skipped"]:
            _save_skipped(session.workdir, minibatch, step, number)
        if int(state.skipped) >= training.max_skipped:
            break  # the loop writes this step's row and stops
    made = [metrics for metrics in found if metrics["update/made"]] or found
    averages = {name: float(np.mean([metrics[name] for metrics in made])) for name in found[0]}
    averages["entropy_change/sum"] = sum(metrics["entropy_change/sum"] for metrics in made)
    for name in ("update/skipped", "update/made"):
        averages[name] = sum(metrics[name] for metrics in found)
    return state, averages


def _minibatches(
    session: Session, state: TrainState, step: int, kept: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (epoch, rows) of every minibatch.

    Rows that take part in the loss are dealt out evenly; where the method packs, they fill
    minibatches one after another, and those that nothing is left for are not made, but for a first
    one, which every step has figures of.
    """
    count = session.settings.training.minibatches
    pack = session.settings.method_arguments()["pack"]
    key = stream_key(state.key, step, Stream.MINIBATCHES)
    for epoch in range(session.settings.training.epochs):
        shuffled = np.asarray(
            jax.random.permutation(jax.random.fold_in(key, epoch), session.settings.sequences)
        )
        if not kept.all():
            shuffled = shuffled[np.argsort(~kept[shuffled], kind="stable")]
        one_by_one = pack or kept.all()
        minibatches = list(
            shuffled.reshape(count, -1) if one_by_one else shuffled.reshape(-1, count).T
        )
        if pack:
            minibatches = [rows for rows in minibatches if kept[rows].any()] or minibatches[:1]
        yield from ((epoch, rows) for rows in minibatches)


def _save_skipped(workdir: pathlib.Path, minibatch: Batch, step: int, number: int) -> None:
    """Keeps a batch whose update was not finite, for whoever looks for the cause."""
    (workdir / "skipped").mkdir(exist_ok=True)
    arrays = {**minibatch.trajectories._asdict(), **minibatch._asdict()}
    arrays.pop("trajectories")
    np.savez(
        workdir / "skipped" / f"step_{step}_update_{number}.npz",
        **{k: np.asarray(v) for k, v in arrays.items()},
    )
