"""Set-up of a training run: everything is loaded and checked before anything is written."""

import contextlib
import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from papo_jax import grading, mesh_rules, models
from papo_jax.config.default_settings import Settings, to_dict
from papo_jax.evaluation.evaluation_file import EvaluationFile
from papo_jax.evaluation.evaluator import Evaluator
from papo_jax.learner.policy_scorer import PolicyScorer
from papo_jax.learner.state import TrainState, init_state
from papo_jax.rollout.detokenize import detokenize_completions
from papo_jax.rollout.generate import Completions, Prompts
from papo_jax.rollout.prompts import Integers, PromptStore
from papo_jax.telemetry import provenance
from papo_jax.training import programs, resume_checks, run_directory, run_identity
from papo_jax.training.checkpoints import checkpoint_arrays, save_restore
from papo_jax.training.checkpoints.checkpoint_record import CheckpointRecord
from papo_jax.training.learner_parts import LearnerParts, build_learner, load_policy
from papo_jax.training.problems import run_problems
from papo_jax.training.run_files import RunFiles, open_run_files, warn_of_losses


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """Everything that the training loop needs besides the state, which it hands from step to step.

    Attributes:
      settings: the run's.
      workdir: the run's directory.
      policy: the policy's graph, tokenizer and stop tokens without parameters, which are in
        `initial` and `scorer`, so that they are not held twice.
      problems: the problems to train on and to evaluate on.
      store: the training problems' prompts, encoded once and for all.
      evaluator: samples the evaluation set and has it judged.
      evaluations: the evaluations on file; None where the run is not evaluated.
      pool: the grading processes.
      mesh: the device mesh.
      scorer: the policy with its frozen parameters.
      reference: the trained parameters' values in the reference policy of a KL term; None where the
        method has no such term.
      programs: the jitted functions.
      checkpoints: the folder of checkpoints.
      initial: the state to start from: fresh, or the newest checkpoint. The first step donates it.
      lock: the open file that keeps other processes out of the work directory.
    """

    settings: Settings
    workdir: pathlib.Path
    policy: models.Policy
    problems: run_problems.RunProblems
    store: PromptStore
    evaluator: Evaluator
    evaluations: EvaluationFile | None
    pool: grading.Pool
    mesh: Mesh
    scorer: PolicyScorer
    reference: models.Params | None
    programs: programs.Programs
    checkpoints: save_restore.Checkpoints
    initial: TrainState
    lock: IO[str]

    def close(self) -> None:
        """Releases the work directory and ends the grading processes."""
        self.pool.close()
        self.lock.close()

    @property
    def longest_prompt(self) -> int:
        """Length of the longest prompt of all problems, tokens."""
        return max(self.store.max_length, self.evaluator.store.max_length)

    def pad_prompts(self, identifiers: Integers) -> Prompts:
        """Pads the prompts of some training problems, [N, P] with P one of a few lengths."""
        multiple = self.settings.rollout.prompt_multiple
        return self.store.make_batch(
            identifiers, multiple=multiple, max_slots=self.store.max_length
        )

    def detokenize(self, completions: Completions) -> list[str]:
        """Decodes completions without their stop tokens."""
        return detokenize_completions(self.policy.tokenizer, self.policy.stop_tokens, completions)


def prepare_run(settings: Settings, workdir: pathlib.Path) -> TrainingRun:
    """Loads and checks everything that a run needs, and restores its newest checkpoint.

    Args:
      settings: checked already (`papo_jax.config.checks`).
      workdir: the run's; may not exist yet, and must not hold a run of another config.

    Returns:
      The `TrainingRun`.

    Raises:
      InputError: if anything is missing, wrong or does not fit; then no file of the run has been
        written.
    """
    config = to_dict(settings)
    run_directory.check_owner(workdir, config)
    resume_checks.check_rows(workdir)
    resume_checks.check_checkpoints(workdir)
    mesh = mesh_rules.make_mesh(settings.mesh.data, settings.mesh.fsdp, settings.mesh.tensor)
    problems = run_problems.load_problems(settings)
    with contextlib.ExitStack() as stack:  # closes what was opened if anything fails
        # 1. Graders, tested on the tasks' reference answers.
        pool = stack.enter_context(open_pool(settings))
        problems = run_problems.check_graders(problems, pool)

        # 2. The base policy, and the prompts in its tokens. A resumed run's data and weights must
        # be those that it began with, and so must the tokenizer's side.
        base = load_policy(settings, mesh)
        began = run_identity.read_beginning(workdir)
        task = problems.train
        store = run_problems.encode_prompts(
            settings, base, task.train, moment=began, fingerprint=task.fingerprint
        )
        run_problems.check_token_budget(settings, store)
        eval_store = run_problems.encode_prompts(settings, base, problems.eval_set, moment=began)
        # Not those of the evaluation set: `evaluation.json` says which problems it is of.
        stores = {"training": store}
        origin = describe_origin(settings, problems, base, began=began, stores=stores, mesh=mesh)
        run_identity.check_identity(workdir, origin)

        # 3. The learner and the evaluator, with programs that compile on first use.
        parts = build_learner(settings, base, mesh)
        evaluator = make_evaluator(
            settings,
            base,
            problems,
            store=eval_store,
            program=parts.eval_sampler,
            pool=pool,
            mesh=mesh,
        )

        # 4. The work directory, locked.
        evaluation = evaluator.describe_evaluation(problems.evaluated.name)
        fingerprints = provenance.list_fingerprints(origin)
        files = open_run_files(
            settings, workdir, parts, evaluation=evaluation, fingerprints=fingerprints, stack=stack
        )

        # 5. The state, fresh or restored; from here on the directory is this run's.
        initial, record = _restore_or_begin(settings, files, parts)
        run_directory.claim_directory(workdir, config, origin, step=int(initial.step))
        if record:
            warn_of_losses(workdir, int(initial.step), record, files)
        stack.pop_all()  # nothing failed: `TrainingRun.close` closes from here on
    return TrainingRun(
        settings=settings,
        workdir=workdir,
        policy=dataclasses.replace(parts.policy, params={}),
        problems=problems,
        store=store,
        evaluator=evaluator,
        evaluations=files.evaluations,
        pool=pool,
        mesh=mesh,
        scorer=parts.scorer,
        reference=parts.reference,
        programs=parts.programs,
        checkpoints=files.checkpoints,
        initial=initial,
        lock=files.lock,
    )


def open_pool(settings: Settings) -> grading.Pool:
    """Starts the grading processes of a run."""
    options = dataclasses.asdict(settings.grading)
    del options["max_errors"]  # the training loop's
    return grading.Pool(**options)


def make_evaluator(
    settings: Settings,
    policy: models.Policy,
    problems: run_problems.RunProblems,
    *,
    store: PromptStore,
    program: Callable,
    pool: grading.Pool,
    mesh: Mesh,
) -> Evaluator:
    """Binds the evaluation set, its prompts in the policy's tokens, and the sampler."""
    return Evaluator(
        settings=settings,
        problems=problems.eval_set,
        store=store,
        tokenizer=policy.tokenizer,
        stop_tokens=policy.stop_tokens,
        program=program,
        pool=pool,
        mesh=mesh,
    )


def describe_origin(
    settings: Settings,
    problems: run_problems.RunProblems,
    policy: models.Policy,
    *,
    began: datetime.datetime,
    stores: Mapping[str, PromptStore],
    mesh: Mesh,
) -> dict[str, Any]:
    """Describes what a run comes from, for provenance.json.

    Args:
      settings: of the run.
      problems: of the run.
      policy: the base policy.
      began: when the run began.
      stores: the prompts, by what they are for.
      mesh: the device mesh.
    """
    options = run_problems.make_chat_options(settings)
    return provenance.describe_run(
        settings=to_dict(settings),
        began=began,
        data=problems.describe(),
        params=policy.params,
        policy=run_identity.describe_policy(policy),
        prompts=run_identity.describe_prompts(policy, options, stores),
        mesh=mesh,
    )


def _restore_or_begin(
    settings: Settings, files: RunFiles, parts: LearnerParts
) -> tuple[TrainState, CheckpointRecord | None]:
    """Restores the newest checkpoint with its record, or makes the state before the first step."""
    restored = files.checkpoints.restore(
        checkpoint_arrays.abstract_state(parts.shapes, parts.shardings)
    )
    if restored is not None:
        return restored
    params = parts.trained
    if parts.reference is not None:
        # `learn` donates the state, so a reference must not share its arrays.
        params = jax.tree.map(jnp.copy, params)

    # Jitted, so that every leaf is made on its own devices, and in a buffer of its own as donation
    # needs.
    def make_state(params):
        return init_state(params, parts.optimizer, settings.seed)

    return jax.jit(make_state, out_shardings=parts.shardings)(params), None
