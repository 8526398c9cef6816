"""Makes the policy that tests start from, and a rollout of it: `policy/` and `rollout.npz`.

    python -m tests.support.make_policy --output=tests/support

Training is not repeatable from machine to machine: roundings differ, 90 steps of Adam carry them to
the third digit, and another policy draws other answers. So both are stored, and every machine tests
with the same numbers. Those that are stored were made with jax 0.10.2 on x86 with AVX-512.

The policy has two layers of width 32. It is trained on the 64 problems of the fixture `small` until
about half are known by heart, so that it draws groups of right answers, of wrong ones and of both.
"""

import argparse
import pathlib

import jax
import numpy as np
import optax
import pytest

from experiments import pretrain
from papo_jax import models
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import init_state
from papo_jax.learner.supervised import update_on_demonstrations
from papo_jax.models.model_config import ModelConfig
from papo_jax.rollout.generate import generate
from papo_jax.rollout.prompts import PromptStore
from papo_jax.tasks.sources import arithmetic

STEPS, LEARNING_RATE = 90, 1e-2
PROBLEMS = 64


def model_config(vocabulary_size: int) -> ModelConfig:
    """About 22,000 parameters, with the block of Qwen3."""
    return ModelConfig(
        architecture="qwen3",
        vocabulary_size=vocabulary_size,
        width=32,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=8,
        mlp_width=64,
        tied=True,
        qk_norm=True,
        max_positions=64,
    )


def train_policy() -> models.Policy:
    """Follows demonstrations of direct answers with Adam, all of them at every step."""
    tokenizer = pretrain.character_tokenizer()
    config = model_config(len(tokenizer))
    graph, params = models.initialize(config, jax.random.key(0))

    # The very problems of `small`: difficulty 1, data seed 0.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "DIFFICULTIES", (1,))
        patch.setattr(pretrain, "DATA_SEED", 0)
        batch = next(pretrain.demonstration_batches(tokenizer, PROBLEMS, worked_share=0.0))

    optimizer, scorer = optax.adam(LEARNING_RATE), PolicyScorer(graph)

    def update(state, _):
        state, metrics = update_on_demonstrations(
            state, *batch, scorer, optimizer=optimizer, prompt_slots=pretrain.PROMPT_SLOTS
        )
        return state, metrics["loss"]

    state = init_state(params, optimizer, seed=0)
    state, _ = jax.jit(lambda state: jax.lax.scan(update, state, length=STEPS))(state)
    return models.Policy(
        config=config,
        graph=graph,
        params=state.params,
        tokenizer=tokenizer,
        stop_tokens=(tokenizer.eos_token_id,),
    )


def sample_rollout(policy: models.Policy) -> dict[str, np.ndarray]:
    """Draws four answers to each of four problems, at a temperature that makes them differ.

    Returns the arrays of `Trajectories` by name; `valid` is `action`.
    """
    problems = [arithmetic.generate_problem(0, "train", index, difficulty=1) for index in range(4)]
    store = PromptStore.from_problems(policy.tokenizer, problems)
    prompts = store.make_batch(range(4), multiple=8, max_slots=store.max_length)
    completions = generate(
        policy.graph,
        policy.params,
        prompts,
        jax.random.key(2),
        samples=4,
        max_new_tokens=8,
        stop_tokens=policy.stop_tokens,
        temperature=1.5,
    )
    return {
        "prompt_tokens": np.repeat(prompts.tokens, 4, axis=0),
        "prompt_valid": np.repeat(prompts.valid, 4, axis=0),
        "tokens": np.asarray(completions.tokens),
        "action": np.asarray(completions.action),
    }


def main(output: pathlib.Path) -> None:
    """Writes both."""
    policy = train_policy()
    models.export(policy, output / "policy")
    np.savez_compressed(output / "rollout.npz", **sample_rollout(policy))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder to write into")
    main(parser.parse_args().output)
