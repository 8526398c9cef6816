"""The training state: whatever resuming needs, and nothing else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from papo_jax.methods import phase
from papo_jax.models import Params


class TrainState(NamedTuple):
    """A run between two steps.

    Attributes:
      params: the policy's parameters, float32.
      opt_state: optax's.
      step: [] int32, finished steps, each a rollout with all its updates.
      key: [2] uint32, the base key's data; it never changes, every key is folded from it.
      cursor: [] int32, prompts drawn since the beginning.
      entropy_trajectory: the entropies so far, which the phase signal is computed from.
      skipped: [] int32, updates in a row that were skipped for not being finite.
    """

    params: Params
    opt_state: optax.OptState
    step: jax.Array
    key: jax.Array
    cursor: jax.Array
    entropy_trajectory: phase.EntropyTrajectory
    skipped: jax.Array


class Stream:
    """Numbers of the purposes that keys are for, each folded into its keys after the step.

    Evaluation has a stream of its own, so that evaluating changes no other random number.
    """

    ROLLOUT = 0
    MINIBATCHES = 1
    WEIGHTS = 2
    EVALUATION = 3
    ADAPTERS = 4
    REFILLS = 5
    SELECTION = 6


def init_state(params: Params, optimizer: optax.GradientTransformation, seed: int) -> TrainState:
    """Returns the state before the first step."""
    zero = jnp.zeros((), jnp.int32)
    key = jax.random.key_data(jax.random.key(seed))
    return TrainState(
        params=params,
        opt_state=optimizer.init(params),
        step=zero,
        key=key,
        cursor=zero,
        entropy_trajectory=phase.init(),
        skipped=zero,
    )


def stream_key(base: jax.Array, step: jax.Array | int, stream: int) -> jax.Array:
    """Returns the key fold_in(fold_in(base, step), stream)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(base), step), stream)


def make_optimizer(
    *,
    learning_rate: float,
    warmup_steps: int,
    weight_decay: float,
    gradient_clip: float,
    b1: float,
    b2: float,
    epsilon: float,
) -> optax.GradientTransformation:
    """Returns AdamW behind a clip of the global norm.

    The learning rate is warmed up linearly over updates and then constant.
    """
    schedule = optax.linear_schedule(
        learning_rate / max(1, warmup_steps), learning_rate, max(1, warmup_steps - 1)
    )
    return optax.chain(
        optax.clip_by_global_norm(gradient_clip),
        optax.adamw(schedule, b1=b1, b2=b2, eps=epsilon, weight_decay=weight_decay),
    )
