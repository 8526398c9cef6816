"""Jitted programs of a run with their shardings: the only place where `jax.jit` meets a mesh."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding

from papo_jax import mesh_rules
from papo_jax.config.default_settings import Settings
from papo_jax.learner import entropy_change
from papo_jax.learner.batches import (
    Rollout,
    Trajectories,
    join_rows,
    make_trajectories,
    split_rows,
    sum_entropy,
)
from papo_jax.learner.learn import Learner, LearnOutput, learn
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import TrainState
from papo_jax.learner.weighted_advantages import WeightedAdvantages
from papo_jax.models import Policy, lora
from papo_jax.models.param_axes import LOGICAL_AXES
from papo_jax.rollout.generate import Completions, Prompts, generate


class Programs(NamedTuple):
    """Programs of a training run, compiled on first use; frozen parameters are bound to each.

    Attributes:
      sample: (params, prompts, key) -> (completions, trajectories).
      score: (params, trajectories) -> TokenStats.
      sum_entropy: (TokenStats, mask) -> [2], the sum of the entropy and the number of tokens.
      learn: (state, rollout, grades) -> (state, LearnOutput); donates the state.
      measure_entropy_change: (before, after, trajectories) -> EntropyChange.
      summarize_entropy_change: {"change": ..., "predicted": ..., "polarity": ...,
        "advantages": ..., "mask": ...} -> metrics.
    """

    sample: Callable
    score: Callable
    sum_entropy: Callable
    learn: Callable
    measure_entropy_change: Callable
    summarize_entropy_change: Callable


def build_programs(
    policy: Policy, scorer: PolicyScorer, learner: Learner, example: TrainState, settings: Settings
) -> Programs:
    """Binds the static arguments and the shardings.

    Args:
      policy: its graph and stop tokens.
      scorer: of the policy, on its mesh.
      learner: of the run.
      example: a state, or its shapes.
      settings: of the run.

    Returns:
      `Programs`.
    """
    mesh = _require_mesh(scorer)
    replicated, batch_sharded = (
        mesh_rules.replicated_sharding(mesh),
        mesh_rules.batch_sharding(mesh),
    )
    state_shardings = mesh_rules.param_shardings(mesh, example, LOGICAL_AXES)
    param_shardings = state_shardings.params
    scorer_shardings = shard_scorer(scorer)

    sample = functools.partial(
        _sample_rollout,
        samples=settings.rollout.samples,
        temperature=settings.rollout.temperature,
        parts=settings.rollout_parts,
        max_new_tokens=settings.rollout.max_new_tokens,
        stop_tokens=policy.stop_tokens,
    )
    output_shardings = _shard_fields(
        LearnOutput,
        replicated,
        weighted=_shard_fields(WeightedAdvantages, batch_sharded, entropy_trajectory=replicated),
        batch=batch_sharded,
    )
    return Programs(
        sample=_bind_scorer(
            sample,
            scorer,
            in_shardings=(param_shardings, batch_sharded, replicated, scorer_shardings),
            out_shardings=batch_sharded,
        ),
        score=_bind_scorer(
            lambda params, trajectories, scorer: scorer.score(params, trajectories),
            scorer,
            in_shardings=(param_shardings, batch_sharded, scorer_shardings),
            out_shardings=batch_sharded,
        ),
        sum_entropy=jax.jit(sum_entropy, in_shardings=batch_sharded, out_shardings=replicated),
        learn=_bind_scorer(
            functools.partial(learn, learner=learner),
            scorer,
            in_shardings=(
                state_shardings,
                _shard_fields(Rollout, batch_sharded, entropy=replicated),
                batch_sharded,
                scorer_shardings,
            ),
            out_shardings=(state_shardings, output_shardings),
            donate_argnums=0,
        ),
        measure_entropy_change=_bind_scorer(
            entropy_change.measure_entropy_change,
            scorer,
            in_shardings=(param_shardings, param_shardings, batch_sharded, scorer_shardings),
            out_shardings=batch_sharded,
        ),
        summarize_entropy_change=jax.jit(
            lambda arrays: entropy_change.summarize_entropy_change(**arrays),
            in_shardings=batch_sharded,
            out_shardings=replicated,
        ),
    )


def build_eval_sampler(
    policy: Policy, scorer: PolicyScorer, example, settings: Settings
) -> Callable:
    """Builds (params, prompts, key) -> completions of the evaluation set's shape.

    Args:
      policy: its stop tokens.
      scorer: of the policy, on its mesh.
      example: the parameters that are trained, or their shapes.
      settings: of the run.

    Returns:
      The program, compiled on first use.
    """
    mesh = _require_mesh(scorer)
    replicated, batch_sharded = (
        mesh_rules.replicated_sharding(mesh),
        mesh_rules.batch_sharding(mesh),
    )

    def sample(params, prompts: Prompts, key: jax.Array, scorer: PolicyScorer) -> Completions:
        return generate(
            scorer.graph,
            lora.join_params(params, scorer.frozen),
            prompts,
            key,
            samples=settings.evaluation.samples,
            stop_tokens=policy.stop_tokens,
            temperature=settings.evaluation.temperature,
            max_new_tokens=settings.rollout.max_new_tokens,
        )

    param_shardings = mesh_rules.param_shardings(mesh, example, LOGICAL_AXES)
    return _bind_scorer(
        sample,
        scorer,
        in_shardings=(param_shardings, batch_sharded, replicated, shard_scorer(scorer)),
        out_shardings=batch_sharded,
    )


def shard_scorer(scorer: PolicyScorer) -> PolicyScorer:
    """Returns the shardings of the parameters that a scorer holds."""
    shard = functools.partial(
        mesh_rules.param_shardings, _require_mesh(scorer), logical_axes=LOGICAL_AXES
    )
    return dataclasses.replace(scorer, frozen=shard(scorer.frozen))


def _require_mesh(scorer: PolicyScorer) -> Mesh:
    """Returns the mesh that a run's scorer always has."""
    if scorer.mesh is None:
        raise ValueError("the programs of a run need a scorer with a mesh")
    return scorer.mesh


def _shard_fields(structure: Any, sharding: NamedSharding, **others: Any) -> Any:
    """Makes the shardings of a named tuple of arrays: the same tuple, one for all fields but some.

    Untyped, since a sharding stands for a whole field here, whatever that is annotated as.
    """
    return structure(**{**dict.fromkeys(structure._fields, sharding), **others})


def _bind_scorer(function: Callable, scorer: PolicyScorer, **jit_options) -> Callable:
    """Jits a function whose last argument is the scorer, and binds that argument.

    An argument and no closure: frozen parameters would otherwise be compiled in as constants.
    """
    jitted = jax.jit(function, **jit_options)
    return lambda *arguments: jitted(*arguments, scorer)


def _sample_rollout(
    params,
    prompts: Prompts,
    key: jax.Array,
    scorer: PolicyScorer,
    *,
    samples: int,
    parts: int,
    **sampling,
) -> tuple[Completions, Trajectories]:
    """Samples completions, part by part of the prompts, and lays prompts beside them."""

    def sample(prompts: Prompts) -> Completions:
        joined = lora.join_params(params, scorer.frozen)
        return generate(scorer.graph, joined, prompts, key, samples=samples, **sampling)

    completions = (
        sample(prompts) if parts == 1 else _sample_in_parts(sample, prompts, parts, samples)
    )
    return completions, make_trajectories(prompts, completions, samples=samples)


def _sample_in_parts(sample, prompts: Prompts, parts: int, samples: int) -> Completions:
    """Samples a part of the prompts after another, to bound the cache.

    The samples of a prompt stay side by side.
    """
    drawn = jax.lax.map(sample, split_rows(prompts, parts))
    grouped = jax.tree.map(lambda leaf: leaf.reshape(parts, -1, samples, *leaf.shape[2:]), drawn)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), join_rows(grouped))
