"""Random numbers for tests: the same on every machine, others under another `PAPO_TEST_SEED`.

    PAPO_TEST_SEED=1 python -m pytest

What a test draws comes from here, so that no bound can hang on one lucky draw: the whole test run
passes under any seed. The runs of the fixture `small` start from this seed too.
"""

import os

import jax
import numpy as np

SEED = int(os.environ.get("PAPO_TEST_SEED", "0"))


def make_rng(number: int = 0) -> np.random.Generator:
    """Returns NumPy's generator; `number` parts those of one test."""
    return np.random.default_rng(1000 * SEED + number)


def make_key(number: int = 0) -> jax.Array:
    """Returns a key of JAX; `number` parts those of one test."""
    return jax.random.key(1000 * SEED + number)
