"""The parts of a run's learner: policy, scorer, optimizer, shardings and jitted programs."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import optax
from jax.sharding import Mesh

from papo_jax import mesh_rules, models
from papo_jax.config.default_settings import Settings
from papo_jax.learner.learn import Learner
from papo_jax.learner.minibatches import plan_updates
from papo_jax.learner.parameter_polarity import adam_preconditioner
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import Stream, TrainState, init_state, make_optimizer, stream_key
from papo_jax.models import lora
from papo_jax.models.model_config import LoraConfig
from papo_jax.models.param_axes import LOGICAL_AXES
from papo_jax.rollout.chat_checks import add_turn_end
from papo_jax.training import programs
from papo_jax.training.problems.run_problems import make_chat_options


class LearnerParts(NamedTuple):
    """The learner and its programs, before a state is there.

    Attributes:
      policy: the policy with its adapters, if it has any.
      trained: the parameters that will be trained, at their initial values.
      optimizer: the run's.
      shapes: the training state's, as a `TrainState`.
      shardings: the training state's.
      scorer: the policy without those parameters.
      reference: those parameters' values in the reference policy of a KL term; None where the
        method has no such term.
      programs: the jitted functions.
      eval_sampler: the program that samples the evaluation set.
    """

    policy: models.Policy
    trained: models.Params
    optimizer: optax.GradientTransformation
    shapes: TrainState
    shardings: TrainState
    scorer: PolicyScorer
    reference: models.Params | None
    programs: programs.Programs
    eval_sampler: Callable


def build_learner(settings: Settings, base: models.Policy, mesh: Mesh) -> LearnerParts:
    """Attaches adapters and builds everything that a step of training calls."""
    policy = attach_adapters(settings, base, mesh)
    trained, scorer = make_scorer(settings, policy, mesh)
    optimizer = _make_optimizer(settings)
    shapes = jax.eval_shape(
        functools.partial(init_state, optimizer=optimizer, seed=settings.seed), trained
    )
    learner = make_learner(settings, optimizer)
    return LearnerParts(
        policy=policy,
        trained=trained,
        optimizer=optimizer,
        shapes=shapes,
        shardings=mesh_rules.param_shardings(mesh, shapes, LOGICAL_AXES),
        scorer=scorer,
        # Under LoRA these are the adapters alone, as they begin: the frozen weights serve the
        # policy and its reference.
        reference=trained if settings.method.needs_reference else None,
        programs=programs.build_programs(policy, scorer, learner, shapes, settings),
        eval_sampler=programs.build_eval_sampler(policy, scorer, trained, settings),
    )


def load_policy(settings: Settings, mesh: Mesh) -> models.Policy:
    """Loads the base policy onto the mesh; what ends a turn of its chat template ends answers."""
    model = settings.model
    policy = models.load(
        model.path, dtype=model.dtype, param_dtype=model.param_dtype, mesh=mesh, remat=model.remat
    )
    return add_turn_end(policy, make_chat_options(settings))


def attach_adapters(settings: Settings, policy: models.Policy, mesh: Mesh) -> models.Policy:
    """Attaches the adapters that the settings ask for, as they begin, if they ask for any."""
    model = settings.model
    if not model.lora_rank:
        return policy
    base = jax.random.key_data(jax.random.key(settings.seed))
    adapters = LoraConfig(
        model.lora_rank, model.lora_alpha, lora.parse_lora_targets(model.lora_targets)
    )
    return lora.attach_adapters(policy, adapters, stream_key(base, 0, Stream.ADAPTERS), mesh=mesh)


def make_scorer(
    settings: Settings, policy: models.Policy, mesh: Mesh
) -> tuple[models.Params, PolicyScorer]:
    """Takes a policy apart: (parameters that are trained, the scorer with the others)."""
    trained, frozen = lora.split_params(policy.params, policy.config.lora)
    scorer = PolicyScorer(
        graph=policy.graph,
        frozen=frozen,
        temperature=settings.rollout.temperature,
        mesh=mesh,
        microbatch=settings.microbatch,
        microbatch_tokens=settings.training.microbatch_tokens,
    )
    return trained, scorer


def make_learner(settings: Settings, optimizer: optax.GradientTransformation) -> Learner:
    """Returns the learner of a run."""
    training, method = settings.training, settings.method
    return Learner(
        method=method,
        optimizer=optimizer,
        max_new_tokens=settings.rollout.max_new_tokens,
        plan_updates=functools.partial(
            plan_updates, minibatches=training.minibatches, epochs=training.epochs, pack=method.pack
        ),
        preconditioner=functools.partial(
            adam_preconditioner, b2=training.b2, epsilon=training.epsilon
        ),
        max_skipped=training.max_skipped,
    )


def _make_optimizer(settings: Settings) -> optax.GradientTransformation:
    training = settings.training
    return make_optimizer(
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        gradient_clip=training.gradient_clip,
        b1=training.b1,
        b2=training.b2,
        epsilon=training.epsilon,
    )
