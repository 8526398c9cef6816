"""Base policies of the toy tasks: 0.1 million parameters after a short supervised warm start.

    python -m experiments.studies.lab.base_policies sums chains

They are stopped early on purpose. `experiments/studies/policies/NAME` is a Hugging Face directory,
so that `run.py` can train it too.

Shapes: B demonstrations, P prompt slots, T completion slots.
"""

import pathlib
import sys
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.lab import toy_tasks
from papo_jax import models
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import TrainState, init_state
from papo_jax.learner.supervised import update_on_demonstrations
from papo_jax.models import Policy, export, initialize
from papo_jax.models.model_config import ModelConfig
from papo_jax.rollout.generate import generate

DIRECTORY = pathlib.Path(__file__).parents[1] / "policies"
# (steps, share of demonstrations that are worked out), stage by stage.
STAGES = {"sums": ((1000, 0.0),), "chains": ((5000, 0.7), (100, 0.05))}
BATCH, LEARNING_RATE = 256, 3e-3


def model_config(vocabulary_size: int) -> ModelConfig:
    """Returns a model of about 0.1 million parameters, with the block of Qwen3."""
    return ModelConfig(
        architecture="qwen3",
        vocabulary_size=vocabulary_size,
        width=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=16,
        mlp_width=192,
        tied=True,
        qk_norm=True,
        max_positions=64,
    )


def encode_demonstrations(
    task: toy_tasks.ToyTask, tokenizer, count: int, worked_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes demonstrations: prompts padded on the left, completions on the right.

    Args:
      task: of `toy_tasks.TOY_TASKS`.
      tokenizer: of the toy tasks.
      count: B.
      worked_share: probability that a demonstration is worked out.

    Returns:
      (tokens [B, P + T] int32, valid [B, P + T] boolean).
    """
    tokens = np.zeros((count, task.prompt_slots + task.max_new_tokens), np.int32)
    valid = np.zeros(tokens.shape, bool)
    for row in range(count):
        prompt, completion = toy_tasks.make_demonstration(task, row, worked_share)
        ids = tokenizer.encode(prompt) + tokenizer.encode(completion) + [tokenizer.eos_token_id]
        start = task.prompt_slots - len(prompt)
        tokens[row, start : start + len(ids)], valid[row, start : start + len(ids)] = ids, True
    return tokens, valid


def make_base_policy(
    task: toy_tasks.ToyTask, stages: tuple[tuple[int, float], ...], *, seed: int = 0
) -> Policy:
    """Trains a base policy on demonstrations, stage by stage.

    Args:
      task: of `toy_tasks.TOY_TASKS`.
      stages: (steps, share of worked demonstrations); the learning rate falls to a tenth in each.
      seed: of the initialization and of the batches.

    Returns:
      The policy after the last stage.
    """
    tokenizer = toy_tasks.make_tokenizer()
    config = model_config(len(tokenizer))
    graph, params = initialize(config, jax.random.key(seed))
    for number, (steps, share) in enumerate(stages):
        tokens, valid = encode_demonstrations(task, tokenizer, 2**16, share)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed + 1), number), steps)
        params = train_supervised(graph, params, tokens, valid, keys=keys, start=task.prompt_slots)
    stop_token = cast(int, tokenizer.eos_token_id)
    return Policy(
        config=config, graph=graph, params=params, tokenizer=tokenizer, stop_tokens=(stop_token,)
    )


def train_supervised(
    graph, params, tokens: np.ndarray, valid: np.ndarray, *, keys: jax.Array, start: int
):
    """Maximizes the demonstrations' log-probability, a step for each key.

    Args:
      graph: of the policy.
      params: to start from.
      tokens: [B, P + T].
      valid: [B, P + T] boolean.
      keys: each draws the batch of its step.
      start: P, the slot where completions begin.

    Returns:
      The parameters after the last step.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, 50, len(keys), 0.1 * LEARNING_RATE
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01)
    )
    all_tokens, all_valid = jnp.asarray(tokens), jnp.asarray(valid)
    scorer = PolicyScorer(graph)

    def update(state: TrainState, key: jax.Array):
        rows = jax.random.randint(key, (BATCH,), 0, all_tokens.shape[0])
        state, _ = update_on_demonstrations(
            state,
            all_tokens[rows],
            all_valid[rows],
            scorer,
            optimizer=optimizer,
            prompt_slots=start,
        )
        return state, None

    state = init_state(params, optimizer, seed=0)
    return jax.jit(lambda state: jax.lax.scan(update, state, keys)[0].params)(state)


def load_policy(name: str) -> Policy:
    """Loads the base policy of a toy task, or a policy that `models` knows by its name."""
    return models.load(str(DIRECTORY / name) if name in toy_tasks.TOY_TASKS else name)


def measure_policy(
    policy: Policy, task: toy_tasks.ToyTask, *, count: int = 256, samples: int = 16
) -> dict[str, float]:
    """Measures a policy on held-out problems at temperature 1.

    Args:
      policy: with the tokenizer of the toy tasks.
      task: of `toy_tasks.TOY_TASKS`.
      count: problems.
      samples: completions of each problem.

    Returns:
      avg@k, pass@k, the share of completions that are worked out, and the share of right ones
      among those that are and among those that are not.
    """
    problems = toy_tasks.make_problems(task, "held_out", count)
    completions = jax.jit(
        lambda params: generate(
            policy.graph,
            params,
            problems.prompts,
            jax.random.key(0),
            samples=samples,
            max_new_tokens=task.max_new_tokens,
            stop_tokens=policy.stop_tokens,
        )
    )(policy.params)

    equals_token = policy.tokenizer.convert_tokens_to_ids("=")
    worked = np.asarray((completions.tokens == equals_token).any(axis=1))
    right = np.asarray(
        toy_tasks.grade_completions(
            tokens=completions.tokens,
            action=completions.action,
            truncated=completions.truncated,
            reference_answers=jnp.repeat(problems.reference_answers, samples, 0),
            equals_token=equals_token,
        )
    )
    return {
        f"avg@{samples}": right.mean(),
        f"pass@{samples}": right.reshape(count, samples).any(axis=1).mean(),
        "worked": worked.mean(),
        "right if worked": right[worked].mean() if worked.any() else 0.0,
        "right if direct": right[~worked].mean(),
    }


def main(names: list[str]) -> None:
    """Makes, measures and stores the base policies of the named toy tasks."""
    for name in names:
        task = toy_tasks.TOY_TASKS[name]
        policy = make_base_policy(task, STAGES[name])
        figures = measure_policy(policy, task)
        print(name, *(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)
        export(policy, DIRECTORY / name, dtype="bfloat16")


if __name__ == "__main__":
    main(sys.argv[1:])
