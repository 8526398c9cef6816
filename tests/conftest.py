"""Fixtures that several files of tests share; those of the whole test run are one folder up."""

import pytest

from papo_jax.grading import Pool
from tests.support.pools import MODULE


@pytest.fixture(scope="module")
def pool():
    """Two processes and a spare for graders that misbehave, a second an answer."""
    with Pool(deadline=1.0, memory=512, module=MODULE) as made:
        yield made
