"""Batches that a policy is probed on, and the training that leads to the probed stages.

Shapes: B sequences, P prompt slots, T completion slots.
"""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.lab.policy_probe import PolicyProbe, StateBatch
from papo_jax.learner import parameter_polarity
from papo_jax.learner.batches import Trajectories
from papo_jax.methods.advantages import group_normalized
from papo_jax.rollout.generate import Prompts
from papo_jax.tasks.sources import arithmetic

EARLIER_SEED = 1000  # of the first batch that only Adam's moments see
EARLIER_BATCHES = 8
TEXT_PATH = pathlib.Path(__file__).parents[1] / "text.txt"


def sample_arithmetic(
    probe: PolicyProbe, seed: int, *, prompts: int, difficulty: int = 3
) -> StateBatch:
    """Samples the policy's own completions of arithmetic, with group-normalized advantages.

    Args:
      probe: of the policy.
      seed: of problems and draws.
      prompts: how many.
      difficulty: operations of a problem.

    Returns:
      prompts x samples sequences.
    """
    problems = [
        arithmetic.generate_problem(5, "train", seed * prompts + n, difficulty=difficulty)
        for n in range(prompts)
    ]
    encoded = probe.policy.tokenizer(
        [problem.prompt for problem in problems],
        padding="max_length",
        max_length=14,
        return_tensors="np",
    )
    tokens, valid = encoded["input_ids"].astype(np.int32), encoded["attention_mask"].astype(bool)
    rows, texts = probe.sample_completions(
        Prompts(tokens=tokens, valid=valid, identifiers=jnp.arange(prompts)), jax.random.key(seed)
    )

    right = [
        is_right(text, problems[n // probe.samples].references[0]) for n, text in enumerate(texts)
    ]
    rewards = jnp.asarray(right, jnp.float32).reshape(prompts, -1)
    advantages = group_normalized(rewards).reshape(-1, 1)
    return StateBatch(rows, jnp.broadcast_to(advantages, rows.action.shape))


def is_right(completion: str, reference_answer: str) -> bool:
    """Compares numbers, since the base policies write three digits.

    >>> is_right("12+21=033", "33"), is_right("", "0"), is_right("3=", "0")
    (True, False, False)
    """
    answer = completion.split("=")[-1]
    return answer.isdigit() and int(answer) == int(reference_answer)


def warm_adam_state(probe: PolicyProbe, make_batch: Callable[[int], StateBatch], seed: int):
    """Warms up Adam's moments on eight earlier batches at the same parameters.

    Args:
      probe: of the policy.
      make_batch: seed -> batch.
      seed: of the probed batch, which the earlier ones depend on.

    Returns:
      (Adam's state, its preconditioner: the diagonal of M).
    """
    adam = optax.scale_by_adam()
    state = adam.init(probe.params)
    for earlier in range(EARLIER_BATCHES):
        batch = make_batch(EARLIER_SEED + EARLIER_BATCHES * seed + earlier)
        _, state = adam.update(probe.policy_gradient(batch), state)
    return state, parameter_polarity.adam_preconditioner(state, b2=0.999, epsilon=1e-8)


def train_probe(probe: PolicyProbe, steps: int, *, prompts: int, difficulty: int = 3) -> None:
    """Trains the probed parameters: Adam at 1e-4, a clip of 1, fresh completions at every step.

    The probe keeps its step and moments, so stages that are asked for one after another are those
    of one run.

    Args:
      probe: whose `params` are trained.
      steps: to reach, those of earlier calls included.
      prompts: of a step.
      difficulty: operations of a problem.
    """
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-4))
    step, state = probe.training_state or (0, optimizer.init(probe.params))
    for number in range(step, steps):
        batch = sample_arithmetic(probe, 5000 + number, prompts=prompts, difficulty=difficulty)
        updates, state = optimizer.update(probe.policy_gradient(batch), state)
        probe.params = optax.apply_updates(probe.params, updates)
    probe.training_state = steps, state


def make_text_batch(probe: PolicyProbe, seed: int, *, prompts: int) -> StateBatch:
    """Cuts a stored text into sequences with an advantage of +1 or -1 each.

    So these are tokens that the policy did not sample. The text is this repository's pages as they
    once were, in pieces of 48 tokens in one random order. A seed has its own pieces; those of
    Adam's earlier batches (`warm_adam_state`), the same for every seed, are others.

    Args:
      probe: of the policy.
      seed: of the pieces and signs.
      prompts: B, pieces.

    Returns:
      B sequences with P = 8 and T = 40.
    """
    ids = np.array(probe.policy.tokenizer(TEXT_PATH.read_text())["input_ids"], np.int32)
    pieces = np.random.default_rng(0).permutation(ids[: len(ids) // 48 * 48].reshape(-1, 48))
    batches = pieces[: len(pieces) // prompts * prompts].reshape(-1, prompts, 48)
    chosen = batches[seed if seed < EARLIER_SEED else -1 - seed % EARLIER_BATCHES]

    tokens, everywhere = jnp.asarray(chosen), jnp.ones(chosen.shape, bool)
    rows = Trajectories(
        prompt_tokens=tokens[:, :8],
        prompt_valid=everywhere[:, :8],
        tokens=tokens[:, 8:],
        valid=everywhere[:, 8:],
        action=everywhere[:, 8:],
    )
    signs = np.random.default_rng(seed).permutation(np.resize([-1.0, 1.0], prompts))
    signs = jnp.broadcast_to(signs.astype(np.float32)[:, None], (prompts, 40))
    return StateBatch(rows, signs)
