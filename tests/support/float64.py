"""A policy in float64, for bounds that are finer than the roundings of float32."""

import dataclasses

import jax
import numpy as np
from flax import nnx

from papo_jax.models import Params, Policy
from papo_jax.models.policy import make_abstract_model


def widen(policy: Policy, params: Params) -> tuple[nnx.GraphDef, Params]:
    """Returns the policy's graph and the parameters in float64, to use under `jax.enable_x64`."""
    graph, _ = make_abstract_model(dataclasses.replace(policy.config, dtype="float64"))
    return graph, jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
