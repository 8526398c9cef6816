"""Trainer on a toy task: rollout, grading and updates in one jitted program, scanned over steps.

It calls the product's `generate` and `learn`; grading is on the device
(`toy_tasks.grade_completions`), and the optimizer's rate and any number of the method may differ
from run to run, so that a search and all its seeds share one compiled step. Adam, gradient clip 1,
no weight decay, a constant rate; `UPDATES` minibatches a rollout.

Seeds are not put under `vmap`: on two CPU cores a step of four seeds together took 1.2 times the
CPU time of four alone, and processes side by side use the cores better (`runs.make_runs`).

Shapes: N prompts, G samples, B = N G sequences, P prompt slots, T completion slots, K rollouts, M
problems of the eval set.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.lab import toy_tasks
from papo_jax.learner.batches import Grades, Rollout, Trajectories, make_trajectories
from papo_jax.learner.learn import Learner, LearnOutput, learn
from papo_jax.learner.minibatches import UpdatePlan, put_kept_first
from papo_jax.learner.parameter_polarity import adam_preconditioner
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import Stream, TrainState, init_state, stream_key
from papo_jax.methods import presets
from papo_jax.models import Policy
from papo_jax.polarity import masked_mean
from papo_jax.rollout.generate import Prompts, generate
from papo_jax.tasks import order

PROMPTS, SAMPLES, UPDATES = 16, 16, 4
POOL = 4096  # problems to train on
EVAL_PROBLEMS, EVAL_SAMPLES = 256, 16
ADAM: dict[str, Any] = dict(b1=0.9, b2=0.999, eps=1e-8)

Numbers = dict[str, jax.Array]  # of a method, and its learning_rate


class TrainingCurve(NamedTuple):
    """Metrics and evaluations of a run, and its parameters.

    Attributes:
      metrics: name -> [K] float32, a rollout each.
      evaluated: [E] rollouts made before each evaluation.
      counts: [E, M] uint8 right completions of `EVAL_SAMPLES` on each problem of the eval set.
      params: after the last step.
    """

    metrics: dict[str, np.ndarray]
    evaluated: np.ndarray
    counts: np.ndarray
    params: dict


class Trainer:
    """Trains one method on one toy task from one base policy.

    Compiled once for all numbers and seeds.
    """

    def __init__(
        self,
        task: toy_tasks.ToyTask,
        policy: Policy,
        method: str,
        *,
        eval_set: str = "report",
        **changes,
    ):
        """Fixes what is static.

        Args:
          task: of `toy_tasks.TOY_TASKS`.
          policy: to start from.
          method: a preset's name.
          eval_set: "report", or "search" for other held-out problems.
          **changes: of the preset's arguments, the same for all runs.
        """
        self.task, self.policy = task, policy
        # Other draws of prompts cost samples, and a length penalty means nothing here.
        self.method = presets.get(method, refills=0, overlong=0.0, **changes)
        self.scorer = PolicyScorer(policy.graph)
        self.equals_token = policy.tokenizer.convert_tokens_to_ids("=")
        self.pool = toy_tasks.make_problems(task, "train", POOL)
        held_out = toy_tasks.make_problems(task, "held_out", 2 * EVAL_PROBLEMS)
        half = slice(0, EVAL_PROBLEMS) if eval_set == "report" else slice(EVAL_PROBLEMS, None)
        self.eval_set = jax.tree.map(lambda leaf: leaf[half], held_out)
        self._block = jax.jit(self._scan_rollouts)
        self._evaluate = jax.jit(self._count_right)

    def train(
        self,
        seed: int,
        numbers: dict[str, float],
        *,
        rollouts: int,
        evaluate_every: int,
        curve: bool = True,
    ) -> TrainingCurve:
        """Trains once.

        Args:
          seed: decides prompts and draws, whatever the method.
          numbers: learning_rate, and any other number of the method.
          rollouts: K, a multiple of `evaluate_every`.
          evaluate_every: so many rollouts, and before the first.
          curve: false to evaluate after the last rollout alone, which is all that a search looks
            at.

        Returns:
          Its metrics, evaluations and parameters.
        """
        traced = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
        state = init_state(self.policy.params, make_optimizer(0.0), seed)
        rows = order.draw_epoch_identifiers(seed, 0, rollouts * PROMPTS, POOL).reshape(
            rollouts, PROMPTS
        )

        # Train a block of rollouts at a time, and evaluate after each.
        metrics, counts = [], {0: self._evaluate(state.params)} if curve else {}
        for first in range(0, rollouts, evaluate_every):
            made = first + evaluate_every
            state, found = self._block(state, traced, jnp.asarray(rows[first:made]))
            metrics.append(jax.device_get(found))
            if curve or made == rollouts:
                counts[made] = self._evaluate(state.params)

        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *metrics)
        right = np.stack(list(counts.values())).astype(np.uint8)
        return TrainingCurve(
            metrics=joined,
            evaluated=np.array(list(counts)),
            counts=right,
            params=jax.device_get(state.params),
        )

    def _scan_rollouts(self, state: TrainState, numbers: Numbers, rows: jax.Array):
        """Makes a block of rollouts with their updates: (state, metrics [K])."""
        return jax.lax.scan(functools.partial(self._learn_step, numbers), state, rows)

    def _learn_step(self, numbers: Numbers, state: TrainState, rows: jax.Array):
        prompts, references = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], self.pool)
        trajectories, truncated = self.sample_completions(
            state.params, prompts, stream_key(state.key, state.step, Stream.ROLLOUT)
        )
        return self.learn_from_completions(
            state,
            numbers,
            trajectories=trajectories,
            truncated=truncated,
            rewards=self.grade_completions(trajectories, truncated, references),
        )

    def sample_completions(self, params, prompts: Prompts, key: jax.Array):
        """Samples completions: (trajectories, truncated [B])."""
        out = generate(
            self.policy.graph,
            params,
            prompts,
            key,
            samples=SAMPLES,
            max_new_tokens=self.task.max_new_tokens,
            stop_tokens=self.policy.stop_tokens,
        )
        return make_trajectories(prompts, out, samples=SAMPLES), out.truncated

    def grade_completions(
        self, trajectories: Trajectories, truncated: jax.Array, reference_answers: jax.Array
    ) -> jax.Array:
        """Grades completions, [N, G] float32: 1 or 0."""
        graded = toy_tasks.grade_completions(
            tokens=trajectories.tokens,
            action=trajectories.action,
            truncated=truncated,
            reference_answers=jnp.repeat(reference_answers, SAMPLES, axis=0),
            equals_token=self.equals_token,
        )
        return graded.reshape(-1, SAMPLES)

    def learn_from_completions(
        self,
        state: TrainState,
        numbers: Numbers,
        *,
        trajectories: Trajectories,
        truncated: jax.Array,
        rewards: jax.Array,
    ):
        """Learns from a rollout: (state, metrics)."""
        stats = self.scorer.score(state.params, trajectories)
        rollout = Rollout(
            trajectories=trajectories,
            stats=stats,
            entropy=masked_mean(stats.entropy, trajectories.action),
            reference_logprob=self._score_reference(trajectories),
        )
        grades = Grades(rewards=rewards, right=rewards == 1, kept=jnp.ones(rewards.shape, bool))
        state, output = learn(
            state, rollout, grades, self.scorer, learner=self._make_learner(numbers)
        )
        metrics = _rollout_metrics(trajectories, truncated, rewards, output)
        return state, output.metrics | metrics | _update_metrics(output)

    def _score_reference(self, trajectories: Trajectories) -> jax.Array | None:
        """Scores a rollout under the base policy where the method has a KL term, [B, T] nats."""
        if not self.method.needs_reference:
            return None
        return self.scorer.score(self.policy.params, trajectories).logprob

    def _make_learner(self, numbers: Numbers) -> Learner:
        """Returns the learner at the numbers of a run, which may be traced."""
        own = {name: value for name, value in numbers.items() if name != "learning_rate"}
        method = self.method.with_hyperparameters(**own)
        return Learner(
            method=method,
            optimizer=make_optimizer(numbers["learning_rate"]),
            max_new_tokens=self.task.max_new_tokens,
            plan_updates=functools.partial(plan_updates, pack=method.pack),
            preconditioner=functools.partial(
                adam_preconditioner, b2=ADAM["b2"], epsilon=ADAM["eps"]
            ),
        )

    def _count_right(self, params) -> jax.Array:
        """Counts right completions on each problem of the eval set, [M]; the draws are the same."""
        key = jax.random.key(2**20)
        trajectories, truncated = self.sample_completions(params, self.eval_set.prompts, key)
        return self.grade_completions(trajectories, truncated, self.eval_set.reference_answers).sum(
            axis=1
        )


def plan_updates(state: TrainState, kept: jax.Array, *, pack: bool) -> UpdatePlan:
    """Plans one epoch: sequences of the loss first, dealt out to the minibatches or packed.

    The stored runs fix this order and its keys; every update is made, an empty one changes nothing.
    """
    key = stream_key(state.key, state.step, Stream.MINIBATCHES)
    shuffled = put_kept_first(jax.random.permutation(key, kept.shape[0]), kept)
    rows = shuffled.reshape(UPDATES, -1) if pack else shuffled.reshape(-1, UPDATES).T
    drawn = stream_key(state.key, state.step, Stream.SELECTION)
    return UpdatePlan(
        rows=rows, keys=jnp.broadcast_to(drawn, (UPDATES,)), due=jnp.ones(UPDATES, bool)
    )


def make_optimizer(learning_rate) -> optax.GradientTransformation:
    """Returns Adam behind a clip of the global norm; the rate may be traced."""
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.scale_by_adam(**ADAM), optax.scale(-learning_rate)
    )


UPDATE_METRICS = (
    "clip/fraction",
    "kl/old_new",
    "grad_norm",
    "entropy_change/sum",
    "selected/tokens",
    "update/skipped",
)


def _update_metrics(output: LearnOutput) -> dict[str, jax.Array]:
    """Averages over a rollout's updates."""
    updates = output.updates
    return {
        name: updates[name].astype(jnp.float32).mean() for name in UPDATE_METRICS if name in updates
    }


def _rollout_metrics(
    trajectories: Trajectories, truncated, rewards, output: LearnOutput
) -> dict[str, jax.Array]:
    weighted, mask = output.weighted, output.weighted.loss_mask
    raised, lowered = weighted.advantages > 0, weighted.advantages < 0
    expanding = weighted.polarity > 0

    def share_of_tokens(side):
        return (mask & side).sum() / jnp.maximum(mask.sum(), 1)

    return {
        "reward/mean": rewards.mean(),
        "reward/all_right": (rewards.min(axis=1) == 1).mean(),
        "reward/all_wrong": (rewards.max(axis=1) == 0).mean(),
        "length/mean": trajectories.action.sum(axis=1).mean(),
        "length/truncated": truncated.mean(),
        "share/raised": share_of_tokens(raised),
        "share/raised_expanding": share_of_tokens(raised & expanding),
        "share/lowered_expanding": share_of_tokens(lowered & expanding),
    }
