"""Settings of the whole test run."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Docstring examples may use these names without importing them."""
    doctest_namespace.update(jax=jax, jnp=jnp, np=np)
