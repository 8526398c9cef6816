"""No array of a training step is as large as its logits, by the jaxpr and the compiled program.

Shapes: B sequences, T completion slots, V vocabulary.
"""

import jax
import jax.extend
import jax.numpy as jnp
import optax
import pytest

from kernels.token_stats import forward_mode, tile_sizes
from papo_jax.learner import state
from papo_jax.learner.batches import Trajectories, UpdateBatch
from papo_jax.learner.entropy_change import measure_entropy_change
from papo_jax.learner.parameter_polarity import compute_unit_parameter_polarity
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.update import update_minibatch
from papo_jax.methods import phase, presets
from papo_jax.models import policy
from papo_jax.models.model_config import ModelConfig
from tests.support.seeds import make_key

B, T, V = 32, 64, 4096
CONFIG = ModelConfig(
    architecture="qwen3",
    vocabulary_size=V,
    width=16,
    layers=2,
    heads=2,
    kv_heads=1,
    head_dim=8,
    mlp_width=32,
    tied=True,
    qk_norm=True,
    max_positions=128,
)


@pytest.fixture(scope="module")
def programs():
    """Name -> (function, its arguments' shapes)."""
    graph, params = policy.make_abstract_model(CONFIG)

    def shape(dtype, *of):
        return jax.ShapeDtypeStruct(of, dtype)

    numbers, tokens, mask = (shape(dtype, B, T) for dtype in (jnp.float32, jnp.int32, bool))
    trajectories = Trajectories(
        prompt_tokens=shape(jnp.int32, B, 8),
        prompt_valid=shape(bool, B, 8),
        tokens=tokens,
        valid=mask,
        action=mask,
    )
    batch = UpdateBatch(
        trajectories=trajectories,
        old_logprob=numbers,
        reference_logprob=numbers,
        weighted_advantages=numbers,
        loss_mask=mask,
        polarity=numbers,
        sequences=shape(jnp.int32, B),
        accuracy=shape(jnp.float32, B),
    )
    optimizer = optax.adamw(1e-3)
    made = jax.eval_shape(lambda params: state.TrainState(**_state(params, optimizer)), params)
    scorer = PolicyScorer(graph, temperature=0.7)

    def step(method):
        def function(state, batch, key):
            return update_minibatch(
                state,
                batch,
                key,
                scorer,
                method=presets.get(method),
                optimizer=optimizer,
                max_new_tokens=T,
            )

        return function

    def steer(params, trajectories):
        return compute_unit_parameter_polarity(params, None, trajectories, scorer)

    def change(before, after, trajectories):
        return measure_entropy_change(before, after, trajectories, scorer)

    key = jax.eval_shape(lambda: make_key(0))
    return {
        "update": (step("dapo"), (made, batch, key)),
        "update in two passes": (step("clip_cov"), (made, batch, key)),
        "steer": (steer, (params, trajectories)),
        "assess": (scorer.score, (params, trajectories)),
        "diagnose": (change, (params, params, trajectories)),
    }


def _state(params, optimizer) -> dict:
    """What a step changes; of the rest any array will do."""
    values = {name: jnp.zeros(()) for name in state.TrainState._fields}
    values |= {
        "params": params,
        "opt_state": optimizer.init(params),
        "skipped": jnp.zeros((), jnp.int32),
    }
    return values | {"entropy_trajectory": phase.init()}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """A chunk of 256 of the 2,048 tokens, as real vocabularies have it by themselves."""
    monkeypatch.setattr(
        tile_sizes,
        "choose_sizes",
        lambda: tile_sizes.DEFAULT_SIZES._replace(rows=256, chunk_rows=256),
    )
    monkeypatch.setattr(forward_mode, "CHUNK_ENTRIES", B * 8 * V)


def largest(jaxpr) -> int:
    """The most entries that a value of a jaxpr has, inside loops and calls too."""
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [variable.aval.size for variable in equation.outvars]
        sizes += [largest(inside) for inside in jax.extend.core.jaxprs_in_params(equation.params)]
    return max(sizes)


@pytest.mark.parametrize("name", ["update", "update in two passes", "steer", "assess", "diagnose"])
def test_no_array_holds_the_logits(programs, name):
    function, arguments = programs[name]
    assert largest(jax.make_jaxpr(function)(*arguments).jaxpr) < B * T * V / 4


# Of an update's 19 MB the activations of two layers are most; the logits alone are 34 MB.
@pytest.mark.parametrize(
    "name, share",
    [("update", 1.5), ("update in two passes", 1.5), ("steer", 1), ("assess", 4), ("diagnose", 1)],
)
def test_temporary_memory_is_below_that_of_the_logits(programs, name, share):
    function, arguments = programs[name]
    temporary = jax.jit(function).lower(*arguments).compile().memory_analysis().temp_size_in_bytes
    assert temporary < 4 * B * T * V / share  # bytes


def test_the_instrument_sees_logits():
    graph, params = policy.make_abstract_model(CONFIG)

    def logits(params, tokens):
        return policy.logits(graph, params, tokens)

    found = largest(jax.make_jaxpr(logits)(params, jax.ShapeDtypeStruct((B, T), jnp.int32)).jaxpr)
    assert found == B * T * V
