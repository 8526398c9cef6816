"""Rows of tokens for the tests of methods. Shapes: N prompts, G samples, B = N G, T time."""

import functools

import numpy as np

from papo_jax.learner.batches import Grades, Rollout, Trajectories

assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def row(*values):
    return np.array([values], np.float32)


def in_slots(values, slots):
    """Adds padding, to one shape for all cases, so that little is compiled."""
    return np.pad(
        np.asarray(values, np.float32),
        ((0, 0), (0, slots - values.shape[1])),
        constant_values=np.nan,
    )


def make_rollout(stats, mask, *, entropy) -> Rollout:
    """A rollout of which only statistics and drawn tokens matter."""
    mask = np.asarray(mask)
    trajectories = Trajectories(
        prompt_tokens=np.zeros((len(mask), 1), np.int32),
        prompt_valid=np.ones((len(mask), 1), bool),
        tokens=np.zeros(mask.shape, np.int32),
        valid=mask,
        action=mask,
    )
    return Rollout(trajectories=trajectories, stats=stats, entropy=np.float32(entropy))


def make_grades(rewards, kept=None) -> Grades:
    """Grades of right answers with the reward 1; every one takes part unless said otherwise."""
    rewards = np.asarray(rewards, np.float32)
    kept = np.ones(rewards.shape, bool) if kept is None else np.asarray(kept)
    return Grades(rewards=rewards, right=rewards == 1, kept=kept)
