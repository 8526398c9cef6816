"""Makes the policy that tests start from: two layers of width 32 that get some sums right.

    python -m tests.support.make_policy --output=tests/support/policy

Training is not repeatable from machine to machine: roundings differ, and 90 steps of Adam carry them
to the third digit. So the result is stored, and every machine tests with the same weights.

It is trained on the 64 problems of the fixture `small` until about half are known by heart, so that
groups of right answers, of wrong ones and of both are drawn. Made with jax 0.10.2 on x86 with AVX-512.
"""

import argparse
import pathlib

import jax
import optax
import pytest

from experiments import pretrain
from papo_jax import models
from papo_jax.models.config import ModelConfig

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
        batch = next(pretrain.demonstrations(tokenizer, PROBLEMS, worked_share=0.0))

    optimizer = optax.adam(LEARNING_RATE)

    def update(carry, _):
        gradient = jax.grad(pretrain.loss, argnums=1)(graph, carry[0], *batch)
        updates, opt_state = optimizer.update(gradient, carry[1], carry[0])
        return (optax.apply_updates(carry[0], updates), opt_state), None

    @jax.jit
    def learn(params):
        return jax.lax.scan(update, (params, optimizer.init(params)), length=STEPS)[0][0]

    return models.Policy(config, graph, learn(params), tokenizer, (tokenizer.eos_token_id,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, help="directory to write")
    models.export(train_policy(), parser.parse_args().output)
