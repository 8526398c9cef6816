"""Fixtures that several files of tests share; those of the whole test run are one folder up."""

import pathlib

import numpy as np
import pytest

from papo_jax.grading import Pool
from tests.support.pools import MODULE
from tests.support.verdicts import give_mixed_verdicts


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
    """Makes every group of a run teach, for tests of runs in which something must be learned."""
    with give_mixed_verdicts():
        yield
