"""Which states of a run are saved: healthy ones on schedule, and the one it stops with."""

import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from papo_jax.errors import TrainingStopped
from papo_jax.learner.state import TrainState
from papo_jax.training import file_extents
from papo_jax.training.training_run import TrainingRun


def save_if_due(
    run: TrainingRun, state: TrainState, rewards: Mapping[int, float], *, stopping: bool
) -> None:
    """Saves a state every `checkpoint.every` steps, after the last step, and when the run stops.

    While the last updates were skipped for not being finite the parameters may be the cause, and an
    older checkpoint is then the better one to resume from. So one turn of the schedule is left out
    then, with a warning, and no second one.

    Args:
      run: from `prepare_run`.
      state: after a step that this process made.
      rewards: step -> mean reward of its rollout.
      stopping: whether a signal asked for a stop.

    Raises:
      TrainingStopped: if the state is due and has values that are not finite.
    """
    step, every = int(state.step), run.settings.checkpoint.every
    scheduled, last = step % every == 0, step >= run.settings.training.steps
    if not (scheduled or last or stopping):
        return
    if not _is_finite(state):
        raise TrainingStopped(
            f"step {step - 1}: parameters or optimizer state are not finite, so they are not saved;"
            f" {_name_newest(run)} is untouched"
        )
    skipped, newest = int(state.skipped), run.checkpoints.newest or 0
    if skipped:
        not_finite = f"the last {skipped} update(s) before step {step} were not finite"
        if not (last or stopping) and step - newest < 2 * every:
            warnings.warn(f"{not_finite}: no checkpoint; {_name_newest(run)} stays", stacklevel=2)
            return
        warnings.warn(f"{not_finite}; the parameters are, and are saved", stacklevel=2)

    # A state that was saved because a signal came does not compete for the best, for without the
    # signal it would not exist.
    run.checkpoints.save(
        state,
        score=_mean_reward(rewards, step, every) if scheduled or last else None,
        files=file_extents.measure_files(run.workdir),
        evaluated=tuple(entry.step for entry in run.evaluations.entries) if run.evaluations else (),
    )


def _is_finite(state: TrainState) -> bool:
    """Tells whether all parameters and the optimizer's state are finite."""
    return bool(_all_finite((state.params, state.opt_state)))


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    # The largest magnitude is as finite as all of them, and is found at the speed of the memory.
    largest = [jnp.abs(leaf).max(initial=0) for leaf in jax.tree.leaves(tree)]
    return jnp.stack([jnp.isfinite(value) for value in largest]).all()


def _mean_reward(rewards: Mapping[int, float], step: int, count: int) -> float:
    """Returns the mean over the last `count` steps, those whose reward is known."""
    return float(np.mean([rewards[n] for n in range(max(0, step - count), step) if n in rewards]))


def _name_newest(run: TrainingRun) -> str:
    newest = run.checkpoints.newest
    return "the run, without a checkpoint so far," if newest is None else f"checkpoint {newest}"
