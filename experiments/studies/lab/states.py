"""Teacher-forced states of a policy: signals of every token, one optimizer step, and what it did to
every entropy.

Shapes: B sequences, T completion slots; everything that is returned is flat over generated tokens,
[n].
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kernels.token_stats import TokenStats
from papo_jax.learner import entropy_change, parameter_polarity
from papo_jax.learner.gradients import accumulate
from papo_jax.learner.trajectories import Batch, Trajectories, statistics
from papo_jax.methods import advantages as estimators
from papo_jax.methods import draws, phase, presets, signals
from papo_jax.models import Policy
from papo_jax.rollout.generate import Prompts, generate
from papo_jax.tasks.sources import arithmetic

RIVALS = {
    "-A (log p + H)": "surprisal",
    "-Cov of Clip-Cov": "covariance",
    "-sign(A)": "advantage_sign",
    "-A S": "sampled",
}
EARLIER, BATCHES = 1000, 8  # of Adam's earlier batches: the first one's seed, and how many they are
TEXT = pathlib.Path(__file__).parents[1] / "text.txt"
_MEAN = presets.get("opefo")["objective"]  # the plain policy gradient, a mean over tokens


class States(NamedTuple):
    """A batch of sequences with their advantages, [B, T]."""

    trajectories: Trajectories
    advantages: jax.Array


class Laboratory:
    """One policy's programs, compiled once for one shape of batch; `params` may be set to other
    ones."""

    def __init__(self, policy: Policy, *, parts: int, samples: int = 1, max_new_tokens: int = 1):
        temperature = 1.0
        options = dict(graph=policy.graph, temperature=temperature)
        self.policy, self.params, self.samples = policy, policy.params, samples
        self.trained = None  # (steps, optimizer's state) of `train`
        self._draw = jax.jit(
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
        self._statistics = jax.jit(
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
        self._change = jax.jit(
            lambda before, after, rows: entropy_change.entropy_change(
                before, after, rows, parts=parts, **options
            )
        )
        self._parameter = jax.jit(
            lambda params, scale, rows: parameter_polarity.unit_parameter(
                params, scale, rows, parts=parts, **options
            )
        )

    def draw(self, prompts: Prompts, key: jax.Array) -> tuple[Trajectories, list[str]]:
        """Samples completions: (trajectories, texts); the text of an answer that did not end is
        empty."""
        out = self._draw(self.params, prompts, key)
        tokenizer = self.policy.tokenizer
        texts = tokenizer.batch_decode(
            np.where(out.mask, out.tokens, tokenizer.pad_token_id), skip_special_tokens=True
        )
        repeated = (
            jnp.repeat(jnp.asarray(array), self.samples, axis=0)
            for array in (prompts.tokens, prompts.valid)
        )
        texts = [
            text if ended else ""
            for text, ended in zip(texts, ~np.asarray(out.truncated), strict=True)
        ]
        return Trajectories(*repeated, out.tokens, out.mask), texts

    def statistics(self, states: States) -> TokenStats:
        """Token statistics of every slot, [B, T]."""
        return self._statistics(self.params, states.trajectories)

    def gradient(self, states: States):
        """The gradient of -1/N sum A log p(y) over the batch's N tokens."""
        rows = states.trajectories
        stats = self._statistics(self.params, rows)
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

    def change(self, update, states: States) -> tuple[np.ndarray, np.ndarray]:
        """(directional, realized) change of every state's entropy under a step, [n]."""
        after = optax.apply_updates(self.params, update)
        change = self._change(self.params, after, states.trajectories)
        mask = np.asarray(states.trajectories.mask)
        return np.asarray(change.directional)[mask], np.asarray(change.realized)[mask]

    def mean_entropy(self, update, states: States) -> float:
        """The mean entropy of the states after a step, nats; summed in float64, since differences
        of it are small."""
        stats = self._statistics(optax.apply_updates(self.params, update), states.trajectories)
        return float(
            np.asarray(stats.entropy, np.float64)[np.asarray(states.trajectories.mask)].mean()
        )

    def signals(self, states: States, preconditioner=None) -> dict[str, np.ndarray]:
        """Every signal's prediction for the sampled token's state, name -> [n]."""
        rows, advantages = (
            states.trajectories,
            jnp.where(states.trajectories.mask, states.advantages, 0.0),
        )
        stats, mask = self._statistics(self.params, rows), rows.mask
        polarity = signals.polarity(stats, advantages, mask)
        unit = self._parameter(self.params, preconditioner, rows)
        omega = (
            advantages * (1.0 - jnp.exp(stats.logprob)) * (stats.logprob + stats.entropy)
        )  # p / p_old = 1
        found = {
            "polarity P": polarity,
            "P over equal states": jnp.asarray(aggregated(rows, np.asarray(polarity))),
            "parameter polarity": signals.parameter(stats, advantages, mask, unit_parameter=unit),
            **{
                name: signals.SIGNALS[signal](stats, advantages, mask)
                for name, signal in RIVALS.items()
            },
            "-Omega of STEER": -omega,
            "-A log p": -advantages * stats.logprob,
            "H": stats.entropy,
        }
        return {name: np.asarray(values)[np.asarray(mask)] for name, values in found.items()}

    def permuted(self, states: States, values: jax.Array, control: str, draw: int) -> jax.Array:
        """Values [B, T] permuted within the strata of a random control
        (`methods.signals.strata`)."""
        mask, stats = states.trajectories.mask, self._statistics(self.params, states.trajectories)
        advantages = jnp.where(mask, states.advantages, 0.0)
        strata = signals.strata(
            control, signals.polarity(stats, advantages, mask), stats, advantages, mask
        )
        return draws.permuted(values, mask, jax.random.key(draw), jnp.arange(mask.shape[0]), strata)


def own_answers(laboratory: Laboratory, seed: int, *, prompts: int, difficulty: int = 3) -> States:
    """The policy's own answers to arithmetic, with their group-normalized advantages."""
    problems = [
        arithmetic.generate_problem(5, "train", seed * prompts + n, difficulty=difficulty)
        for n in range(prompts)
    ]
    asked = [problem.prompt for problem in problems]
    encoded = laboratory.policy.tokenizer(
        asked, padding="max_length", max_length=14, return_tensors="np"
    )
    tokens, valid = encoded["input_ids"].astype(np.int32), encoded["attention_mask"].astype(bool)
    rows, texts = laboratory.draw(Prompts(tokens, valid, np.arange(prompts)), jax.random.key(seed))
    right = [
        is_right(text, problems[n // laboratory.samples].answer) for n, text in enumerate(texts)
    ]
    rewards = jnp.asarray(right, jnp.float32).reshape(prompts, -1)
    return States(
        rows, jnp.broadcast_to(estimators.group_normalized(rewards).reshape(-1, 1), rows.mask.shape)
    )


def is_right(text: str, answer: str) -> bool:
    """Compares numbers, since the worlds' policies write three digits.

    >>> is_right("12+21=033", "33"), is_right("", "0"), is_right("3=", "0")
    (True, False, False)
    """
    written = text.split("=")[-1]
    return written.isdigit() and int(written) == int(answer)


def adam_under_way(laboratory: Laboratory, make: Callable[[int], States], seed: int):
    """Adam's state after eight earlier batches at the same parameters, and its preconditioner:
    (state, diagonal of M)."""
    adam = optax.scale_by_adam()
    state = adam.init(laboratory.params)
    for earlier in range(BATCHES):
        _, state = adam.update(laboratory.gradient(make(EARLIER + BATCHES * seed + earlier)), state)
    return state, parameter_polarity.adam_preconditioner(state, b2=0.999, epsilon=1e-8)


def train(laboratory: Laboratory, until: int, *, prompts: int, difficulty: int = 3) -> None:
    """Trains on to `until` steps in all: Adam at 1e-4, a clip of 1, fresh answers at every step.

    How far it has come, and its moments, are the laboratory's; so stages that are asked for one
    after another are those of one run.
    """
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-4))
    step, state = laboratory.trained or (0, optimizer.init(laboratory.params))
    for number in range(step, until):
        here = own_answers(laboratory, 5000 + number, prompts=prompts, difficulty=difficulty)
        updates, state = optimizer.update(laboratory.gradient(here), state)
        laboratory.params = optax.apply_updates(laboratory.params, updates)
    laboratory.trained = until, state


def real_text(laboratory: Laboratory, seed: int, *, prompts: int) -> States:
    """Pieces of a stored text with an advantage of +1 or -1 each: tokens that the policy did not
    sample.

    The text is this repository's pages as they once were, in pieces of 48 tokens in one random
    order. A seed has its own pieces; those of Adam's earlier batches (`adam_under_way`), the same
    for every seed, are others.
    """
    ids = np.array(laboratory.policy.tokenizer(TEXT.read_text())["input_ids"], np.int32)
    pieces = np.random.default_rng(0).permutation(ids[: len(ids) // 48 * 48].reshape(-1, 48))
    batches = pieces[: len(pieces) // prompts * prompts].reshape(-1, prompts, 48)
    chosen = batches[seed if seed < EARLIER else -1 - seed % BATCHES]
    everywhere = np.ones(chosen.shape, bool)
    rows = Trajectories(chosen[:, :8], everywhere[:, :8], chosen[:, 8:], everywhere[:, 8:])
    signs = (
        np.random.default_rng(seed).permutation(np.resize([-1.0, 1.0], prompts)).astype(np.float32)
    )
    return States(jax.tree.map(jnp.asarray, rows), jnp.broadcast_to(signs[:, None], (prompts, 40)))


def aggregated(rows: Trajectories, values: np.ndarray) -> np.ndarray:
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
    sums: dict[bytes, float] = {}
    keys = {}
    for b, t in zip(*np.nonzero(mask), strict=True):
        keys[b, t] = prompts[b] + b"|" + bytes(tokens[b, :t])
        sums[keys[b, t]] = sums.get(keys[b, t], 0.0) + float(values[b, t])
    out = np.zeros(values.shape, np.float32)
    for place, key in keys.items():
        out[place] = sums[key]
    return out
