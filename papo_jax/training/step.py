"""One training step on the host: sample, grade, learn, and log."""

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
      row: metric name -> value, a line of metrics.jsonl.
      samples: some of its completions, for samples.jsonl.
      failures: some of the answers that could not be judged, for grader_errors.jsonl.
    """

    row: Row
    samples: list[dict]
    failures: list[dict]


def train_step(run: TrainingRun, state: TrainState, step: int) -> tuple[TrainState, StepRecord]:
    """Samples, grades and learns once.

    Args:
      run: from `prepare_run`.
      state: before the step; donated.
      step: the step's number from 0, that of `state`, as a Python integer.

    Returns:
      (state after the step, its `StepRecord`).

    Raises:
      TrainingStopped: if no answer could be judged.
    """
    settings, clock = run.settings, Clock()
    batch = collect_rollouts(run, state, step, clock)

    # Learn. A diagnosed step keeps a copy of its first parameters, since the state is donated.
    diagnosed = settings.diagnoses(step)
    before = jax.tree.map(jnp.copy, state.params) if diagnosed else None
    cursor = state.cursor + batch.draws * settings.rollout.prompts
    state, output = run.programs.learn(state._replace(cursor=cursor), batch.rollout, batch.grades)
    updates = _combine_updates(output)
    _save_skipped(run.workdir, output, step)
    clock.lap("update")

    # Log.
    action = batch.trained.trajectories.action
    # A mean over the rollout's tokens, as the directional and the realized change are.
    change_sum = updates.pop("entropy_change/sum")
    updates["entropy_change/polarity"] = change_sum / max(1, int(action.sum()))
    row = rollout_metrics(batch, output.weighted) | output.metrics | updates
    if diagnosed:
        row |= _diagnose(run, state, output, before=before, updates_made=updates["update/made"])
    row = {"step": step, **{name: np.asarray(value).item() for name, value in row.items()}}
    clock.lap("diagnostics")
    row |= clock.metrics(tokens=batch.drawn.token_count)
    samples = list_samples(run, step, batch.trained, output.weighted)
    return state, StepRecord(row, samples=samples, failures=list_failures(step, batch.drawn))


def _combine_updates(output: LearnOutput) -> Row:
    """Combines the metrics of a step's updates; reading them waits for the device.

    Skips, updates made and `entropy_change/sum` are summed, everything else is averaged over the
    updates that were made (over all that were tried, where none was made).
    """
    stacked = {name: np.asarray(values) for name, values in output.updates.items()}
    indices = np.flatnonzero(stacked.pop("update/tried"))
    tried = [{name: values[i].item() for name, values in stacked.items()} for i in indices]
    made = [metrics for metrics in tried if metrics["update/made"]] or tried
    combined = {name: float(np.mean([metrics[name] for metrics in made])) for name in stacked}
    combined["entropy_change/sum"] = sum(metrics["entropy_change/sum"] for metrics in made)
    for name in ("update/skipped", "update/made"):
        combined[name] = sum(metrics[name] for metrics in tried)
    return combined


def _diagnose(
    run: TrainingRun, state: TrainState, output: LearnOutput, *, before, updates_made: float
) -> Row:
    """Measures how the step changed entropy, beside the prediction: means and token groups."""
    weighted, trajectories = output.weighted, output.batch.trajectories
    change = run.programs.measure_entropy_change(before, state.params, trajectories)
    # `loss_weights` divides by the whole rollout's count. A minibatch divides by its own, about an
    # equal share of that, and each epoch visits a token once: over all updates a token's weights
    # add up to about `updates_made` times its `loss_weights`.
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
    """Writes every minibatch whose update was not finite to a file, to find the cause in.

    The file is named by the number of the update among those that were tried.
    """
    tried = np.flatnonzero(np.asarray(output.updates["update/tried"]))
    skipped = np.asarray(output.updates["update/skipped"])
    for number, planned in enumerate(tried):
        if not skipped[planned]:
            continue
        (workdir / "skipped").mkdir(exist_ok=True)
        minibatch = take_rows(output.batch, np.asarray(output.plan.rows[planned]))
        path = workdir / "skipped" / f"step_{step}_update_{number}.npz"
        # No array is called allow_pickle, the one keyword of savez that is not an array.
        np.savez(path, **_name_arrays(minibatch))  # pyright: ignore[reportArgumentType]


def _name_arrays(minibatch: UpdateBatch) -> dict[str, np.ndarray]:
    """Lists a minibatch's arrays by name."""
    arrays = {**minibatch.trajectories._asdict(), **minibatch._asdict()}
    arrays.pop("trajectories")
    return {name: np.asarray(array) for name, array in arrays.items()}
