"""Fixtures that several files of tests share; those of the whole test run are one folder up."""

import pathlib

import numpy as np
import pytest

from papo_jax.grading import Judgment, Pool
from tests.support.pools import MODULE


@pytest.fixture(scope="module")
def pool():
    """Two processes and a spare for graders that misbehave, a second an answer."""
    with Pool(deadline=1.0, memory=512, module=MODULE) as made:
        yield made


@pytest.fixture(scope="session")
def stored_rollout():
    """Four answers to each of four prompts that the stored policy once gave.

    `tests/support/make_policy.py` drew them.
    """
    from papo_jax.learner.batches import Trajectories

    with np.load(pathlib.Path(__file__).parent / "support/rollout.npz") as stored:
        arrays = dict(stored)
    return Trajectories(**arrays, valid=arrays["action"])


@pytest.fixture(scope="module")
def mixed_verdicts():
    """Judges every third answer right, so that every group teaches, whatever the policy drew.

    For tests of runs in which something must be learned.
    """

    def judge(self, answers, **_):
        return [
            Judgment("right" if number % 3 == 0 else "wrong", None)
            for number in range(len(answers))
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "judge", judge)
        patch.setattr(
            "papo_jax.training.run_problems.check_graders", lambda problems, pool, **_: problems
        )
        yield
