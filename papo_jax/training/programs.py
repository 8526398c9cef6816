"""The jitted programs of a run, each with its shardings written out: the only place where `jax.jit`
meets the mesh."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from papo_jax import parallel
from papo_jax.config.settings import Settings
from papo_jax.learner import entropy_change as diagnostics
from papo_jax.learner import parameter_polarity as steering
from papo_jax.learner import state, update, weighted_advantages
from papo_jax.learner.trajectories import Trajectories, join, split
from papo_jax.models import Policy, lora
from papo_jax.models.layers import LOGICAL_AXES
from papo_jax.rollout.generate import Completions, Prompts, generate


class Programs(NamedTuple):
    """Compiled on first use.

    Attributes:
      rollout: (params, prompts, key) -> (completions, trajectories).
      assess: (params, trajectories) -> TokenStats.
      steering: (params, optimizer's state, trajectories) -> u [B, T] of `training.steering`; None
        for signals without it.
      entropy_sum: (TokenStats, mask) -> (sum of the entropy, number of tokens).
      weigh: (stats, rewards, mask, kept, sequences, entropy, phase, key, u or None) -> (Weighed,
        metrics).
      take: (batch, rows) -> batch of those rows.
      update: (state, batch, key) -> (state, metrics); donates the state. Frozen parameters are
        bound to this and all others.
      entropy_change: (before, after, trajectories) -> EntropyChange.
      summarize: (change, pressure, polarity, advantages, mask) -> metrics.
    """

    rollout: Callable
    assess: Callable
    steering: Callable | None
    entropy_sum: Callable
    weigh: Callable
    take: Callable
    update: Callable
    entropy_change: Callable
    summarize: Callable


def build(
    policy: Policy,
    frozen,
    mesh: Mesh,
    optimizer: optax.GradientTransformation,
    example: state.TrainState,
    settings: Settings,
) -> Programs:
    """Binds the static arguments and the shardings.

    Args:
      policy: its graph and stop tokens.
      frozen: the parameters that are not trained, {} where all are; they are bound to every
        program.
      mesh: from `parallel.make_mesh`.
      optimizer: whose state is in `example`.
      example: a state, or its shapes.
      settings: of the run.

    Returns:
      `Programs`.
    """
    method = settings.method_arguments()
    whole, rows = parallel.replicated(mesh), parallel.batch_sharding(mesh)
    placed, held = (
        parallel.param_shardings(mesh, tree, LOGICAL_AXES) for tree in (example, frozen)
    )
    graph, temperature = policy.graph, settings.rollout.temperature
    parts = settings.sequences // settings.microbatch
    rollout = functools.partial(
        _rollout,
        graph=graph,
        samples=settings.rollout.samples,
        temperature=temperature,
        parts=settings.rollout_parts,
        max_new_tokens=settings.rollout.max_new_tokens,
        stop_tokens=policy.stop_tokens,
    )
    limit, steered = settings.rollout.max_new_tokens, method["signal"] == "parameter"
    of_params = functools.partial(_of_params, frozen=frozen, placed=placed.params, held=held)
    return Programs(
        rollout=of_params(rollout, rows, whole, out=rows),
        assess=of_params(
            functools.partial(
                weighted_advantages.assess,
                graph=graph,
                temperature=temperature,
                parts=parts,
                mesh=mesh,
            ),
            rows,
            out=rows,
        ),
        steering=_bound(
            functools.partial(
                _steering,
                graph=graph,
                temperature=temperature,
                parts=parts,
                mesh=mesh,
                b2=settings.training.b2,
                epsilon=settings.training.epsilon,
            ),
            frozen,
            in_shardings=(placed.params, placed.opt_state, rows, held),
            out_shardings=rows,
        )
        if steered
        else None,
        entropy_sum=jax.jit(
            weighted_advantages.entropy_sum, in_shardings=rows, out_shardings=whole
        ),
        weigh=jax.jit(
            functools.partial(weighted_advantages.weigh, method=method, limit=limit),
            in_shardings=(
                rows,
                rows,
                rows,
                rows,
                rows,
                whole,
                whole,
                whole,
                rows if steered else None,
            ),
            out_shardings=(
                weighted_advantages.Weighed(rows, rows, rows, rows, rows, rows, whole),
                whole,
            ),
        ),
        take=jax.jit(
            lambda batch, chosen: jax.tree.map(lambda leaf: leaf[chosen], batch),
            in_shardings=(rows, whole),
            out_shardings=rows,
        ),
        update=_bound(
            functools.partial(
                update.update,
                graph=graph,
                optimizer=optimizer,
                method=method,
                limit=limit,
                temperature=temperature,
                microbatches=settings.minibatch // settings.microbatch,
                mesh=mesh,
            ),
            frozen,
            in_shardings=(placed, rows, whole, held),
            out_shardings=(placed, whole),
            donate_argnums=0,
        ),
        entropy_change=_bound(
            functools.partial(
                diagnostics.entropy_change,
                graph=graph,
                temperature=temperature,
                parts=parts,
                mesh=mesh,
            ),
            frozen,
            in_shardings=(placed.params, placed.params, rows, held),
            out_shardings=rows,
        ),
        summarize=jax.jit(diagnostics.summarize, in_shardings=rows, out_shardings=whole),
    )


def evaluation(policy: Policy, frozen, mesh: Mesh, example, settings: Settings) -> Callable:
    """Builds (params, prompts, key) -> completions of the panel's shape.

    Args:
      policy: its graph and stop tokens.
      frozen: the parameters that are not trained, {} where all are.
      mesh: from `parallel.make_mesh`.
      example: the parameters that are trained, or their shapes.
      settings: of the run.

    Returns:
      The program, compiled on first use.
    """
    whole, rows = parallel.replicated(mesh), parallel.batch_sharding(mesh)
    placed, held = (
        parallel.param_shardings(mesh, tree, LOGICAL_AXES) for tree in (example, frozen)
    )

    def draw(params, prompts, key):
        return generate(
            policy.graph,
            params,
            prompts,
            key,
            samples=settings.evaluation.samples,
            stop_tokens=policy.stop_tokens,
            temperature=settings.evaluation.temperature,
            max_new_tokens=settings.rollout.max_new_tokens,
        )

    return _of_params(draw, rows, whole, out=rows, frozen=frozen, placed=placed, held=held)


def _of_params(function, *inputs, out, frozen, placed, held) -> Callable:
    """(params, ...) -> out, where the function takes trained and frozen parameters as one tree."""

    def joined(params, *rest):
        return function(lora.join_params(params, rest[-1]), *rest[:-1])

    return _bound(joined, frozen, in_shardings=(placed, *inputs, held), out_shardings=out)


def _bound(function, frozen, **options) -> Callable:
    """The jitted function with the frozen parameters as its last argument."""
    jitted = jax.jit(function, **options)
    return lambda *arguments: jitted(*arguments, frozen)


def _steering(
    params, opt_state, trajectories, frozen, *, b2: float, epsilon: float, **options
) -> jax.Array:
    """u under the preconditioner that Adam has at the time."""
    preconditioner = steering.adam_preconditioner(opt_state, b2=b2, epsilon=epsilon)
    return steering.unit_parameter(params, preconditioner, trajectories, frozen, **options)


def _rollout(
    params, prompts: Prompts, key: jax.Array, *, graph, samples: int, parts: int, **sampling
) -> tuple[Completions, Trajectories]:
    """Samples, part by part of the prompts, and lays these beside the completions for the passes
    that follow."""

    def draw(prompts):
        return generate(graph, params, prompts, key, samples=samples, **sampling)

    completions = draw(prompts) if parts == 1 else _in_parts(draw, prompts, parts, samples)
    trajectories = Trajectories(
        prompt_tokens=jnp.repeat(prompts.tokens, samples, axis=0),
        prompt_valid=jnp.repeat(prompts.valid, samples, axis=0),
        tokens=completions.tokens,
        mask=completions.mask,
    )
    return completions, trajectories


def _in_parts(draw, prompts: Prompts, parts: int, samples: int) -> Completions:
    """Samples a part of the prompts after another, to bound the cache; the samples of a prompt stay
    side by side."""
    drawn = jax.lax.map(draw, split(prompts, parts))
    grouped = jax.tree.map(lambda leaf: leaf.reshape(parts, -1, samples, *leaf.shape[2:]), drawn)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), join(grouped))
