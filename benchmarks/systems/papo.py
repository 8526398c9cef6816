"""papo_jax: the programs of a training run, method `papo`."""

from collections.abc import Callable, Sequence
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import Work
from papo_jax import mesh_rules, models
from papo_jax.config import default_settings
from papo_jax.learner.batches import Grades, Rollout, Trajectories
from papo_jax.learner.state import TrainState, init_state
from papo_jax.models.model_config import ModelConfig
from papo_jax.rollout.generate import Prompts
from papo_jax.training.learner_parts import LearnerParts, build_learner


def versions() -> str:
    """Names what is measured."""
    return f"jax {metadata.version('jax')}"


def make_phases(work: Work) -> dict[str, Callable[[], None]]:
    """Makes the phases of an iteration, each a function that returns when it is done."""
    parts, state = _prepare(work)
    held = {"state": state}  # what one phase leaves for the next
    prompts, grades = _make_prompts(work), _make_grades(work)

    def sample():
        key = jax.random.fold_in(jax.random.key(0), int(held["state"].step))
        sampled = parts.programs.sample(held["state"].params, prompts, key)
        held["drawn"] = jax.block_until_ready(sampled)

    def learn():
        completions, trajectories = held["drawn"]
        stats = completions.stats
        rollout = Rollout(trajectories, stats, entropy=jnp.mean(stats.entropy))
        held["state"], output = parts.programs.learn(held["state"], rollout, grades)
        jax.block_until_ready((held["state"], output))

    # The statistics under the old policy are the sampler's.
    return {"rollout": sample, "statistics": lambda: None, "update": learn}


def make_update(work: Work, lengths: Sequence[int]) -> Callable[[], None]:
    """Makes an update on random answers of given lengths, a function that returns when done."""
    parts, state = _prepare(work)
    held, grades = {"state": state}, _make_grades(work)
    rng = np.random.default_rng(0)
    prompts = _make_prompts(work)
    shape = work.sequences, work.new_tokens
    valid = np.arange(work.new_tokens) < np.asarray(lengths)[:, None]
    tokens = np.where(valid, rng.integers(0, work.vocabulary, shape), 0).astype(np.int32)
    trajectories = Trajectories(
        prompt_tokens=np.repeat(prompts.tokens, work.samples, axis=0),
        prompt_valid=np.repeat(prompts.valid, work.samples, axis=0),
        tokens=tokens,
        valid=valid,
        action=valid,
    )
    stats = parts.programs.score(state.params, trajectories)
    rollout = Rollout(trajectories, stats, entropy=jnp.mean(stats.entropy))

    def learn():
        held["state"], output = parts.programs.learn(held["state"], rollout, grades)
        jax.block_until_ready((held["state"], output))

    return learn


def draw_lengths(work: Work) -> list[int]:
    """Draws geometric lengths of answers, a quarter of the limit in the mean."""
    drawn = np.random.default_rng(0).geometric(4 / work.new_tokens, work.sequences)
    return np.clip(drawn, 1, work.new_tokens).tolist()


def _prepare(work: Work) -> tuple[LearnerParts, TrainState]:
    settings = _make_settings(work)
    policy = _make_policy(work, settings.model.remat)
    parts = build_learner(settings, policy, mesh_rules.make_mesh(1, 1, 1))

    def make_state(params):
        return init_state(params, parts.optimizer, settings.seed)

    # On its devices as a run's is, or the second update would compile anew.
    return parts, jax.jit(make_state, out_shardings=parts.shardings)(parts.trained)


def _make_grades(work: Work) -> Grades:
    rewards = np.arange(work.sequences).reshape(work.prompts, work.samples) % 2
    return Grades(
        rewards=rewards.astype(np.float32),
        right=rewards.astype(bool),
        kept=np.ones_like(rewards, bool),
    )


def _make_settings(work: Work) -> default_settings.Settings:
    return default_settings.Settings(
        rollout=default_settings.Rollout(
            prompts=work.prompts,
            samples=work.samples,
            max_new_tokens=work.new_tokens,
            temperature=work.temperature,
        ),
        training=default_settings.Training(minibatches=1, learning_rate=work.learning_rate),
    )


def _make_policy(work: Work, remat: str) -> models.Policy:
    config = ModelConfig(
        architecture="qwen2",
        vocabulary_size=work.vocabulary,
        width=work.width,
        layers=work.layers,
        heads=work.heads,
        kv_heads=work.kv_heads,
        head_dim=work.head_dim,
        mlp_width=work.mlp_width,
        tied=True,
        qkv_bias=True,
        remat=remat,
    )
    graph, params = models.initialize(config, jax.random.key(0))
    return models.Policy(config=config, graph=graph, params=params, tokenizer=None, stop_tokens=())


def _make_prompts(work: Work) -> Prompts:
    shape = work.prompts, work.prompt_tokens
    return Prompts(
        tokens=np.random.default_rng(0).integers(0, work.vocabulary, shape, np.int32),
        valid=np.ones(shape, bool),
        identifiers=np.arange(work.prompts, dtype=np.int32),
    )
