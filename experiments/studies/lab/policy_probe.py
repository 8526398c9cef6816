"""Probe of a policy: signals of every token, and an optimizer step's effect on every entropy.

Shapes: B sequences, T completion slots, n generated tokens; results are flat over the generated
tokens, [n], where nothing else is said.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kernels.token_stats import TokenStats
from papo_jax.learner import entropy_change, parameter_polarity
from papo_jax.learner.gradients import accumulate
from papo_jax.learner.trajectories import Batch, Trajectories, statistics
from papo_jax.methods import draws, phase, presets, signals
from papo_jax.models import Policy
from papo_jax.rollout.generate import Prompts, generate

OTHER_SIGNALS = {
    "-A (log p + H)": "surprisal",
    "-Cov of Clip-Cov": "covariance",
    "-sign(A)": "advantage_sign",
    "-A S": "sampled",
}
_MEAN = presets.get("opefo")["objective"]  # the plain policy gradient, a mean over tokens


class StateBatch(NamedTuple):
    """Teacher-forced states: a batch of sequences with their advantages, [B, T]."""

    trajectories: Trajectories
    advantages: jax.Array


class PolicyProbe:
    """Measurements of one policy, compiled once for one shape of batch.

    Attributes:
      policy: as it was loaded.
      params: the parameters that are measured; other ones may be set.
      samples: completions of each prompt.
      training_state: (steps, optimizer's state) of `probe_batches.train_probe`, None before it.
    """

    def __init__(self, policy: Policy, *, parts: int, samples: int = 1, max_new_tokens: int = 1):
        """Prepares the programs.

        Args:
          policy: to measure.
          parts: micro-batches that a batch is cut into.
          samples: completions of each prompt.
          max_new_tokens: T of sampled completions.
        """
        temperature = 1.0
        options: dict[str, Any] = dict(graph=policy.graph, temperature=temperature)
        self.policy, self.params, self.samples = policy, policy.params, samples
        self.training_state = None
        self._generate = jax.jit(
            lambda params, prompts, key: generate(
                policy.graph,
                params,
                prompts,
                key,
                samples=samples,
                max_new_tokens=max_new_tokens,
                stop_tokens=policy.stop_tokens,
            )
        )
        self._token_stats = jax.jit(
            lambda params, rows: statistics(policy.graph, params, rows, temperature=temperature)
        )
        self._gradient = jax.jit(
            lambda params, batch: accumulate(
                params,
                batch,
                jax.random.key(0),
                phase.init(),
                method=presets.get("reinforce") | {"objective": _MEAN},
                limit=batch.loss_mask.shape[1],
                microbatches=parts,
                **options,
            )[0]
        )
        self._entropy_change = jax.jit(
            lambda before, after, rows: entropy_change.entropy_change(
                before, after, rows, parts=parts, **options
            )
        )
        self._unit_parameter = jax.jit(
            lambda params, scale, rows: parameter_polarity.unit_parameter(
                params, scale, rows, parts=parts, **options
            )
        )

    def sample_completions(
        self, prompts: Prompts, key: jax.Array
    ) -> tuple[Trajectories, list[str]]:
        """Samples completions: (trajectories, texts); a truncated completion's text is empty."""
        out = self._generate(self.params, prompts, key)
        repeated = (
            jnp.repeat(jnp.asarray(array), self.samples, axis=0)
            for array in (prompts.tokens, prompts.valid)
        )

        tokenizer = self.policy.tokenizer
        texts = tokenizer.batch_decode(
            np.where(out.mask, out.tokens, tokenizer.pad_token_id), skip_special_tokens=True
        )
        ended = ~np.asarray(out.truncated)
        texts = [text if kept else "" for text, kept in zip(texts, ended, strict=True)]
        return Trajectories(*repeated, out.tokens, out.mask), texts

    def token_stats(self, states: StateBatch) -> TokenStats:
        """Computes token statistics of every slot, [B, T]."""
        return self._token_stats(self.params, states.trajectories)

    def policy_gradient(self, states: StateBatch):
        """Computes the gradient of -1/N sum A log p(y) over the batch's N tokens."""
        rows = states.trajectories
        stats = self._token_stats(self.params, rows)
        count = rows.mask.shape[0]
        numbers = jnp.arange(count), jnp.zeros(count)
        batch = Batch(
            rows,
            stats.logprob,
            stats.logprob,
            states.advantages,
            rows.mask,
            jnp.zeros_like(states.advantages),
            *numbers,
        )
        return self._gradient(self.params, batch)

    def entropy_change(self, update, states: StateBatch) -> tuple[np.ndarray, np.ndarray]:
        """Returns every state's (directional, realized) entropy change under a step, [n], nats."""
        after = optax.apply_updates(self.params, update)
        change = self._entropy_change(self.params, after, states.trajectories)
        mask = np.asarray(states.trajectories.mask)
        return np.asarray(change.directional)[mask], np.asarray(change.realized)[mask]

    def mean_entropy(self, update, states: StateBatch) -> float:
        """Returns the mean entropy of the states after a step, nats.

        Summed in float64, since differences of it are small.
        """
        stats = self._token_stats(optax.apply_updates(self.params, update), states.trajectories)
        mask = np.asarray(states.trajectories.mask)
        return float(np.asarray(stats.entropy, np.float64)[mask].mean())

    def compute_signals(self, states: StateBatch, preconditioner=None) -> dict[str, np.ndarray]:
        """Predicts with every signal the entropy change of each sampled token's state.

        Args:
          states: B sequences.
          preconditioner: diagonal of M for parameter polarity; None for SGD.

        Returns:
          name -> [n].
        """
        rows = states.trajectories
        advantages = jnp.where(rows.mask, states.advantages, 0.0)
        stats, mask = self._token_stats(self.params, rows), rows.mask

        polarity = signals.polarity(stats, advantages, mask)
        unit = self._unit_parameter(self.params, preconditioner, rows)
        # STEER's Omega at p / p_old = 1.
        omega = advantages * (1.0 - jnp.exp(stats.logprob)) * (stats.logprob + stats.entropy)
        by_name = {
            "polarity P": polarity,
            "P over equal states": jnp.asarray(sum_over_equal_states(rows, np.asarray(polarity))),
            "parameter polarity": signals.parameter(stats, advantages, mask, unit_parameter=unit),
            **{
                name: signals.SIGNALS[signal](stats, advantages, mask)
                for name, signal in OTHER_SIGNALS.items()
            },
            "-Omega of STEER": -omega,
            "-A log p": -advantages * stats.logprob,
            "H": stats.entropy,
        }
        return {name: np.asarray(values)[np.asarray(mask)] for name, values in by_name.items()}

    def permute_within_strata(
        self, states: StateBatch, values: jax.Array, control: str, draw: int
    ) -> jax.Array:
        """Permutes values [B, T] within the strata of a random control.

        Args:
          states: B sequences.
          values: [B, T].
          control: a random signal's name (`methods.signals.strata`).
          draw: number of the permutation.

        Returns:
          [B, T].
        """
        mask, stats = states.trajectories.mask, self._token_stats(self.params, states.trajectories)
        advantages = jnp.where(mask, states.advantages, 0.0)
        strata = signals.strata(
            control, signals.polarity(stats, advantages, mask), stats, advantages, mask
        )
        return draws.permuted(values, mask, jax.random.key(draw), jnp.arange(mask.shape[0]), strata)


def sum_over_equal_states(rows: Trajectories, values: np.ndarray) -> np.ndarray:
    """Sums values over the tokens whose states are equal: same prompt, same tokens before.

    Args:
      rows: B sequences.
      values: [B, T].

    Returns:
      [B, T] the sum over the batch's tokens at the same state.
    """
    tokens, mask = np.asarray(rows.tokens), np.asarray(rows.mask)
    prompts = [
        bytes(np.asarray(prompt)[valid])
        for prompt, valid in zip(rows.prompt_tokens, np.asarray(rows.prompt_valid), strict=True)
    ]

    # A state's key is its prompt and the tokens before it, as bytes.
    sums: dict[bytes, float] = {}
    keys = {}
    for b, t in zip(*np.nonzero(mask), strict=True):
        keys[b, t] = prompts[b] + b"|" + bytes(tokens[b, :t])
        sums[keys[b, t]] = sums.get(keys[b, t], 0.0) + float(values[b, t])

    out = np.zeros(values.shape, np.float32)
    for index, key in keys.items():
        out[index] = sums[key]
    return out
