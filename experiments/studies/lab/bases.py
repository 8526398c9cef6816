"""Makes the base policies that the studies start from: 0.1 million parameters, a short supervised
warm start.

    python -m experiments.studies.lab.bases sums chains

They are stopped early on purpose. `experiments/studies/policies/NAME` is a Hugging Face directory,
so that `run.py` can train it too.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.studies.lab import worlds
from kernels.token_stats import reference
from papo_jax import models
from papo_jax.models import Policy, export, initialize
from papo_jax.models.model_config import ModelConfig
from papo_jax.polarity import masked_mean
from papo_jax.rollout.generate import generate

HOME = pathlib.Path(__file__).parents[1] / "policies"
STAGES = {
    "sums": ((1000, 0.0),),
    "chains": ((5000, 0.7), (100, 0.05)),
}  # (steps, share of worked answers), in turn
BATCH, LEARNING_RATE = 256, 3e-3


def model_config(vocabulary_size: int) -> ModelConfig:
    """About 0.1 million parameters, with the block of Qwen3."""
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


def demonstrations(
    world: worlds.World, tokenizer, count: int, worked_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (tokens [count, P + T], valid): prompts padded on the left, completions on the
    right."""
    tokens = np.zeros((count, world.slots + world.limit), np.int32)
    valid = np.zeros(tokens.shape, bool)
    for row in range(count):
        prompt, text = worlds.demonstration(world, row, worked_share)
        ids = tokenizer.encode(prompt) + tokenizer.encode(text) + [tokenizer.eos_token_id]
        start = world.slots - len(prompt)
        tokens[row, start : start + len(ids)], valid[row, start : start + len(ids)] = ids, True
    return tokens, valid


def make(world: worlds.World, stages: tuple[tuple[int, float], ...], *, seed: int = 0) -> Policy:
    """Trains a base policy on demonstrations, stage by stage; the learning rate falls to a tenth in
    each."""
    tokenizer = worlds.tokenizer()
    config = model_config(len(tokenizer))
    graph, params = initialize(config, jax.random.key(seed))
    for number, (steps, share) in enumerate(stages):
        tokens, valid = demonstrations(world, tokenizer, 2**16, share)
        key = jax.random.fold_in(jax.random.key(seed + 1), number)
        params = learn(
            graph, params, tokens, valid, jax.random.split(key, steps), start=world.slots
        )
    return Policy(config, graph, params, tokenizer, (tokenizer.eos_token_id,))


def learn(graph, params, tokens: np.ndarray, valid: np.ndarray, keys: jax.Array, *, start: int):
    """Follows the demonstrations' log-probability for a step a key; completions begin at slot
    `start`."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, 50, len(keys), 0.1 * LEARNING_RATE
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01)
    )
    tokens, valid = jnp.asarray(tokens), jnp.asarray(valid)

    def loss(params, tokens, valid):
        model = nnx.merge(graph, params)
        hidden = model.compute_hidden_states(tokens, valid)[:, start - 1 : -1]
        stats = reference.linear_token_stats(hidden, model.unembedding_matrix(), tokens[:, start:])
        return -masked_mean(stats.logprob, valid[:, start:])

    def update(carry, key):
        params, opt_state = carry
        rows = jax.random.randint(key, (BATCH,), 0, tokens.shape[0])
        updates, opt_state = optimizer.update(
            jax.grad(loss)(params, tokens[rows], valid[rows]), opt_state, params
        )
        return (optax.apply_updates(params, updates), opt_state), None

    return jax.jit(
        lambda params: jax.lax.scan(update, (params, optimizer.init(params)), keys)[0][0]
    )(params)


def load(name: str) -> Policy:
    """Loads the base policy of a world, or a policy that `models` knows by its name."""
    return models.load(str(HOME / name) if name in worlds.WORLDS else name)


def measured(
    policy: Policy, world: worlds.World, *, count: int = 256, samples: int = 16
) -> dict[str, float]:
    """Samples the held-out problems: avg@k, pass@k, and the share of answers that are worked
    out."""
    panel = worlds.problems(world, "held_out", count)
    options = dict(samples=samples, max_new_tokens=world.limit, stop_tokens=policy.stop_tokens)
    out = jax.jit(
        lambda params: generate(policy.graph, params, panel.prompts, jax.random.key(0), **options)
    )(policy.params)
    equals = policy.tokenizer.convert_tokens_to_ids("=")
    right = np.asarray(
        worlds.right(
            out.tokens, out.mask, out.truncated, jnp.repeat(panel.answers, samples, 0), equals
        )
    )
    worked = np.asarray((out.tokens == equals).any(axis=1))
    return {
        f"avg@{samples}": right.mean(),
        f"pass@{samples}": right.reshape(count, samples).any(axis=1).mean(),
        "worked": worked.mean(),
        "right if worked": right[worked].mean() if worked.any() else 0.0,
        "right if direct": right[~worked].mean(),
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        made = make(worlds.WORLDS[name], STAGES[name])
        print(
            name,
            *(f"{key} {value:.3f}" for key, value in measured(made, worlds.WORLDS[name]).items()),
            flush=True,
        )
        export(made, HOME / name, dtype="bfloat16")
