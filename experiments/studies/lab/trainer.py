"""Training in a small world: rollout, grading and updates in one jitted program, scanned over many
steps.

It is made of the trainer's own parts: `generate`, `weigh`, `update`; only grading is on the device
(`toy_tasks.grade_completions`), and the optimizer's rate and any number of the method may differ
from run to run, so that a search and all its seeds share one compiled step. Adam, gradient clip 1,
no weight decay, a constant rate; `UPDATES` minibatches a rollout.

Seeds are not put under `vmap`: on two CPU cores a step of four seeds together took 1.2 times the
CPU time of four alone, and processes side by side use the cores better (`runs.make_runs`).

Shapes: N prompts, G samples, B = N G sequences, P prompt slots, T completion slots, K rollouts, M
problems of the panel.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.lab import toy_tasks
from papo_jax.learner import parameter_polarity, update, weighted_advantages
from papo_jax.learner import state as states
from papo_jax.learner.trajectories import Batch, Trajectories
from papo_jax.methods import presets
from papo_jax.models import Policy
from papo_jax.polarity import masked_mean
from papo_jax.rollout.generate import Prompts, generate
from papo_jax.tasks import order

PROMPTS, SAMPLES, UPDATES = 16, 16, 4
POOL = 4096  # problems to train on
PANEL, PANEL_SAMPLES = 256, 16
ADAM = dict(b1=0.9, b2=0.999, eps=1e-8)

Numbers = dict[str, jax.Array]  # of a method, and its learning_rate


class Course(NamedTuple):
    """What a run left behind.

    Attributes:
      metrics: name -> [K] float32, a rollout each.
      evaluated: [E] rollouts made before each evaluation.
      counts: [E, M] uint8 right answers of `PANEL_SAMPLES` on each problem of the panel.
      params: after the last step.
    """

    metrics: dict[str, np.ndarray]
    evaluated: np.ndarray
    counts: np.ndarray
    params: dict


class Trainer:
    """Trains one method in one world from one base policy; compiled once for all numbers and
    seeds."""

    def __init__(
        self,
        world: toy_tasks.ToyTask,
        policy: Policy,
        method: str,
        *,
        panel: str = "report",
        **changes,
    ):
        """Fixes what is static.

        Args:
          world: of `toy_tasks.TOY_TASKS`.
          policy: to start from.
          method: a preset's name.
          panel: "report", or "search" for other held-out problems.
          **changes: of the preset's arguments, the same for all runs.
        """
        self.world, self.policy = world, policy
        # Other draws of prompts cost samples, and a length penalty means nothing here.
        self.method = {**presets.get(method), "refills": 0, "overlong": 0.0, **changes}
        self.equals = policy.tokenizer.convert_tokens_to_ids("=")
        self.pool = toy_tasks.make_problems(world, "train", POOL)
        held_out = toy_tasks.make_problems(world, "held_out", 2 * PANEL)
        half = slice(0, PANEL) if panel == "report" else slice(PANEL, None)
        self.panel = jax.tree.map(lambda leaf: leaf[half], held_out)
        self._block = jax.jit(self._steps)
        self._evaluate = jax.jit(self._count_right)

    def run(
        self,
        seed: int,
        numbers: dict[str, float],
        *,
        rollouts: int,
        evaluate_every: int,
        curve: bool = True,
    ) -> Course:
        """Trains once.

        Args:
          seed: decides prompts and draws, whatever the method.
          numbers: learning_rate, and any other number of the method.
          rollouts: K, a multiple of `evaluate_every`.
          evaluate_every: so many rollouts, and before the first.
          curve: false to evaluate after the last rollout alone, which is all that a search looks
            at.

        Returns:
          `Course`.
        """
        numbers = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
        state = _start(self.policy.params, seed)
        rows = order.draw_epoch_identifiers(seed, 0, rollouts * PROMPTS, POOL).reshape(
            rollouts, PROMPTS
        )
        metrics, counts = [], {0: self._evaluate(state.params)} if curve else {}
        for first in range(0, rollouts, evaluate_every):
            made = first + evaluate_every
            state, found = self._block(state, numbers, jnp.asarray(rows[first:made]))
            metrics.append(jax.device_get(found))
            if curve or made == rollouts:
                counts[made] = self._evaluate(state.params)
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *metrics)
        right = np.stack(list(counts.values())).astype(np.uint8)
        return Course(joined, np.array(list(counts)), right, jax.device_get(state.params))

    def _steps(self, state: states.TrainState, numbers: Numbers, rows: jax.Array):
        """A block of rollouts with their updates: (state, metrics [K])."""
        return jax.lax.scan(functools.partial(self._step, numbers), state, rows)

    def _step(self, numbers: Numbers, state: states.TrainState, rows: jax.Array):
        prompts, answers = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], self.pool)
        rollout = self.draw(
            state.params, prompts, states.stream_key(state.key, state.step, states.Stream.ROLLOUT)
        )
        return self.learn(state, numbers, *rollout, self.rewards(*rollout, answers))

    def draw(self, params, prompts: Prompts, key: jax.Array):
        """Samples: (trajectories, truncated [B])."""
        out = generate(
            self.policy.graph,
            params,
            prompts,
            key,
            samples=SAMPLES,
            max_new_tokens=self.world.max_new_tokens,
            stop_tokens=self.policy.stop_tokens,
        )
        repeated = (jnp.repeat(leaf, SAMPLES, axis=0) for leaf in (prompts.tokens, prompts.valid))
        return Trajectories(*repeated, out.tokens, out.mask), out.truncated

    def rewards(
        self, trajectories: Trajectories, truncated: jax.Array, answers: jax.Array
    ) -> jax.Array:
        """Judges: [N, G]."""
        asked = jnp.repeat(answers, SAMPLES, axis=0)
        graded = toy_tasks.grade_completions(
            tokens=trajectories.tokens,
            mask=trajectories.mask,
            truncated=truncated,
            reference_answers=asked,
            equals_token=self.equals,
        )
        return graded.reshape(-1, SAMPLES)

    def learn(
        self,
        state: states.TrainState,
        numbers: Numbers,
        trajectories: Trajectories,
        truncated,
        rewards: jax.Array,
    ):
        """Weighs a rollout and makes its updates: (state, metrics)."""
        method = {**self.method, **numbers}
        options = dict(graph=self.policy.graph, temperature=1.0)
        stats = weighted_advantages.assess(state.params, trajectories, parts=1, **options)
        entropy = masked_mean(stats.entropy, trajectories.mask)
        sequences = jnp.arange(trajectories.mask.shape[0])
        key = states.stream_key(state.key, state.step, states.Stream.WEIGHTS)
        weighed, metrics = weighted_advantages.weigh(
            stats,
            rewards,
            trajectories.mask,
            jnp.ones(rewards.shape, bool),
            sequences,
            entropy,
            state.phase,
            key,
            self._steering(state, trajectories),
            method=method,
            limit=self.world.max_new_tokens,
        )
        reference = stats.logprob
        if method.get("kl_coefficient"):
            reference = weighted_advantages.assess(
                self.policy.params, trajectories, parts=1, **options
            ).logprob
        batch = Batch(
            trajectories,
            stats.logprob,
            reference,
            weighed.weights * weighed.advantages,
            weighed.loss_mask,
            weighed.polarity,
            sequences,
            jnp.repeat(rewards.mean(axis=1), SAMPLES),
        )
        state, updates = self._updates(state._replace(phase=weighed.phase), batch, method)
        metrics |= _rollout_metrics(trajectories, truncated, rewards, weighed) | updates
        return state._replace(step=state.step + 1), metrics

    def _steering(self, state: states.TrainState, trajectories: Trajectories) -> jax.Array | None:
        if self.method["signal"] != "parameter":
            return None
        preconditioner = parameter_polarity.adam_preconditioner(
            state.opt_state, b2=ADAM["b2"], epsilon=ADAM["eps"]
        )
        return parameter_polarity.unit_parameter(
            state.params,
            preconditioner,
            trajectories,
            graph=self.policy.graph,
            temperature=1.0,
            parts=1,
        )

    def _updates(self, state: states.TrainState, batch: Batch, method: dict):
        """Deals the sequences out to the minibatches, those that are left out last, and updates
        once for each.

        As `training.step` does, but for sequences that all take part: it cuts their random order
          into pieces, which is as good.
        """
        key = states.stream_key(state.key, state.step, states.Stream.MINIBATCHES)
        shuffled = jax.random.permutation(key, batch.loss_mask.shape[0])
        shuffled = shuffled[jnp.argsort(~batch.loss_mask.any(axis=1)[shuffled], stable=True)]
        # Packed: one after another, so that the last ones may be empty, and then change nothing.
        rows = shuffled.reshape(UPDATES, -1) if method["pack"] else shuffled.reshape(-1, UPDATES).T
        drawn = states.stream_key(state.key, state.step, states.Stream.SELECTION)

        def one(state, rows):
            return update.update(
                state,
                jax.tree.map(lambda leaf: leaf[rows], batch),
                drawn,
                graph=self.policy.graph,
                optimizer=optimizer(method["learning_rate"]),
                method=method,
                limit=self.world.max_new_tokens,
                temperature=1.0,
                microbatches=1,
            )

        state, metrics = jax.lax.scan(one, state, rows)
        kept = (
            "clip/fraction",
            "kl/old_new",
            "grad_norm",
            "entropy_change/sum",
            "selected/tokens",
            "update/skipped",
        )
        return state, {
            name: metrics[name].astype(jnp.float32).mean() for name in kept if name in metrics
        }

    def _count_right(self, params) -> jax.Array:
        """Right answers on each problem of the panel, [M], always with the same draws."""
        key = jax.random.key(2**20)
        trajectories, truncated = self.draw(params, self.panel.prompts, key)
        return self.rewards(trajectories, truncated, self.panel.reference_answers).sum(axis=1)


def optimizer(learning_rate) -> optax.GradientTransformation:
    """Adam behind a clip of the global norm; the rate may be traced."""
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.scale_by_adam(**ADAM), optax.scale(-learning_rate)
    )


def _start(params, seed: int) -> states.TrainState:
    return states.init(params, optimizer(0.0), seed)


def _rollout_metrics(
    trajectories: Trajectories, truncated, rewards, weighed
) -> dict[str, jax.Array]:
    mask, raised = weighed.loss_mask, weighed.advantages > 0

    def sign_share(side):
        return (mask & side).sum() / jnp.maximum(mask.sum(), 1)

    return {
        "reward/mean": rewards.mean(),
        "reward/all_right": (rewards.min(axis=1) == 1).mean(),
        "reward/all_wrong": (rewards.max(axis=1) == 0).mean(),
        "length/mean": trajectories.mask.sum(axis=1).mean(),
        "length/truncated": truncated.mean(),
        "share/raised": sign_share(raised),
        "share/raised_expanding": sign_share(raised & (weighed.polarity > 0)),
        "share/lowered_expanding": sign_share((weighed.advantages < 0) & (weighed.polarity > 0)),
    }
