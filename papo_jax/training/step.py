"""One training step on the host: sample, grade, learn, and what is logged of it."""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from papo_jax.learner.batches import UpdateBatch
from papo_jax.learner.learn import LearnOutput, take_rows
from papo_jax.learner.state import TrainState
from papo_jax.training.rollouts import collect_rollouts
from papo_jax.training.step_clock import Clock
from papo_jax.training.step_metrics import list_failures, list_samples, rollout_metrics
from papo_jax.training.training_run import TrainingRun

Row = dict[str, float]


class StepRecord(NamedTuple):
    """The records of a step, for the run's files.

    Attributes:
      row: of metrics.
      samples: some of its completions.
      failures: answers that could not be judged.
    """

    row: Row
    samples: list[dict]
    failures: list[dict]


def train_step(run: TrainingRun, state: TrainState, step: int) -> tuple[TrainState, StepRecord]:
    """Samples, grades and learns once.

    Args:
      run: set up.
      state: before the step; donated.
      step: its number, the same as in `state`, from 0.

    Returns:
      (state after the step, its `StepRecord`).

    Raises:
      TrainingStopped: if no answer could be judged.
    """
    settings, clock = run.settings, Clock()
    batch = collect_rollouts(run, state, step, clock)

    # Learn. A diagnosed step keeps its first parameters, since the state is donated.
    diagnosed = settings.diagnostics.every and step % settings.diagnostics.every == 0
    before = jax.tree.map(jnp.copy, state.params) if diagnosed else None
    cursor = state.cursor + batch.draws * settings.rollout.prompts
    state, output = run.programs.learn(state._replace(cursor=cursor), batch.rollout, batch.grades)
    updates = _average_updates(output)
    _save_skipped(run.workdir, output, step)
    clock.lap("update")

    # Log.
    action = batch.trained.trajectories.action
    change_sum = updates.pop("entropy_change/sum")
    updates["entropy_change/polarity"] = change_sum / max(1, int(action.sum()))
    row = rollout_metrics(batch, output.weighted) | output.metrics | updates
    if diagnosed:
        row |= _diagnose(run, state, output, before=before, updates_made=updates["update/made"])
    row = {"step": step, **{name: np.asarray(value).item() for name, value in row.items()}}
    clock.lap("diagnostics")
    row |= clock.metrics(tokens=int(batch.drawn.entropy_sum[1]))
    samples = list_samples(run, step, batch.trained, output.weighted)
    return state, StepRecord(row, samples=samples, failures=list_failures(step, batch.drawn))


def _average_updates(output: LearnOutput) -> Row:
    """Puts the metrics of a step's updates together.

    Skips, updates made and `entropy_change/sum` are summed, everything else is averaged over the
    updates that were made (over all that were tried, where none was).
    """
    stacked = {name: np.asarray(values) for name, values in output.updates.items()}
    tried = np.flatnonzero(stacked.pop("update/tried"))
    found = [{name: values[i].item() for name, values in stacked.items()} for i in tried]
    made = [metrics for metrics in found if metrics["update/made"]] or found
    averages = {name: float(np.mean([metrics[name] for metrics in made])) for name in stacked}
    averages["entropy_change/sum"] = sum(metrics["entropy_change/sum"] for metrics in made)
    for name in ("update/skipped", "update/made"):
        averages[name] = sum(metrics[name] for metrics in found)
    return averages


def _diagnose(
    run: TrainingRun, state: TrainState, output: LearnOutput, *, before, updates_made: float
) -> Row:
    """Measures what the step did to entropy, beside what was predicted."""
    weighted, trajectories = output.weighted, output.batch.trajectories
    change = run.programs.measure_entropy_change(before, state.params, trajectories)
    # A minibatch's count is its share of the rollout's, so every update that is made acts that much
    # more strongly.
    predicted = updates_made * weighted.loss_weights * weighted.polarity
    return run.programs.summarize_entropy_change(
        {
            "change": change,
            "predicted": predicted,
            "polarity": weighted.polarity,
            "advantages": weighted.advantages,
            "mask": trajectories.action,
        }
    )


def _save_skipped(workdir: pathlib.Path, output: LearnOutput, step: int) -> None:
    """Keeps every minibatch whose update was not finite, for whoever looks for the cause."""
    for number in np.flatnonzero(np.asarray(output.updates["update/skipped"])):
        (workdir / "skipped").mkdir(exist_ok=True)
        minibatch = take_rows(output.batch, np.asarray(output.plan.rows[number]))
        np.savez(
            workdir / "skipped" / f"step_{step}_update_{number}.npz", **_name_arrays(minibatch)
        )


def _name_arrays(minibatch: UpdateBatch) -> dict[str, np.ndarray]:
    """Lists a minibatch's arrays by name."""
    arrays = {**minibatch.trajectories._asdict(), **minibatch._asdict()}
    arrays.pop("trajectories")
    return {name: np.asarray(array) for name, array in arrays.items()}
