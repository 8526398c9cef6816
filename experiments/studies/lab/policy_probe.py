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
from papo_jax.learner.batches import Trajectories, UpdateBatch, make_trajectories
from papo_jax.learner.entropy_change import measure_entropy_change
from papo_jax.learner.gradients import LossFunction, compute_gradients
from papo_jax.learner.parameter_polarity import compute_unit_parameter_polarity
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.methods import phase, signals, token_random
from papo_jax.methods.method import Method
from papo_jax.methods.objectives import Objective, token_mean, unclipped_surrogate
from papo_jax.methods.token_batch import SampledTokens
from papo_jax.models import Policy
from papo_jax.rollout.generate import Prompts, generate

OTHER_SIGNALS = {
    "-A (log p + H)": "surprisal",
    "-Cov of Clip-Cov": "covariance",
    "-sign(A)": "advantage_sign",
    "-A S": "sampled",
}
POLICY_GRADIENT = Method(Objective(unclipped_surrogate, token_mean))


class StateBatch(NamedTuple):
    """Teacher-forced states: a batch of sequences with their advantages, [B, T]."""

    trajectories: Trajectories
    advantages: jax.Array


class PolicyProbe:
    """Measurements of one policy, compiled once for one shape of batch.

    Attributes:
      policy: as it was loaded.
      parts: micro-batches that a batch is cut into.
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
        self.policy, self.parts, self.samples = policy, parts, samples
        self.params: Any = policy.params
        self.training_state: tuple[int, Any] | None = None

        # The programs, each compiled at its first call.
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
        scorer = PolicyScorer(policy.graph)
        self._token_stats = jax.jit(scorer.token_stats)
        self._gradient = jax.jit(self._compute_gradient)
        self._entropy_change = jax.jit(
            lambda before, after, rows: measure_entropy_change(
                before, after, rows, self._make_scorer(rows)
            )
        )
        self._unit_parameter_polarity = jax.jit(
            lambda params, scale, rows: compute_unit_parameter_polarity(
                params, scale, rows, self._make_scorer(rows)
            )
        )

    def _make_scorer(self, rows: Trajectories) -> PolicyScorer:
        """Returns the scorer that goes through these rows in `parts` micro-batches."""
        return PolicyScorer(self.policy.graph, microbatch=rows.tokens.shape[0] // self.parts)

    def _compute_gradient(self, params, batch: UpdateBatch):
        loss = LossFunction(POLICY_GRADIENT, batch.loss_mask.shape[1], phase.init())
        scorer = self._make_scorer(batch.trajectories)
        return compute_gradients(params, batch, jax.random.key(0), scorer, loss=loss)[0]

    def sample_completions(
        self, prompts: Prompts, key: jax.Array
    ) -> tuple[Trajectories, list[str]]:
        """Samples completions: (trajectories, texts); a truncated completion's text is empty."""
        out = self._generate(self.params, prompts, key)
        tokenizer = self.policy.tokenizer
        texts = tokenizer.batch_decode(
            np.where(out.action, out.tokens, tokenizer.pad_token_id), skip_special_tokens=True
        )
        ended = ~np.asarray(out.truncated)
        texts = [text if kept else "" for text, kept in zip(texts, ended, strict=True)]
        prompts = jax.tree.map(jnp.asarray, prompts)
        return make_trajectories(prompts, out, samples=self.samples), texts

    def token_stats(self, states: StateBatch) -> TokenStats:
        """Computes token statistics of every slot, [B, T]."""
        return self._token_stats(self.params, states.trajectories)

    def policy_gradient(self, states: StateBatch):
        """Computes the gradient of -1/N sum A log p(y) over the batch's N tokens."""
        rows = states.trajectories
        stats = self._token_stats(self.params, rows)
        count = rows.action.shape[0]
        batch = UpdateBatch(
            trajectories=rows,
            old_logprob=stats.logprob,
            reference_logprob=stats.logprob,
            weighted_advantages=states.advantages,
            loss_mask=rows.action,
            polarity=jnp.zeros_like(states.advantages),
            sequences=jnp.arange(count),
            accuracy=jnp.zeros(count),
        )
        return self._gradient(self.params, batch)

    def entropy_change(self, update, states: StateBatch) -> tuple[np.ndarray, np.ndarray]:
        """Returns every state's (directional, realized) entropy change under a step, [n], nats."""
        after = optax.apply_updates(self.params, update)
        change = self._entropy_change(self.params, after, states.trajectories)
        mask = np.asarray(states.trajectories.action)
        return np.asarray(change.directional)[mask], np.asarray(change.realized)[mask]

    def mean_entropy(self, update, states: StateBatch) -> float:
        """Returns the mean entropy of the states after a step, nats.

        Summed in float64, since differences of it are small.
        """
        stats = self._token_stats(optax.apply_updates(self.params, update), states.trajectories)
        mask = np.asarray(states.trajectories.action)
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
        tokens = self._sampled_tokens(states)
        tokens = tokens._replace(
            unit_parameter_polarity=self._unit_parameter_polarity(self.params, preconditioner, rows)
        )
        advantages, stats, polarity = tokens.advantages, tokens.stats, tokens.polarity

        # STEER's Omega at p / p_old = 1.
        omega = advantages * (1.0 - jnp.exp(stats.logprob)) * (stats.logprob + stats.entropy)

        by_name = {
            "polarity P": polarity,
            "P over equal states": jnp.asarray(sum_over_equal_states(rows, np.asarray(polarity))),
            "parameter polarity": signals.parameter_polarity(tokens),
            **{
                name: signals.SIGNALS[signal].compute(tokens)
                for name, signal in OTHER_SIGNALS.items()
            },
            "-Omega of STEER": -omega,
            "-A log p": -advantages * stats.logprob,
            "H": stats.entropy,
        }
        return {
            name: np.asarray(values)[np.asarray(rows.action)] for name, values in by_name.items()
        }

    def permute_within_strata(
        self, states: StateBatch, values: jax.Array, control: str, draw: int
    ) -> jax.Array:
        """Permutes values [B, T] within the strata of a random control.

        Args:
          states: B sequences.
          values: [B, T].
          control: a random signal's name in `methods.signals.SIGNALS`.
          draw: number of the permutation.

        Returns:
          [B, T].
        """
        stratify = signals.SIGNALS[control].stratify
        assert stratify is not None, f"{control} is no random control"
        tokens = self._sampled_tokens(states)
        return token_random.permute_within_strata(
            values,
            tokens.mask,
            jax.random.key(draw),
            sequences=jnp.arange(tokens.mask.shape[0]),
            strata=stratify(tokens),
        )

    def _sampled_tokens(self, states: StateBatch) -> SampledTokens:
        """Returns the tokens as signals see them."""
        rows = states.trajectories
        stats = self._token_stats(self.params, rows)
        advantages = jnp.where(rows.action, states.advantages, 0.0)
        polarity = signals.banded_polarity(stats, advantages, rows.action)
        return SampledTokens(stats, advantages, rows.action, polarity=polarity)


def sum_over_equal_states(rows: Trajectories, values: np.ndarray) -> np.ndarray:
    """Sums values over the tokens whose states are equal: same prompt, same tokens before.

    Args:
      rows: B sequences.
      values: [B, T].

    Returns:
      [B, T] the sum over the batch's tokens at the same state.
    """
    tokens, mask = np.asarray(rows.tokens), np.asarray(rows.action)
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
