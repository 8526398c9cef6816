"""Supervised updates: the loss by hand, and a policy that learns a demonstration by heart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from papo_jax import models
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import init_state
from papo_jax.learner.supervised import make_demonstration_batch, update_on_demonstrations
from papo_jax.models.model_config import ModelConfig
from tests.support.seeds import make_key, make_rng

PROMPT_SLOTS, SLOTS = 3, 7


@pytest.fixture(scope="module")
def policy():
    config = ModelConfig(
        architecture="qwen3",
        vocabulary_size=11,
        width=16,
        layers=1,
        heads=2,
        kv_heads=1,
        head_dim=8,
        mlp_width=16,
        tied=True,
        qk_norm=True,
        max_positions=16,
    )
    return models.initialize(config, make_key(0))


@pytest.fixture(scope="module")
def demonstrations():
    """Four sequences with prompts of 1 to 3 tokens and completions of 4 to 1."""
    rng, starts = make_rng(0), np.array([[2], [1], [0], [0]])
    ends, slots = np.array([[7], [6], [5], [4]]), np.arange(SLOTS)
    tokens = rng.integers(0, 11, (4, SLOTS)).astype(np.int32)
    return tokens, (slots >= starts) & (slots < ends)


def test_loss_is_the_mean_over_the_completions_tokens(policy, demonstrations):
    graph, params = policy
    tokens, valid = demonstrations
    optimizer = optax.sgd(0.0)
    _, metrics = update_on_demonstrations(
        init_state(params, optimizer, 0),
        tokens,
        valid,
        PolicyScorer(graph),
        optimizer=optimizer,
        prompt_slots=PROMPT_SLOTS,
    )
    # The logits of the slot before predict a token: log p of slots 3 to 6, where a token stands.
    logits = np.asarray(models.logits(graph, params, tokens, valid), np.float64)
    logprob = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(logprob[:, 2:-1], tokens[:, 3:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(metrics["loss"], -chosen[valid[:, 3:]].mean(), rtol=1e-5)


def test_a_step_is_the_optimizers_along_that_losss_gradient(policy, demonstrations):
    graph, params = policy
    tokens, valid = demonstrations
    scorer, optimizer = PolicyScorer(graph), optax.sgd(0.5)
    batch = make_demonstration_batch(tokens, valid, prompt_slots=PROMPT_SLOTS)

    def loss(params):
        stats = scorer.token_stats(params, batch.trajectories)
        return -jnp.where(batch.loss_mask, stats.logprob, 0.0).sum() / batch.loss_mask.sum()

    state, _ = update_on_demonstrations(
        init_state(params, optimizer, 0),
        tokens,
        valid,
        scorer,
        optimizer=optimizer,
        prompt_slots=PROMPT_SLOTS,
    )
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, params, jax.grad(loss)(params))
    jax.tree.map(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6),
        state.params,
        expected,
    )
    assert int(state.step) == 0  # steps are rollouts with their updates
