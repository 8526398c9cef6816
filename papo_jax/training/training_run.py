"""Set-up of a training run: everything is loaded and checked before anything is written."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from papo_jax import grading, models, parallel
from papo_jax.config.settings import Settings, to_dict
from papo_jax.evaluation.evaluation_file import EvaluationFile
from papo_jax.evaluation.evaluator import Evaluator
from papo_jax.learner.learn import Learner
from papo_jax.learner.minibatches import plan_updates
from papo_jax.learner.parameter_polarity import adam_preconditioner
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import Stream, TrainState, init_state, make_optimizer, stream_key
from papo_jax.models import lora
from papo_jax.models.layers import LOGICAL_AXES
from papo_jax.models.model_config import LoraConfig
from papo_jax.rollout.detokenize import detokenize_completions
from papo_jax.rollout.generate import Completions, Prompts
from papo_jax.rollout.prompts import PromptStore
from papo_jax.telemetry import provenance
from papo_jax.training import checkpoint, problems, programs, run_directory

CHECKPOINT_BYTES = 12  # a parameter, and Adam's two moments, in float32


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What the training loop works with; nothing in here changes during a run but the files.

    Attributes:
      settings: of the run.
      workdir: of the run.
      policy: the base policy's graph and tokenizer; its parameters went into `initial`, so that
        they are not held twice.
      problems: what it trains on and is evaluated on.
      store: the training problems' prompts, encoded once and for all.
      evaluator: samples the evaluation set and has it judged.
      evaluations: what is on record of it; None where the run is not evaluated.
      pool: of grading processes.
      mesh: the device mesh.
      programs: jitted.
      checkpoints: open.
      initial: the state to start from: fresh, or the newest checkpoint.
      lock: the open file that keeps other processes out of the work directory.
    """

    settings: Settings
    workdir: pathlib.Path
    policy: models.Policy
    problems: problems.Problems
    store: PromptStore
    evaluator: Evaluator
    evaluations: EvaluationFile | None
    pool: grading.Pool
    mesh: Mesh
    programs: programs.Programs
    checkpoints: checkpoint.Checkpoints
    initial: TrainState
    lock: IO[str]

    def close(self) -> None:
        """Releases the work directory and ends the grading processes."""
        self.pool.close()
        self.checkpoints.close()
        self.lock.close()

    @property
    def longest_prompt(self) -> int:
        """Length of the longest prompt of all problems, tokens."""
        return max(self.store.max_length, self.evaluator.store.max_length)

    def pad_prompts(self, identifiers: Sequence[int]) -> Prompts:
        """Pads the prompts of some training problems, [N, P] with P one of a few lengths."""
        multiple = self.settings.rollout.prompt_multiple
        return self.store.make_batch(
            identifiers, multiple=multiple, max_slots=self.store.max_length
        )

    def detokenize(self, completions: Completions) -> list[str]:
        """Decodes completions without their stop tokens."""
        return detokenize_completions(self.policy.tokenizer, self.policy.stop_tokens, completions)


class RunFiles(NamedTuple):
    """Open files of a work directory.

    Attributes:
      lock: keeps other processes out.
      evaluations: what is on record; None where the run is not evaluated.
      checkpoints: open.
    """

    lock: IO[str]
    evaluations: EvaluationFile | None
    checkpoints: checkpoint.Checkpoints


class LearningParts(NamedTuple):
    """What learns, before a state is there.

    Attributes:
      policy: with its adapters, where it has any.
      trained: its parameters that are trained, as they begin.
      optimizer: of the run.
      shapes: of the state.
      shardings: of the state.
      scorer: of the policy.
      programs: jitted.
      eval_sampler: the program that samples the evaluation set.
    """

    policy: models.Policy
    trained: models.Params
    optimizer: optax.GradientTransformation
    shapes: TrainState
    shardings: TrainState
    scorer: PolicyScorer
    programs: programs.Programs
    eval_sampler: Callable


def prepare_run(settings: Settings, workdir: pathlib.Path) -> TrainingRun:
    """Loads and checks everything that a run needs, and restores its newest checkpoint.

    Args:
      settings: checked already (`papo_jax.config.checks`).
      workdir: of the run; belongs to no other config.

    Returns:
      The `TrainingRun`.

    Raises:
      InputError: if anything is missing, wrong or does not fit; no file of a run has been written
        then.
    """
    config = to_dict(settings)
    run_directory.check_owner(workdir, config)
    mesh = parallel.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    asked = problems.load_problems(settings)
    with contextlib.ExitStack() as stack:  # closes what was opened if anything fails
        pool = stack.enter_context(open_pool(settings))
        asked = problems.check_graders(asked, pool)
        base = load_policy(settings, mesh)
        store = problems.encode_prompts(settings, base, asked.train.train)
        eval_store = problems.encode_prompts(settings, base, asked.eval_set)
        described = _describe_run(settings, workdir, asked, base, mesh)
        parts = _build_learner(settings, base, mesh)
        evaluator = Evaluator(
            settings=settings,
            problems=asked.eval_set,
            store=eval_store,
            tokenizer=base.tokenizer,
            stop_tokens=base.stop_tokens,
            program=parts.eval_sampler,
            pool=pool,
            mesh=mesh,
        )
        files = _open_workdir(settings, workdir, parts, evaluator, asked.evaluated.name, stack)
        initial = _restore_or_begin(settings, files, parts)
        run_directory.claim_directory(workdir, config, described, step=int(initial.step))
        stack.pop_all()
    return TrainingRun(
        settings=settings,
        workdir=workdir,
        policy=dataclasses.replace(parts.policy, params={}),
        problems=asked,
        store=store,
        evaluator=evaluator,
        evaluations=files.evaluations,
        pool=pool,
        mesh=mesh,
        programs=parts.programs,
        checkpoints=files.checkpoints,
        initial=initial,
        lock=files.lock,
    )


def open_pool(settings: Settings) -> grading.Pool:
    """Starts the grading processes of a run."""
    return grading.Pool(**dataclasses.asdict(settings.grading))


def load_policy(settings: Settings, mesh: Mesh) -> models.Policy:
    """Loads the base policy onto the mesh."""
    model = settings.model
    return models.load(
        model.path, dtype=model.dtype, param_dtype=model.param_dtype, mesh=mesh, remat=model.remat
    )


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


def _describe_run(
    settings: Settings,
    workdir: pathlib.Path,
    checked: problems.Problems,
    policy: models.Policy,
    mesh: Mesh,
) -> dict[str, Any]:
    """Makes what provenance.json holds, and compares it with what the run began with."""
    described = provenance.describe_run(
        settings=to_dict(settings), data=checked.describe(), params=policy.params, mesh=mesh
    )
    run_directory.check_fingerprints(workdir, described)
    return described


def _build_learner(settings: Settings, base: models.Policy, mesh: Mesh) -> LearningParts:
    """Attaches adapters and binds the programs that learn."""
    policy = attach_adapters(settings, base, mesh)
    trained, scorer = make_scorer(settings, policy, mesh)
    if settings.method.needs_reference:
        # Under LoRA these are the adapters alone, as they begin: the frozen weights serve the
        # policy and its reference.
        scorer = dataclasses.replace(scorer, reference=trained)
    optimizer = _make_optimizer(settings)
    shapes = jax.eval_shape(
        functools.partial(init_state, optimizer=optimizer, seed=settings.seed), trained
    )
    learner = make_learner(settings, optimizer)
    return LearningParts(
        policy=policy,
        trained=trained,
        optimizer=optimizer,
        shapes=shapes,
        shardings=parallel.param_shardings(mesh, shapes, LOGICAL_AXES),
        scorer=scorer,
        programs=programs.build_programs(policy, scorer, learner, shapes, settings),
        eval_sampler=programs.build_eval_sampler(policy, scorer, trained, settings),
    )


def _open_workdir(
    settings: Settings,
    workdir: pathlib.Path,
    parts: LearningParts,
    evaluator: Evaluator,
    task: str,
    stack: contextlib.ExitStack,
) -> RunFiles:
    """Locks the work directory, if the disk has room, and opens what is in it."""
    size = sum(leaf.size for leaf in jax.tree.leaves(parts.trained)) * CHECKPOINT_BYTES
    run_directory.check_space(workdir, size, checkpoints=settings.checkpoint.keep + 2)
    lock = stack.enter_context(run_directory.lock_directory(workdir))
    evaluations = None
    if settings.evaluation.every:
        evaluations = EvaluationFile(
            workdir / "evaluation.json", evaluator.describe_evaluation(task)
        )
    checkpoints = checkpoint.Checkpoints(workdir / "checkpoints", keep=settings.checkpoint.keep)
    stack.callback(checkpoints.close)
    return RunFiles(lock=lock, evaluations=evaluations, checkpoints=checkpoints)


def _restore_or_begin(settings: Settings, files: RunFiles, parts: LearningParts) -> TrainState:
    """Restores the newest checkpoint, or makes the state before the first step."""
    restored = files.checkpoints.restore(checkpoint.abstract_state(parts.shapes, parts.shardings))
    if restored is not None:
        return restored
    params = parts.trained
    if parts.scorer.reference is not None:
        # `learn` donates the state, so a reference must not share its arrays.
        params = jax.tree.map(jnp.copy, params)

    # Under jit every output has a buffer of its own, which donation asks for, on its own devices
    # from the start.
    def begin(params):
        return init_state(params, parts.optimizer, settings.seed)

    return jax.jit(begin, out_shardings=parts.shardings)(params)


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
