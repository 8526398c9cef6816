"""Fixtures of the learner's tests: the stored policy, and rollouts of it."""

import pytest

from papo_jax import models
from papo_jax.learner.batches import Rollout, Trajectories
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import init_state
from papo_jax.polarity import masked_mean
from tests.support.learning import OPTIMIZER, compiled
from tests.support.seeds import SEED


@pytest.fixture(scope="module")
def policy(policy_directory):
    return models.load(str(policy_directory))


@pytest.fixture(scope="module")
def scorer(policy) -> PolicyScorer:
    return PolicyScorer(policy.graph)


@pytest.fixture(scope="module")
def state(policy):
    return init_state(policy.params, OPTIMIZER, SEED)


@pytest.fixture(scope="module")
def score_rollout(policy, scorer):
    """A function from trajectories to a rollout with its statistics."""
    score = compiled(lambda params, rows, scorer: scorer.score(params, rows))

    def score_trajectories(trajectories: Trajectories) -> Rollout:
        stats = score(policy.params, trajectories, scorer)
        entropy = masked_mean(stats.entropy, trajectories.action)
        return Rollout(trajectories=trajectories, stats=stats, entropy=entropy)

    return score_trajectories
